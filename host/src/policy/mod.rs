//! What a validator demands beyond the protocol: read from TOML, it sizes
//! challenges and judges verified results.
//!
//! ```text
//! Policy ── request(target) ─▶ Request ─▶ challenge        before the run
//!        └─ judge(facts) ────▶ Judgement ─▶ verdict        after verification
//! ```
//!
//! Fields and rules have one table, `table.rs`: the structs of a [`Policy`], defaults,
//! bounds, the template, codes, the schema of verdicts and the judgement derive from it.
//!
//! Guarantees: a [`Policy`] that was read satisfies every bound of its fields; a
//! judgement names everything that it holds against a result, by stable codes.
//! Deliberately lacks: clocks, records and sessions. What they know comes as
//! [`Facts`]; and any way to turn a failed verification into a passed one.

pub mod codes;
mod demand;
mod digest;
mod driver_version;
mod facts;
mod field;
mod figures;
mod findings;
mod judge;
mod read;
mod round;
mod rule;
mod rules;
mod size;
mod table;
mod template;

pub use crate::protocol::judgement::{Judgement, Reason, Weight};
pub use demand::Demand;
pub use facts::{Facts, RoundFacts, SessionFacts};
pub use findings::Findings;
pub use read::{POLICY_BYTES_MAX, PolicyError};
pub use round::{Fixed, ROUNDS_MAX, Round, RoundKind, RoundOn};
pub use rule::{Rule, Standing};
pub use size::{Rig, RoundPlan, SizeError, Target};
pub use table::{
    Devices, Fp64, History, Host, Integer, Memory, NETWORK_BYTES_MAX, Network, Policy, Prices,
    RULES, Session, Soundness, Telemetry, Time,
};

use crate::protocol::bound::OmittedShare;
use std::time::Duration;

/// Bytes each way of a network part that is demanded and whose size nobody named.
const NETWORK_BYTES_DEFAULT: u64 = 64 << 20;

impl History {
    /// The window.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_days.saturating_mul(24 * 3600))
    }
}

impl Policy {
    /// Whether a peer is refused that has ended `dodges` meetings before a challenge
    /// within `session.dodge_window_s`: its session ends as `too-many-dodges`.
    pub(crate) fn refuses_dodger(&self, dodges: u64) -> bool {
        self.session.dodges_max > 0 && dodges > self.session.dodges_max
    }

    /// The bytes each way of a session's network part, if there is one: those that were
    /// typed, or else the policy's.
    pub fn network_bytes(&self, typed: Option<u64>) -> Option<u64> {
        let of_policy = match self.network {
            Network { bytes_each_way: 0, network_mbit_min } if network_mbit_min > 0.0 => {
                NETWORK_BYTES_DEFAULT
            }
            Network { bytes_each_way, .. } => bytes_each_way,
        };
        Some(typed.unwrap_or(of_policy)).filter(|&bytes| bytes > 0)
    }

    /// f of the soundness; one tenth if the field is outside its bounds, which
    /// it cannot be in a policy that was read.
    pub fn omitted_share(&self) -> OmittedShare {
        OmittedShare::new(self.soundness.omitted_share).unwrap_or_default()
    }
}
