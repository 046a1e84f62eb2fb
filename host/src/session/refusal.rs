//! What a miner refuses, though the validator broke no rule of the session.
//!
//! Guarantees: each refusal has a stable name, and two lines: what happened, what to
//! try; the validator is told, in a message `failed`.
//! Deliberately lacks: the validator's faults; those are [`super::fault`]'s.

use super::fault::OwnFault;
use std::fmt;

macro_rules! refusals {
    ($($variant:ident $code:literal $advice:literal;)*) => {
        /// Why a miner does not do, or no longer does, what is asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $(#[doc = concat!("`", $code, "`. ", $advice)] $variant,)*
        }

        impl RefusalCode {
            /// All of them.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$variant),*];

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

refusals! {
    OtherValidator "other-validator" "Issue the challenge with the key of the connection (--key).";
    OtherMiner "other-miner" "Ask for a challenge with this miner's key, or give the right --key.";
    TooSlow "too-slow" "Ask for less work, or allow more time (--max-duration).";
    TooLarge "too-large" "Ask for fewer iterations, fewer products or a smaller dimension.";
    TimeOver "time-over" "Ask for less work, or allow more time (--max-duration).";
    SessionOver "session-over" "Ask for less, or let the miner hold longer sessions (respond --max-session).";
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The named reason.
    pub code: RefusalCode,
    /// Expected and got.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its numbers, one line.
    pub fn new(code: RefusalCode, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n{}", self.code.code(), self.detail, self.code.advice())
    }
}

/// Why there is no commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unable {
    /// The miner does not want to.
    Refused(Refusal),
    /// A fault of its own.
    Own(OwnFault),
}

impl From<OwnFault> for Unable {
    fn from(own: OwnFault) -> Self {
        Self::Own(own)
    }
}

impl From<Refusal> for Unable {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
