//! A session's network part, in a verdict.

use crate::quantity::at_least;
use schemars::JsonSchema;
use serde::Serialize;

/// What a session's network part showed, by the validator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkShown {
    /// Random bytes that went each way.
    pub bytes_each_way: u64,
    /// Bytes a second to the miner, whose hash came back.
    pub to_miner_bytes_per_s: u64,
    /// Bytes a second back from it, each checked.
    pub to_validator_bytes_per_s: u64,
}

impl NetworkShown {
    /// In the units in which networks are sold, rounded down.
    pub fn in_words(&self) -> String {
        let [there, back] = [self.to_miner_bytes_per_s, self.to_validator_bytes_per_s]
            .map(|bytes_per_s| at_least(8.0 * bytes_per_s as f64, "bit/s"));
        format!("{there} to the miner and {back} back")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_bits_and_rounded_down() {
        let shown = NetworkShown {
            bytes_each_way: 1 << 26,
            to_miner_bytes_per_s: 117_499_999,
            to_validator_bytes_per_s: 12_500_000,
        };
        assert_eq!(shown.in_words(), "939.9 Mbit/s to the miner and 100.0 Mbit/s back");
    }
}
