//! `attest verify --ledger`: the verifier is the issuer, and its record decides.
//!
//! A result outside a live session spends its challenge's nonce in one step with
//! its verdict verified, so of two results, or two verifiers, one wins. A rejected
//! result spends nothing: anyone can send one. The devices' history is looked up
//! first, for a policy to judge; without a policy it is told in notes.

use crate::outcome::{Result, note};
use attest::ledger::{
    Acceptance, HISTORY_WINDOW, HistoryFinding, Ledger, SettledAs, Settlement, Sighting,
};
use attest::live::clock::unix_ms;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Issuer;
use attest::protocol::transcript::ResultDoc;
use attest::protocol::verdict::{Outcome, Verdict};
use attest::protocol::verified::{CoinStanding, Verified};
use attest::protocol::verify::Failure;

/// How a verification ended, and what is said of it.
pub type Judged = (Result<Verified, Failure>, Verdict);

/// Verifies with `judge` by what the ledger has on record of the challenge, and
/// records the verdict where it counts.
///
/// # Errors
/// The ledger's, or those of `judge`.
pub fn verify(
    ledger: &dyn Ledger,
    challenge: &Challenge,
    result: &ResultDoc,
    judge: impl Fn(Issuer, &[HistoryFinding]) -> Result<Judged>,
) -> Result<Judged> {
    let c = challenge.digest();
    let devices = Sighting::of(&result.evidence, challenge.spec().miner_id);
    let history = ledger.history(&c, &devices, unix_ms(), HISTORY_WINDOW)?;
    let judged = || judge(ledger.record(&c)?.map_or(Issuer::Unknown, Issuer::Record), &history);
    let (outcome, verdict) = judged()?;
    let verified = match &outcome {
        Ok(verified) if verdict.outcome == Outcome::Verified => verified,
        _ => {
            if let Some((settled, code)) = settled(ledger, challenge)?
                && settled == "rejected"
            {
                note(&format!("note: the ledger has it as rejected ({code}); that stays"));
            }
            return Ok((outcome, verdict));
        }
    };
    if *verified.coin() != CoinStanding::NoSession {
        // A session settles itself. Where it has not, there is no verdict of it.
        if settled(ledger, challenge)?.is_none() {
            note("note: the ledger has no verdict of the session; this one is not recorded");
        }
        return Ok((outcome, verdict));
    }
    let now_unix_ms = unix_ms();
    let arrived_unix_ms = match verified.arrival_unix_s() {
        Some(unix_s) => u64::try_from(unix_s).unwrap_or(0).saturating_mul(1000),
        None => now_unix_ms,
    };
    let settlement = Settlement {
        outcome: SettledAs::Verified,
        code: None,
        verdict_json: serde_json::to_string(&verdict)?,
        miner: challenge.spec().miner_id,
        settled_unix_ms: now_unix_ms,
    };
    let commitment = verified.commitment();
    let (acceptance, findings) = ledger.settle_offline(
        &c,
        &commitment,
        arrived_unix_ms,
        &devices,
        HISTORY_WINDOW,
        &settlement,
    )?;
    // What the policy has judged its part of the verdict tells; another process may
    // have named a device since.
    let is_told = |finding| verdict.policy.is_some() && history.contains(finding);
    for finding in findings.iter().filter(|finding| !is_told(finding)) {
        note(&format!("note: {}: {}", finding.code.name(), finding.text));
    }
    match acceptance {
        Acceptance::Accepted => Ok((outcome, verdict)),
        // Somebody was faster since the record was read: it says so now.
        Acceptance::Spent(_) | Acceptance::NotIssued => judged(),
    }
}

/// Outcome and code of a challenge that has a verdict.
fn settled(ledger: &dyn Ledger, challenge: &Challenge) -> Result<Option<(String, String)>> {
    let entry = ledger.show(&challenge.digest())?.map(|(entry, _)| entry);
    Ok(entry.and_then(|entry| Some((entry.outcome?, entry.code.unwrap_or_default()))))
}
