//! How a session fails that brings no result: stable names.
//!
//! Guarantees: codes never change within a protocol version.
//! Deliberately lacks: what a result is rejected for; that is
//! [`crate::protocol::rejection`]'s.

use crate::protocol::json::printable;
use std::fmt;

macro_rules! faults {
    ($($variant:ident $code:literal $advice:literal;)*) => {
        /// One named way in which a session ended without a result.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FaultCode {
            $(#[doc = concat!("`", $code, "`. ", $advice)] $variant,)*
        }

        impl FaultCode {
            /// All of them.
            pub const ALL: &'static [FaultCode] = &[$(FaultCode::$variant),*];

            /// The stable kebab-case name.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// What to try.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

faults! {
    MessageTooLong "message-too-long" "Send one message a line, no longer than its kind may be.";
    NotJson "not-json" "Check that the command writes nothing but messages to its standard output.";
    MalformedMessage "malformed-message" "Use a program of this protocol version on both sides.";
    UnexpectedMessage "unexpected-message" "Send each message when it is awaited, and once.";
    VersionMismatch "version-mismatch" "Use programs that share a version.";
    Stalled "stalled" "Check the connection and the other side's log, or allow more time.";
    ClosedEarly "closed-early" "Read what the other side wrote to its standard error.";
    AnsweredTwice "answered-twice" "Answer a challenge once: the first commitment and the first result count.";
    Flooded "flooded" "Send nothing before it is awaited.";
    Echoed "echoed" "Reach the miner without a terminal between: ssh -T, docker exec -i without -t.";
    Busy "busy" "Try again when the miner is done with the session that it has.";
    MinerFailed "miner-failed" "Read what the miner says, and its log.";
    NetworkMismatch "network-mismatch" "Send back what was asked for, byte by byte: nothing on the way may change it.";
    WrongPeer "wrong-peer" "Name the key that the miner has, or reach the right miner.";
    UnfitDevices "unfit-devices" "Ask for what the miner has, or take another miner. A CPU needs --no-policy, or a policy with devices.cpu_allowed.";
    TooManyDodges "too-many-dodges" "Wait until fewer of its sessions ended before a challenge, or change the policy.";
    Abandoned "abandoned" "Hold another session: the validator gave this one up.";
    Unreachable "unreachable" "Check address, port and firewall, and that the miner listens.";
    HandshakeFailed "handshake-failed" "Check that each side allows the other's key (`attest key show`).";
}

/// A session's failure: the other side's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The named reason.
    pub code: FaultCode,
    /// What was awaited and what came, printable.
    pub detail: String,
    /// What to try: the code's advice, or a better one for this case.
    pub advice: &'static str,
}

impl Fault {
    /// A fault with its detail made fit for a terminal.
    pub fn new(code: FaultCode, detail: impl fmt::Display) -> Self {
        Self { code, detail: printable(&detail), advice: code.advice() }
    }

    /// With other advice than the code's.
    pub fn advised(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n{}", self.code.code(), self.detail, self.advice)
    }
}

impl std::error::Error for Fault {}

/// This side could not do its part. Text in two lines: what happened, what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OwnFault(pub String);

impl OwnFault {
    /// From any error whose text has two lines.
    pub fn of(error: &impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}
