//! What a lane's device did during the run, as the evidence has it.

use super::described::{Described, described};
use serde::Serialize;
use serde_json::Value;

/// A lane's device over a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LaneTelemetry {
    /// What was seen.
    Sampled(Box<Sampled>),
    /// Nothing was.
    Unknown {
        /// Why.
        unknown: String,
    },
}

impl Described for LaneTelemetry {
    type Claimed = ClaimedSampled;
    fn claimed(value: &Value) -> Option<ClaimedSampled> {
        Sampled::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        match self {
            Self::Sampled(sampled) => sampled.bound(text_chars_max),
            Self::Unknown { unknown } => unknown.bound(text_chars_max),
        }
    }
}

described! {
    /// What was seen of a device.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Sampled => ClaimedSampled {
        /// Readings that this is made of.
        pub samples: u64,
        /// CPU time that asking took, all lanes together, ms.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cpu_ms: Option<u64>,
        /// SM clock, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sm_clock_mhz: Option<Spread>,
        /// Memory clock, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_clock_mhz: Option<Spread>,
        /// Power, mW.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub power_mw: Option<Spread>,
        /// Temperature, °C.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub temperature_c: Option<Spread>,
        /// Share of time in which a kernel ran, %.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub utilization_percent: Option<Spread>,
        /// Share of time in which memory was read or written, %.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_utilization_percent: Option<Spread>,
        /// Energy between the first reading and the last, mJ.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub energy_mj: Option<u64>,
        /// Every reason why clocks were held down at some time, NVML's names.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub throttle_reasons: Option<Vec<String>>,
        /// Evenly spaced readings.
        pub series: Series,
        /// Error counts before the run.
        #[serde(skip_serializing_if = "Health::is_unknown")]
        pub before: Health,
        /// Error counts after it.
        #[serde(skip_serializing_if = "Health::is_unknown")]
        pub after: Health,
    }
}

described! {
    /// A figure over the run.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub struct Spread => ClaimedSpread {
        /// The least of all readings.
        pub min: u64,
        /// Of the readings that were kept.
        pub median: u64,
        /// The greatest of all readings.
        pub max: u64,
        /// The last reading.
        pub last: u64,
    }
}

described! {
    /// Readings one after the other. A figure that was missing once has no series.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Series => ClaimedSeries {
        /// When, ms since the lanes' start.
        pub at_ms: Vec<u64>,
        /// SM clock, MHz.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub sm_clock_mhz: Vec<u32>,
        /// Power, mW.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub power_mw: Vec<u32>,
        /// Temperature, °C.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub temperature_c: Vec<u32>,
    }
}

described! {
    /// Error counts. A fact that NVML does not tell is absent.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Health => ClaimedHealth {
        /// Memory errors corrected since the driver was loaded.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ecc_corrected: Option<u64>,
        /// Memory errors that could not be corrected since the driver was loaded.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ecc_uncorrected: Option<u64>,
        /// Memory rows replaced by spare ones after corrected errors.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub rows_remapped_corrected: Option<u64>,
        /// Memory rows replaced after errors that could not be corrected.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub rows_remapped_uncorrected: Option<u64>,
        /// Whether a replacement waits for the next reset.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remap_pending: Option<bool>,
        /// Whether a replacement has failed: no spare row is left.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remap_failed: Option<bool>,
    }
}

impl Health {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}
