//! `attest export`: a result as a signed in-toto attestation, and back; its verdict as an EAT
//! attestation result, and what one says.

use crate::args::{self, Color};
use crate::input;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Paint, wrapped};
use anyhow::{anyhow, bail};
use attest::export::{self, Attested, Refusal, VERDICT_BYTES_MAX, dsse, ear};
use attest::files::{self, Source};
use attest::identity::SigningIdentity;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::{EncodedKey, PublicKey};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

/// Exports, or checks an export; the exit code of a check is its outcome.
///
/// # Errors
/// An unreadable source, or, when exporting, parts that don't belong together.
pub fn run(args: &args::Export, color: Color) -> Result {
    let result = args.in_toto.as_ref().map(|result| (Form::InToto, result));
    let result = result.or(args.ear.as_ref().map(|result| (Form::Ear, result)));
    match (result, &args.challenge, &args.key, &args.check, &args.signer) {
        (Some((form, result)), Some(challenge), Some(key), ..) => {
            export_as(form, args, result, challenge, key)
        }
        (.., Some(envelope), Some(signer)) => check(args, envelope, signer, color),
        _ => bail!("nothing to do\nGive --in-toto, --ear or --check."),
    }
}

/// As what a result is exported.
#[derive(Clone, Copy)]
enum Form {
    InToto,
    Ear,
}

impl Form {
    fn option(self) -> &'static str {
        match self {
            Self::InToto => "--in-toto",
            Self::Ear => "--ear",
        }
    }
}

fn export_as(
    form: Form,
    args: &args::Export,
    result: &OsStr,
    challenge: &OsStr,
    key: &Path,
) -> Result {
    let source = Source::of_path(result);
    input::Inputs::default()
        .and_source(form.option(), Some(result))
        .and_text("--challenge", Some(challenge))
        .and_source("--receipt", args.receipt.as_deref())
        .and_source("--verdict", args.verdict.as_deref())
        .and_file("--key", Some(key))
        .check(&[("--out", args.out.as_ref())])?;
    let identity = SigningIdentity::read(key)?;
    let challenge = input::challenge(challenge)?;
    let result = ResultDoc::read(source.open()?, &challenge)?;
    let receipt = args.receipt.as_deref().map(input::receipt).transpose()?;
    let read_verdict = |path: &OsStr| Source::of_path(path).read_text(VERDICT_BYTES_MAX as u64);
    let verdict = args.verdict.as_deref().map(read_verdict).transpose()?;
    let attested = Attested::new(challenge, result, receipt, verdict.as_deref())?;
    let now_unix_s = jiff::Timestamp::now().as_second();
    let envelope = match form {
        Form::InToto => export::export(&attested, &identity)?,
        Form::Ear => ear::export(&attested, &identity, now_unix_s)?,
    };
    match &args.out {
        Some(path) => files::write_atomically(path, &envelope)?,
        None => print(&format!("{envelope}\n"))?,
    }
    Ok(Done::Ok)
}

fn check(args: &args::Export, envelope: &OsStr, signer: &EncodedKey, color: Color) -> Result {
    let Some(signer) = &signer.decode() else {
        bail!("{signer} is not an Ed25519 public key\nGive what `attest key show` prints.");
    };
    let limit_bytes = dsse::ENVELOPE_BYTES_MAX as u64;
    let envelope = Source::of_path(envelope).read_text(limit_bytes)?;
    // An envelope is a JSON object; a token is not.
    if !envelope.trim_start().starts_with('{') {
        return check_ear(args, &envelope, signer, color);
    }
    let checked = export::check(envelope.as_bytes(), signer);
    let (json, text) = match &checked {
        Ok(attested) => (checked_json(attested, signer), checked_text(attested, signer)),
        Err(refusal) => (refused_json(refusal), refused_text(refusal)),
    };
    if let (Ok(attested), Some(folder)) = (&checked, &args.extract) {
        extract(attested, folder)?;
    }
    shown(args, &json, &text, checked.is_ok(), color)
}

fn shown(args: &args::Export, json: &Value, text: &str, holds: bool, color: Color) -> Result {
    if args.json {
        print_json(json)?;
    } else {
        let paint = Paint::of(color, &std::io::stdout());
        let (headline, rest) = text.split_once('\n').unwrap_or((text, ""));
        let headline = if holds { paint.good(headline) } else { paint.bad(headline) };
        print(&format!("{headline}\n{}", wrapped(rest, 15)))?;
    }
    Ok(if holds { Done::Ok } else { Done::Rejected })
}

