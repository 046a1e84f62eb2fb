//! What is written into a ledger and what can be read back from it.
//!
//! Guarantees: plain values; times are ms since 1970.
//! Deliberately lacks: rules. Those are in [`super::steps`].

use crate::protocol::challenge::LANES_MAX;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::{Evidence, EvidenceLane};
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::LaneDevice;
use serde::Serialize;
use std::time::Duration;

/// What a nonce is spent on if the challenge was settled as rejected before any
/// commitment came. No SHA-256 value that anyone can find.
pub const NO_COMMITMENT: Commitment = Commitment([0; 32]);

/// Which round of a session a later challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoundOf {
    /// Digest of the session's first challenge.
    pub session: Digest,
    /// Number of the round, from 1: the first challenge is round 0, of which this ledger
    /// keeps no mark.
    #[serde(rename = "round")]
    pub number: u32,
}

/// The answer to a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The nonce is now spent on this commitment, durably.
    Accepted,
    /// It was spent before, on this one ([`NO_COMMITMENT`]: on none).
    Spent(Commitment),
    /// This ledger never issued the challenge, or has pruned it unanswered.
    NotIssued,
}

/// A live session's commitment, with all that is recorded before its coin is sent.
#[derive(Clone, Copy, Debug)]
pub struct Accepting<'a> {
    /// On which the nonce is spent; not zero.
    pub commitment: Commitment,
    /// The session's one coin.
    pub coin: Coin,
    /// When the commitment arrived, ms since 1970.
    pub arrived_unix_ms: u64,
    /// The devices that it names, at most as many as a result can have.
    pub devices: &'a [Sighting],
    /// How long the session claims them unless it is settled before, ms since 1970.
    pub until_unix_ms: u64,
    /// How far back the devices' history counts: [`HISTORY_WINDOW`] unless a policy
    /// says otherwise.
    pub window: Duration,
}

/// How far back a device's history counts if no policy says otherwise: 30 days.
pub const HISTORY_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

/// A device as a miner named it, with where it was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// `cuDeviceGetUuid_v2`.
    pub uuid: Uuid,
    /// The board's serial number, if reported.
    pub serial: Option<String>,
    /// PCI id, if reported.
    pub pci: Option<String>,
    /// The miner's public key; `None` if the miner is not bound.
    pub miner: Option<EncodedKey>,
    /// The host's own name for itself (machine id), if reported.
    pub host: Option<String>,
    /// The die that signed a report for this device's work, if one did; a live session's is
    /// recorded by [`Ledger::sign`](super::Ledger::sign).
    pub die: Option<Digest>,
    /// The serial number of that die's certificate, in hexadecimal.
    pub die_serial: Option<String>,
}

impl Sighting {
    /// The devices that `evidence` names, one a lane, and no more than a result can
    /// have: evidence that names more does not verify. `miner` is the key that the
    /// challenge or the session is bound to, not what the evidence says.
    pub fn of(evidence: &Evidence, miner: Option<EncodedKey>) -> Vec<Self> {
        let claims = evidence.claims();
        let host = &claims.machine().machine_id;
        let lane = |(index, lane): (usize, &EvidenceLane)| {
            let claimed = claims.lane(index);
            let (serial, pci) = (claimed.serial.clone(), claimed.details.pci_id.clone());
            let (die, die_serial) = (None, None);
            Self { uuid: lane.uuid, serial, pci, miner, host: host.clone(), die, die_serial }
        };
        evidence.lanes().iter().take(LANES_MAX as usize).enumerate().map(lane).collect()
    }

    /// The lanes' devices with the dies that signed their reports.
    pub fn signed(mut lanes: Vec<Self>, reports: &[LaneDevice]) -> Vec<Self> {
        for report in reports {
            let (Some(signed), Some(lane)) = (&report.signed, lanes.get_mut(report.lane as usize))
            else {
                continue;
            };
            lane.die = signed.die.parse().ok();
            lane.die_serial = Some(signed.die_serial.clone());
        }
        lanes
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
    /// The UUID was seen with another die, as both signed.
    UuidChangedDie,
    /// The die signed for another miner's key.
    DieUnderTwoIdentities,
    /// The die signed under another UUID.
    DieChangedUuid,
}

impl HistoryCode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::UuidUnderTwoIdentities,
        Self::UuidChangedHost,
        Self::UuidInTwoSessions,
        Self::UuidChangedSerial,
        Self::UuidChangedDie,
        Self::DieUnderTwoIdentities,
        Self::DieChangedUuid,
    ];

    /// Whether it is about a die that signed.
    pub fn is_of_die(self) -> bool {
        matches!(self, Self::UuidChangedDie | Self::DieUnderTwoIdentities | Self::DieChangedUuid)
    }

    /// The stable kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::UuidUnderTwoIdentities => "uuid-under-two-identities",
            Self::UuidChangedHost => "uuid-changed-host",
            Self::UuidInTwoSessions => "uuid-in-two-sessions",
            Self::UuidChangedSerial => "uuid-changed-serial",
            Self::UuidChangedDie => "uuid-changed-die",
            Self::DieUnderTwoIdentities => "die-under-two-identities",
            Self::DieChangedUuid => "die-changed-uuid",
        }
    }
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryFinding {
    /// The code of the finding.
    pub code: HistoryCode,
    /// What was found, for people.
    pub text: String,
}

/// What a challenge can be settled as: could-not-run is the validator's own fault
/// and settles nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettledAs {
    /// Its work is proven.
    Verified,
    /// It is not.
    Rejected,
}

