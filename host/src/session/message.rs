//! The messages of a session: one JSON object a line, its first member
//! `message`, its kind.
//!
//! Guarantees: a message is read under the protocol's JSON rules (no null, no
//! duplicate key, bounded depth) and has exactly its fields; texts and lists in
//! it are bounded; what this module writes, it reads.
//! Deliberately lacks: any order of messages; that is [`super::validator`]'s and
//! [`super::miner`]'s. Commitment and openings are read by
//! [`crate::protocol::parts`], within the challenge's bounds.

use super::fault::{Fault, FaultCode};
use super::limits::{DEVICES_MAX, SMALL_VALUES_MAX, TEXT_BYTES_MAX};
use crate::mining::committed::Committed;
use crate::policy::ROUNDS_MAX;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::Evidence;
use crate::protocol::json::{present, read_value_of};
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::parts::{CommitmentOut, OpeningsOut};
use crate::protocol::receipt::Receipt;
use crate::protocol::result::{LaneRoots, ResultDoc};
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::Outcome;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// Versions of the session that this program speaks.
pub const VERSIONS: &[u32] = &[1, 2];

/// From this version on a session may have several rounds, and a message of a round names
/// it ([`super::numbered`]).
pub const ROUNDS_VERSION: u32 = 2;

/// The capability of a miner that answers every ping before the challenge, up to
/// [`PINGS_ANSWERED_MAX`](super::limits::PINGS_ANSWERED_MAX): without it, one.
pub const PINGS_CAPABILITY: &str = "pings";

/// What a validator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromValidator {
    /// First.
    Hello {
        /// Versions of the session that it speaks.
        versions: Vec<u32>,
        /// Name and version of the program.
        software: String,
    },
    /// To be answered at once: the round trip is measured.
    Ping {
        /// The version spoken from here on.
        version: u32,
    },
    /// The network part begins: so many bytes come in pieces, and as many are to go back.
    Network {
        /// Bytes each way.
        bytes: u64,
    },
    /// Bytes of the network part.
    Piece {
        /// In base64, of at most [`PIECE_BYTES_MAX`](super::network::PIECE_BYTES_MAX) bytes.
        data: String,
    },
    /// The bytes of this stream are to go back.
    SendBack {
        /// Its key.
        key: Digest,
    },
    /// So many bytes of what goes back have come.
    Received {
        /// In all.
        bytes: u64,
    },
    /// What to do. The clock runs from here.
    Challenge {
        /// The challenge's token.
        token: String,
    },
    /// The same for the machine's CPUs, as one lane; from version 2 on.
    HostChallenge {
        /// Whether the challenge that follows is for the devices at the same time.
        beside: bool,
        /// The challenge's token.
        token: String,
    },
    /// The commitment is accepted.
    Coin {
        /// To be put into the result.
        coin: Coin,
        /// How long the result may take from now, ms.
        openings_within_ms: u64,
    },
    /// Last.
    Verdict(VerdictMessage),
}

/// How it ended, as the miner is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictMessage {
    /// Verified, rejected or could-not-run.
    pub outcome: VerdictOutcome,
    /// Stable reason of a rejection.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, for people.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Shows others that the session was live; of the last round.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// How each round before the last one ended, in order; empty in version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<RoundMessage>,
}

/// How a round ended, as the miner is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundMessage {
    /// Digest of the challenge.
    pub challenge: Digest,
    /// Verified, rejected or could-not-run.
    pub outcome: VerdictOutcome,
    /// Stable reason of a rejection.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Shows others that the round was live.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// [`Outcome`] on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictOutcome {
    /// Every check passed.
    Verified,
    /// A check failed, or the session did.
    Rejected,
    /// The validator failed.
    CouldNotRun,
}

impl From<Outcome> for VerdictOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verified => Self::Verified,
            Outcome::Rejected => Self::Rejected,
            Outcome::CouldNotRun => Self::CouldNotRun,
        }
    }
}

