//! What is written into a ledger and what can be read back from it.
//!
//! Guarantees: plain values; times are ms since 1970.
//! Deliberately lacks: rules. Those are in [`super::steps`].

use crate::protocol::challenge::LANES_MAX;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::{Evidence, EvidenceLane};
use serde::Serialize;
use serde_json::Value;

/// What a nonce is spent on where the challenge was settled as rejected before any
/// commitment came. No SHA-256 value that anyone can find.
pub const NO_COMMITMENT: Digest = Digest([0; 32]);

/// The answer to a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The nonce is now spent on this commitment, durably.
    Accepted,
    /// It was spent before, on this one ([`NO_COMMITMENT`]: on none).
    Spent(Digest),
    /// This ledger never issued the challenge, or has pruned it unanswered.
    NotIssued,
}

/// A device as a miner named it, with where it was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// `cuDeviceGetUuid_v2`.
    pub uuid: Uuid,
    /// The board's serial number, where reported.
    pub serial: Option<String>,
    /// PCI id, where reported.
    pub pci: Option<String>,
    /// The miner's public key; `None` where the miner is not bound.
    pub miner: Option<Digest>,
    /// The host's own name for itself (machine id), where reported.
    pub host: Option<String>,
}

impl Sighting {
    /// The devices that `evidence` names, one a lane, and no more than a result can
    /// have: evidence that names more does not verify. Serial number, PCI id and
    /// host are the optional fields `serial` and `pci_id` of a lane and `machine_id`
    /// of the machine. `miner` is the key that the challenge or the session is bound
    /// to, not what the evidence says.
    pub fn of(evidence: &Evidence, miner: Option<Digest>) -> Vec<Self> {
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let document = evidence.value();
        let host = document.get("machine").and_then(|machine| text(machine, "machine_id"));
        let lane = |(index, lane): (usize, &EvidenceLane)| {
            let fields = &document["lanes"][index];
            let (serial, pci) = (text(fields, "serial"), text(fields, "pci_id"));
            Self { uuid: lane.uuid, serial, pci, miner, host: host.clone() }
        };
        evidence.lanes().iter().take(LANES_MAX as usize).enumerate().map(lane).collect()
    }
}

/// What does not fit into a device's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryCode {
    /// The UUID was seen under another miner's key.
    UuidUnderTwoIdentities,
    /// The UUID was seen on another host within the window.
    UuidChangedHost,
    /// Two live sessions claim the UUID at once.
    UuidInTwoSessions,
    /// The UUID was seen with another serial number.
    UuidChangedSerial,
}

impl HistoryCode {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::UuidUnderTwoIdentities,
        Self::UuidChangedHost,
        Self::UuidInTwoSessions,
        Self::UuidChangedSerial,
    ];

    /// The stable kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::UuidUnderTwoIdentities => "uuid-under-two-identities",
            Self::UuidChangedHost => "uuid-changed-host",
            Self::UuidInTwoSessions => "uuid-in-two-sessions",
            Self::UuidChangedSerial => "uuid-changed-serial",
        }
    }
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryFinding {
    /// Which.
    pub code: HistoryCode,
    /// In words.
    pub text: String,
}

/// What a challenge can be settled as: could-not-run is the validator's own fault
/// and settles nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettledAs {
    /// Its work is proven.
    Verified,
    /// It is not.
    Rejected,
}

impl SettledAs {
    /// As it is recorded: "verified", "rejected".
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Rejected => "rejected",
        }
    }
}

/// How a challenge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What it is settled as.
    pub outcome: SettledAs,
    /// Stable reason of a rejection.
    pub code: Option<String>,
    /// The verdict, JSON.
    pub verdict_json: String,
    /// Which miner, where one is bound.
    pub miner: Option<Digest>,
    /// ms since 1970.
    pub settled_unix_ms: u64,
}

/// All that is on record of one challenge. Absent is what has not happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// c.
    pub challenge: Digest,
    /// validator_nonce.
    pub nonce: Digest,
    /// The token as it was issued.
    pub token: String,
    /// When it was issued, ms since 1970.
    pub issued_unix_ms: u64,
    /// When it expires, ms since 1970.
    pub expires_unix_ms: u64,
    /// The miner that it is bound to, by the challenge or by its settlement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miner: Option<Digest>,
    /// On which commitment its nonce is spent ([`NO_COMMITMENT`]: on none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Digest>,
    /// When the commitment arrived, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_unix_ms: Option<u64>,
    /// The live session's coin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coin: Option<Digest>,
    /// By when its live session is over at the latest, while it claims devices, ms since
    /// 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_until_unix_ms: Option<u64>,
    /// "verified" or "rejected".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Stable reason of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The verdict, JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_json: Option<String>,
    /// When it was settled, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_unix_ms: Option<u64>,
}

/// A device that was named for a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// What was named.
    #[serde(flatten)]
    pub device: Sighting,
    /// When, ms since 1970.
    pub seen_unix_ms: u64,
}

/// How far a challenge has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Without a verdict, answered or not, expired or not.
    Unsettled,
    /// Settled as verified.
    Verified,
    /// Settled as rejected.
    Rejected,
}

/// Which challenges are wanted. The default is the first hundred of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only these.
    pub standing: Option<Standing>,
    /// Only those bound to this miner.
    pub miner: Option<Digest>,
    /// Only those for which this device was named.
    pub device: Option<Uuid>,
    /// Newest or oldest first, by time of issue.
    pub order: Order,
    /// Only those after this one in that order: the last of the page before, as
    /// (`issued_unix_ms`, `challenge`).
    pub after: Option<(u64, Digest)>,
    /// At most so many, at most [`Filter::LIMIT_MAX`].
    pub limit: u32,
}

impl Filter {
    /// The most entries of one answer.
    pub const LIMIT_MAX: u32 = 1000;
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            standing: None,
            miner: None,
            device: None,
            order: Order::NewestFirst,
            after: None,
            limit: 100,
        }
    }
}

/// Order of a list, by time of issue, then by c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// For people.
    NewestFirst,
    /// For export.
    OldestFirst,
}

/// Whether to prune or to say what would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// Forget.
    Forget,
    /// Only count.
    DryRun,
}