fn check_ear(args: &args::Export, token: &str, signer: &PublicKey, color: Color) -> Result {
    if args.extract.is_some() {
        bail!(
            "an attestation result holds no result to extract\nLeave out --extract, or give an in-toto attestation."
        );
    }
    let checked = ear::check(token, signer);
    let (json, text) = match &checked {
        Ok(claims) => {
            let json = json!({"outcome": "signed", "signer": signer, "claims": claims});
            (json, ear_text(claims, signer))
        }
        Err(refusal) => (refused_json(refusal), refused_text(refusal)),
    };
    shown(args, &json, &text, checked.is_ok(), color)
}

fn ear_text(claims: &Value, signer: &PublicKey) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("not said").escape_debug().to_string();
    let mut text = "SIGNED: the attestation result is as its signer made it\n".to_owned();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("signer", &signer.to_string());
    line("status", &word(&claims["ear_status"]));
    line("nonce", &word(&claims["eat_nonce"]));
    for (name, part) in claims["submods"].as_object().into_iter().flatten() {
        let vector = part["ear_trustworthiness_vector"].as_object().into_iter().flatten();
        let vector: Vec<String> = vector.map(|(name, value)| format!("{name} {value}")).collect();
        let status = word(&part["ear_status"]);
        let said = [vec![status], vector].concat().join(", ");
        line("part", &format!("{}: {said}", name.escape_debug()));
    }
    text
}

/// Whose word it is, as the challenge has it.
fn role(attested: &Attested, signer: &PublicKey) -> &'static str {
    let challenge = attested.challenge();
    match Some(*signer) {
        key if key == challenge.validator_id() => "validator",
        key if key == challenge.miner_id() => "miner",
        _ => "other",
    }
}

fn checked_json(attested: &Attested, signer: &PublicKey) -> Value {
    let mut json = json!({
        "outcome": "signed",
        "signer": signer,
        "role": role(attested, signer),
        "predicate_type": export::PREDICATE_TYPE,
        "subjects": export::subjects(attested.result()),
        "challenge_digest": attested.challenge().digest(),
        "commitment": attested.result().commitment,
        "has_receipt": attested.receipt().is_some(),
    });
    if let Some(verdict) = attested.verdict() {
        json["verdict"] = verdict.clone();
    }
    json
}

fn checked_text(attested: &Attested, signer: &PublicKey) -> String {
    let mut text = "SIGNED: the attestation is as its signer made it\n".to_owned();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let role = match role(attested, signer) {
        "validator" => "the challenge's validator",
        "miner" => "the challenge's miner",
        _ => "neither the challenge's validator nor its miner",
    };
    line("signer", &format!("{signer}, {role}"));
    for subject in export::subjects(attested.result()) {
        line("subject", &subject.name);
    }
    line("challenge", &attested.challenge().digest().to_string());
    line("result", &attested.result().commitment.to_string());
    if attested.receipt().is_some() {
        line("receipt", "validator_id signed that the session was live");
    }
    match attested.verdict().map(|verdict| (&verdict["outcome"], &verdict["work"])) {
        Some((outcome, work)) => {
            let word =
                |value: &Value| value.as_str().unwrap_or("not said").escape_debug().to_string();
            line("verdict", &format!("{}, work {}: the signer's word", word(outcome), word(work)));
        }
        None => line("verdict", "none"),
    }
    line("not checked", "the work: recompute it with --extract and `attest verify`");
    text
}

fn refused_json(refusal: &Refusal) -> Value {
    json!({"outcome": "rejected", "code": refusal.code(), "detail": refusal.to_string()})
}

fn refused_text(refusal: &Refusal) -> String {
    let mut text = format!("REJECTED: {}\n", refusal.code());
    for (at, part) in refusal.to_string().lines().enumerate() {
        let name = if at == 0 { "why" } else { "" };
        let _ = writeln!(text, "  {name:<12} {part}");
    }
    text
}

/// Into a folder of its own, so that nothing is replaced.
fn extract(attested: &Attested, folder: &Path) -> Result<()> {
    std::fs::create_dir(folder).map_err(|error| {
        anyhow!(
            "cannot make the folder {}: {error}\nName one that isn't there.",
            files::shown_path(folder)
        )
    })?;
    let write = |name: &str, text: &str| files::write_atomically(&folder.join(name), text);
    write("token.txt", attested.challenge().token())?;
    write("result.json", &attested.result().to_json())?;
    if let Some(receipt) = attested.receipt() {
        write("receipt.json", &receipt.to_json())?;
    }
    if let Some(verdict) = attested.verdict() {
        write("verdict.json", &verdict.to_string())?;
    }
    Ok(())
}