/// What a miner says, but for its commitment and openings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromMiner {
    /// The answer to a hello.
    Hello(MinerHello),
    /// The answer to a ping.
    Pong {},
    /// So many bytes of the network part have come.
    Received {
        /// In all.
        bytes: u64,
    },
    /// All have come.
    Digest {
        /// SHA-256 of them.
        digest: Digest,
    },
    /// Bytes that go back.
    Piece {
        /// As the validator's.
        data: String,
    },
    /// Instead of a hello: it has a session already.
    Busy {
        /// Why, for people.
        text: String,
    },
    /// Instead of a commitment or openings: it can't.
    Failed {
        /// What failed, for people.
        text: String,
    },
}

/// Who and what the miner says that it is: claims, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinerHello {
    /// Versions of the session that it speaks.
    pub versions: Vec<u32>,
    /// Name and version of the program.
    pub software: String,
    /// The public key that it would sign with.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub miner_id: Option<EncodedKey>,
    /// Names of what it can do beyond the version: [`PINGS_CAPABILITY`].
    pub capabilities: Vec<String>,
    /// What it would compute on.
    pub devices: Vec<Device>,
}

impl MinerHello {
    /// Whether it says that it answers more than one ping.
    pub fn answers_pings(&self) -> bool {
        self.capabilities.iter().any(|name| name == PINGS_CAPABILITY)
    }
}

/// A device in a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// "gpu" or "cpu".
    pub kind: DeviceKind,
    /// As the evidence will name it.
    pub model: String,
    /// Of a GPU.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Device memory, bytes.
    pub memory_bytes: u64,
}

/// "gpu" or "cpu".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A CUDA device.
    Gpu,
    /// The host's cores.
    Cpu,
}

