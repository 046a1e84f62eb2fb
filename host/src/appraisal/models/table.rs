//! A table of GPU models and of their chips, and the digest by which verdicts name it.
//!
//! Guarantees: no two rows have one name; two files with the same numbers have the same
//! digest, whatever their order, comments and sources.
//! Deliberately lacks: a way to change a table. It is read whole ([`super::read`]).

use super::Model;
use crate::protocol::digest::Digest;
use serde_json::json;
use std::sync::OnceLock;

/// The text of the built-in table.
const BUILT_IN: &str = include_str!("../models.toml");

/// Multiply-adds that an SM of a chip does in a clock, on the fastest of its units for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// As the table calls it.
    pub name: String,
    /// Compute capabilities of devices with it, such as "9.0".
    pub compute_capabilities: Vec<String>,
    /// Of binary64.
    pub fp64_fma_per_sm_clock: u32,
    /// Of int8 with int32 accumulators, dense.
    pub int8_mac_per_sm_clock: u32,
    /// Of binary16 with binary32 accumulators, dense.
    pub fp16_fma_per_sm_clock: u32,
    /// Where these numbers are from.
    pub source: String,
}

/// GPU models and their chips.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTable {
    pub(super) chips: Vec<Chip>,
    pub(super) models: Vec<Model>,
    /// For devices whose compute capability no chip has: the most of each column.
    pub(super) unknown: Chip,
    pub(super) digest: Digest,
}

/// A table is in force already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a table of models is in force already\nPut a table in force before anything is judged or sized, and once."
)]
pub struct InForce;

impl ModelTable {
    /// The table that is part of the program.
    pub fn built_in() -> Self {
        // A test reads it.
        Self::from_toml(BUILT_IN, "models.toml").expect("the built-in table keeps its own bounds")
    }

    /// The text of the built-in table, with all sources and comments.
    pub fn built_in_text() -> &'static str {
        BUILT_IN
    }

    pub(super) fn new(chips: Vec<Chip>, models: Vec<Model>) -> Self {
        let most = |column: fn(&Chip) -> u32| chips.iter().map(column).max().unwrap_or(0);
        let unknown = Chip {
            name: String::new(),
            compute_capabilities: Vec::new(),
            fp64_fma_per_sm_clock: most(|chip| chip.fp64_fma_per_sm_clock),
            int8_mac_per_sm_clock: most(|chip| chip.int8_mac_per_sm_clock),
            fp16_fma_per_sm_clock: most(|chip| chip.fp16_fma_per_sm_clock),
            source: String::new(),
        };
        let digest = digest(&chips, &models);
        Self { chips, models, unknown, digest }
    }

    /// Its models, in the file's order; at least one.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Its chips, in the file's order; at least one.
    pub fn chips(&self) -> &[Chip] {
        &self.chips
    }

    /// The chip of a device by its compute capability, such as "9.0"; one that is newer or
    /// unknown is taken to be as fast as the fastest in everything.
    pub fn chip(&self, capability: &str) -> &Chip {
        let of = |chip: &&Chip| chip.compute_capabilities.iter().any(|known| known == capability);
        self.chips.iter().find(of).unwrap_or(&self.unknown)
    }

    /// SHA-256 of the RFC 8785 form of its numbers.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of a table with other numbers than the built-in one; `None` of that one.
    pub fn foreign_digest(&self) -> Option<Digest> {
        static OWN: OnceLock<Digest> = OnceLock::new();
        let own = OWN.get_or_init(|| Self::built_in().digest);
        (self.digest != *own).then_some(self.digest)
    }
}

/// The digest of these numbers, in the order of the names.
fn digest(chips: &[Chip], models: &[Model]) -> Digest {
    let rates = |fp64: u32, int8: u32, fp16: u32| json!([fp64, int8, fp16]);
    let of_chip = |chip: &Chip| {
        let mut capabilities = chip.compute_capabilities.clone();
        capabilities.sort();
        let Chip { fp64_fma_per_sm_clock, int8_mac_per_sm_clock, fp16_fma_per_sm_clock, .. } = chip;
        let rates = rates(*fp64_fma_per_sm_clock, *int8_mac_per_sm_clock, *fp16_fma_per_sm_clock);
        json!({ "compute_capabilities": capabilities, "rates": rates })
    };
    let of_model = |model: &Model| {
        json!({
            "name": model.name,
            "sm_count": model.sm_count,
            "clocks_mhz": [model.boost_clock_mhz, model.max_clock_mhz],
            "rates": rates(
                model.fp64_fma_per_sm_clock,
                model.int8_mac_per_sm_clock,
                model.fp16_fma_per_sm_clock,
            ),
            "printed": [model.printed_tflops, model.printed_int8_tops],
            "int8_sustained_share": model.int8_sustained_share,
            "memory_gb": model.memory_gb,
            "bandwidth_gb_s": model.bandwidth_gb_s,
            "nvlink_gb_s": model.nvlink_gb_s,
        })
    };
    let mut chips: Vec<_> = chips.iter().collect();
    chips.sort_by(|a, b| {
        a.compute_capabilities.iter().min().cmp(&b.compute_capabilities.iter().min())
    });
    let mut models: Vec<_> = models.iter().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let table = json!({
        "chips": chips.into_iter().map(of_chip).collect::<Vec<_>>(),
        "models": models.into_iter().map(of_model).collect::<Vec<_>>(),
    });
    let form = serde_json_canonicalizer::to_vec(&table)
        .expect("strings, integers and finite numbers have a canonical form");
    Digest::of(&[&form])
}
