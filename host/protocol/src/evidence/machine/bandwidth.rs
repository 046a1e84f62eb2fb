//! How fast memory and links were found to be.

use super::super::described::{Described, described, words};
use serde::Serialize;
use serde_json::Value;

described! {
    /// What was measured of the memory and the links of a machine.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Bandwidth => ClaimedBandwidth {
        /// Device after device.
        pub devices: Vec<DeviceBandwidth>,
        /// Each ordered pair of devices.
        pub peers: Vec<PeerBandwidth>,
    }
}

described! {
    /// What was measured of a device.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct DeviceBandwidth => ClaimedDeviceBandwidth {
        /// Its number.
        pub index: u32,
        /// Device memory: bytes read and bytes written, together.
        pub memory: Figure,
        /// From page-locked host memory.
        pub to_device: Figure,
        /// To page-locked host memory.
        pub to_host: Figure,
    }
}

described! {
    /// What was measured from one device to another.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct PeerBandwidth => ClaimedPeerBandwidth {
        /// Where the data was.
        pub from: u32,
        /// Where it went.
        pub to: u32,
        /// Which way.
        pub way: Way,
        /// Bytes that arrived.
        pub copy: Figure,
    }
}

/// How data gets from one device to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The device it comes from addresses the other's memory.
    Direct,
    /// The driver takes it through the host's memory.
    ThroughHost,
}

/// A rate, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// It was measured.
    Measured(Rate),
    /// It could not be.
    Unknown {
        /// Why.
        unknown: String,
    },
}

described! {
    /// A measured rate.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub struct Rate => ClaimedRate {
        /// Bytes a second, the median of the runs.
        pub bytes_per_s: u64,
        /// The slowest run.
        pub bytes_per_s_min: u64,
        /// The fastest run.
        pub bytes_per_s_max: u64,
        /// Bytes of one copy.
        pub copy_bytes: u64,
        /// How many runs.
        pub runs: u32,
    }
}

words! { Way }

impl Described for Figure {
    type Claimed = ClaimedRate;
    fn claimed(value: &Value) -> Option<ClaimedRate> {
        Rate::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        match self {
            Self::Measured(rate) => rate.bound(text_chars_max),
            Self::Unknown { unknown } => unknown.bound(text_chars_max),
        }
    }
}