/// Name and version of this program.
pub fn software() -> String {
    concat!("attest ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// A message as its line.
pub fn line_of(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages have string keys");
    line.push(b'\n');
    line
}

/// The line of the message `commitment`.
pub fn commitment_line(committed: &Committed) -> Vec<u8> {
    commitment_line_of(
        committed.commitment(),
        committed.lanes(),
        committed.evidence(),
        committed.miner_signature(),
    )
}

/// The line of the message `commitment`, from its parts.
pub fn commitment_line_of(
    commitment: Commitment,
    lanes: &[LaneRoots],
    evidence: &Evidence,
    miner_signature: Option<[u8; 64]>,
) -> Vec<u8> {
    let miner_signature = miner_signature.map(hex::encode);
    let evidence = evidence.value();
    let message = "commitment";
    line_of(&CommitmentOut { message, commitment, lanes, evidence, miner_signature })
}

/// The line of the message `openings`: what the commitment lacks of the result.
pub fn openings_line(result: &ResultDoc) -> Vec<u8> {
    line_of(&OpeningsOut {
        message: "openings",
        commitment: result.commitment,
        coin: result.coin,
        openings: &result.openings,
        device_reports: &result.device_reports,
        machine_report: result.machine_report.as_ref(),
    })
}

/// The kind of a message, from its first member.
///
/// # Errors
/// `not-json`, or `malformed-message` for JSON that does not open with
/// `{"message":"…"`.
pub fn kind_of(line: &[u8]) -> Result<&str, Fault> {
    kind_in_head(line).ok_or_else(|| match serde_json::from_slice::<IgnoredAny>(line) {
        Ok(_) => Fault::new(
            FaultCode::MalformedMessage,
            "a line that does not open with {\"message\":\"…\"",
        ),
        Err(error) => not_json(line, &error),
    })
}

/// The kind, if the line opens with one. Looks at no more than that.
pub(in crate::session) fn kind_in_head(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"message\":\"")?;
    let end = rest.iter().take(32).position(|&byte| byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Reads a message of bounded size whose kind was recognised.
///
/// # Errors
/// `not-json` if a JSON rule is broken, `malformed-message` if the fields
/// are not the message's.
fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, Fault> {
    let value = read_value_of(line, SMALL_VALUES_MAX).map_err(|error| not_json(line, &error))?;
    serde_json::from_value(value).map_err(|error| malformed(&error))
}

impl FromValidator {
    /// Reads a validator's message.
    ///
    /// # Errors
    /// `not-json` or `malformed-message`.
    pub fn read(line: &[u8]) -> Result<Self, Fault> {
        kind_of(line)?;
        let message: Self = read(line)?;
        let bounded = match &message {
            Self::Hello { versions, software } => {
                versions.len() <= 16 && software.len() <= TEXT_BYTES_MAX
            }
            Self::Verdict(verdict) => {
                let codes = verdict.earlier.iter().map(|round| &round.code).chain([&verdict.code]);
                codes.flatten().all(|code| code.len() <= TEXT_BYTES_MAX)
                    && verdict.earlier.len() < ROUNDS_MAX
            }
            _ => true,
        };
        bounded.then_some(message).ok_or_else(|| malformed(&"a text or list is too long"))
    }
}

impl FromMiner {
    /// Reads a miner's message other than commitment and openings.
    ///
    /// # Errors
    /// `not-json` or `malformed-message`.
    pub fn read(line: &[u8]) -> Result<Self, Fault> {
        kind_of(line)?;
        let message: Self = read(line).map_err(|fault| echo_of(line).unwrap_or(fault))?;
        match &message {
            Self::Hello(hello) => hello.check()?,
            Self::Busy { text } | Self::Failed { text } => check_text("text", text)?,
            // A piece is bounded by its line.
            Self::Pong {} | Self::Received { .. } | Self::Digest { .. } | Self::Piece { .. } => {}
        }
        Ok(message)
    }
}

impl MinerHello {
    /// Checks every text and list against its bound.
    fn check(&self) -> Result<(), Fault> {
        check_count("versions", self.versions.len(), LISTED_MAX)?;
        check_count("capabilities", self.capabilities.len(), LISTED_MAX)?;
        check_count("devices", self.devices.len(), DEVICES_MAX)?;
        check_text("software", &self.software)?;
        self.capabilities.iter().try_for_each(|text| check_text("a capability", text))?;
        self.devices.iter().try_for_each(|device| check_text("a device's model", &device.model))
    }
}

/// Most versions, and most capabilities, that a hello lists.
const LISTED_MAX: usize = 16;

fn check_count(field: &str, count: usize, count_max: usize) -> Result<(), Fault> {
    let text = || malformed(&format_args!("{field} lists {count}, at most {count_max} may be"));
    (count <= count_max).then_some(()).ok_or_else(text)
}

fn check_text(field: &str, text: &str) -> Result<(), Fault> {
    let bytes = text.len();
    let long = || malformed(&format_args!("{field} has {bytes} bytes, at most {TEXT_BYTES_MAX}"));
    (bytes <= TEXT_BYTES_MAX).then_some(()).ok_or_else(long)
}

/// The fault if a miner's line is a message that only a validator sends: a terminal
/// in between shows what is typed, and so sends it back.
fn echo_of(line: &[u8]) -> Option<Fault> {
    FromValidator::read(line).ok()?;
    let kind = kind_of(line).ok()?;
    let detail = format_args!("the validator's own {kind} came back, as a terminal does");
    Some(Fault::new(FaultCode::Echoed, detail))
}

/// A text cut to what a message may hold.
pub fn text_for_message(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn malformed(what: &impl std::fmt::Display) -> Fault {
    Fault::new(FaultCode::MalformedMessage, format_args!("not a message of this session: {what}"))
}

/// Shows how the line begins, by which a login banner or a transport's error is known.
fn not_json(line: &[u8], error: &serde_json::Error) -> Fault {
    let start = String::from_utf8_lossy(&line[..line.len().min(60)]);
    Fault::new(FaultCode::NotJson, format_args!("a line that begins {start:?}: {error}"))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