impl SettledAs {
    /// The one that is recorded so.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Verified, Self::Rejected].into_iter().find(|settled| settled.name() == name)
    }

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
    /// Which miner, if one is bound.
    pub miner: Option<EncodedKey>,
    /// ms since 1970.
    pub settled_unix_ms: u64,
}

/// All that is on record of one challenge. Absent is what has not happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Digest of the challenge.
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
    pub miner: Option<EncodedKey>,
    /// On which commitment its nonce is spent ([`NO_COMMITMENT`]: on none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Commitment>,
    /// When the commitment arrived, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_unix_ms: Option<u64>,
    /// The live session's coin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coin: Option<Coin>,
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
    /// Of a later round of a session: which.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub round: Option<RoundOf>,
    /// What its session came to, once that is over.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionEnd>,
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
    /// Settled as verified, and not of a session that was rejected.
    Verified,
    /// Settled as rejected, or of a session that was.
    Rejected,
}

/// Which challenges are wanted. The default is the first hundred of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only challenges of this standing.
    pub standing: Option<Standing>,
    /// Only those bound to this miner.
    pub miner: Option<EncodedKey>,
    /// Only those for which this device was named.
    pub device: Option<Uuid>,
    /// Only those of the session with this first challenge.
    pub session: Option<Digest>,
    /// Newest or oldest first, by time of issue.
    pub order: Order,
    /// Only those after this one in that order: the last of the page before, as
    /// (`issued_unix_ms`, `challenge`).
    pub after: Option<(u64, Digest)>,
    /// Most entries, up to [`Filter::LIMIT_MAX`].
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
            session: None,
            order: Order::NewestFirst,
            after: None,
            limit: 100,
        }
    }
}

/// Order of a list, by time of issue, then by c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newest first, for people.
    NewestFirst,
    /// Oldest first, for export.
    OldestFirst,
}

/// A connection between a validator and a miner, whether or not a challenge came of
/// it. Recorded once it is known how it ended, or with the challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// When the connection began, ms since 1970.
    pub met_unix_ms: u64,
    /// The other side.
    pub peer: Peer,
    /// From where, without a port, so that one host stays one: an IP address, or the
    /// name of what was started. At most 256 characters are kept.
    pub address: Option<String>,
    /// What came of it.
    pub ending: Ending,
    /// The measured round trip, if it came that far; kept in µs.
    pub round_trip: Option<Duration>,
    /// What the session came to, if a challenge was sent and there is a verdict.
    pub session: Option<SessionEnd>,
}

/// What a session came to, of all its rounds together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionEnd {
    /// Rejected, too, if all rounds were verified and the policy rejects the session.
    #[serde(rename = "session_outcome")]
    pub outcome: SettledAs,
    /// Stable reason of a rejection. At most 256 characters are kept.
    #[serde(rename = "session_code", skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Whom a validator has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Whoever holds this key: the transport has proven it.
    Proven(EncodedKey),
    /// Somebody who says that this is its key. Anyone can.
    Claimed(EncodedKey),
    /// Somebody without a key.
    Unknown,
}

/// What came of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This challenge was sent; its record says the rest.
    Challenged(Digest),
    /// It ended before a challenge was sent, with this stable code: `busy`, `stalled`,
    /// … ([`DODGES`] are those that are the miner's own doing). At most 256
    /// characters are kept.
    Before(String),
}

/// How a miner ends a meeting before it is challenged. Of no use to an honest one,
/// but to one that wants to know when a challenge comes.
/// What no miner of this protocol says belongs here, too: else it would be the dodge that
/// costs nothing.
pub const DODGES: [&str; 13] = [
    "busy",
    "stalled",
    "closed-early",
    "miner-failed",
    "message-too-long",
    "not-json",
    "malformed-message",
    "unexpected-message",
    "version-mismatch",
    "flooded",
    "echoed",
    "network-mismatch",
    "wrong-peer",
];

/// How often the miner ended a meeting before a challenge, see [`DODGES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dodges {
    /// Meetings in which its key was proven: these can count against it. 0 if its key
    /// is not proven now.
    pub proven: u64,
    /// Meetings in which its key was claimed, by it or by anyone else, and not proven.
    /// 0 if its key is proven now.
    pub claimed: u64,
    /// Meetings with anyone who proved no key, from the same address.
    pub from_address: u64,
}

/// A meeting on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its number, which grows from meeting to meeting.
    pub number: i64,
    /// The meeting.
    pub meeting: Meeting,
}

/// Which meetings are wanted. The default is the newest hundred of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingFilter {
    /// Only those with this key, proven or claimed.
    pub miner: Option<EncodedKey>,
    /// Only those before the one with this number: the last of the page before.
    pub before: Option<i64>,
    /// Most meetings, up to [`MeetingFilter::LIMIT_MAX`].
    pub limit: u32,
}

impl MeetingFilter {
    /// The most meetings of one answer.
    pub const LIMIT_MAX: u32 = 1000;
}

impl Default for MeetingFilter {
    fn default() -> Self {
        Self { miner: None, before: None, limit: 100 }
    }
}

/// What was forgotten, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Challenges, with the devices that were named for them.
    pub challenges: u64,
    /// Number of meetings.
    pub meetings: u64,
}

/// Whether to prune or to say what would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// Forget what is old enough.
    Forget,
    /// Only count what would be forgotten.
    DryRun,
}
