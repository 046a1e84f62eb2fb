//! Reading a table of models from TOML.
//!
//! Guarantees: the text is bounded before it is parsed; a row that was read has a source, its
//! own name, numbers within the bounds of [`NUMBERS`], and peaks that are the printed ones, so
//! that a slip of a digit is an error and not a lower floor; errors name file, line and column.
//! Deliberately lacks: merging with the built-in table. A file is the whole table.

use super::table::{Chip, ModelTable};
use super::{Model, flops};
use crate::protocol::json::printable;
use crate::toml_place::{Misplaced, at, parse, place, place_in_entry};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Longest table, bytes; the built-in one has a fifteenth of it.
pub const MODELS_BYTES_MAX: usize = 256 * 1024;
/// Most models of a table.
const MODELS_MAX: usize = 512;
/// Most chips of a table.
const CHIPS_MAX: usize = 64;
/// Most compute capabilities of a chip.
const CAPABILITIES_MAX: usize = 16;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 96;
/// Longest source, bytes.
const SOURCE_BYTES_MAX: usize = 2000;
/// How far the FP64 peak that follows from SMs, clock and chip may be from the printed one.
const FP64_PEAK: RangeInclusive<f64> = 0.97..=1.03;
/// Likewise of int8, which some vendors print at lower clocks.
const INT8_PEAK: RangeInclusive<f64> = 0.97..=1.2;

/// Why a text is no table of models. Two lines: what is wrong where, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelsError {
    /// Too long to be one.
    #[error(
        "{name} has {got_bytes} bytes; a table of models has at most {MODELS_BYTES_MAX}\nCheck that it is a table of models: `attest policy models` prints one."
    )]
    TooLong {
        /// The file.
        name: String,
        /// Its length.
        got_bytes: usize,
    },
    /// Something is wrong at one place of it.
    #[error(transparent)]
    At(#[from] Misplaced),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    chip: Vec<ChipRow>,
    model: Vec<ModelRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChipRow {
    name: String,
    compute_capabilities: Vec<String>,
    fp64_fma_per_sm_clock: u32,
    int8_mac_per_sm_clock: u32,
    fp16_fma_per_sm_clock: u32,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRow {
    name: String,
    chip: String,
    sm_count: u32,
    boost_clock_mhz: u32,
    max_clock_mhz: u32,
    printed_fp64_tflops: f64,
    printed_int8_tops: f64,
    int8_sustained_share: f64,
    memory_gb: u32,
    bandwidth_gb_s: u32,
    nvlink_gb_s: Option<u32>,
    source: String,
}

/// A number of a row, and what it may be.
struct Number<R> {
    name: &'static str,
    low: f64,
    high: f64,
    get: fn(&R) -> f64,
}

/// The numbers of a model and their bounds, far beyond any GPU.
const NUMBERS: &[Number<ModelRow>] = &[
    Number { name: "sm_count", low: 1.0, high: 4096.0, get: |row| row.sm_count.into() },
    Number {
        name: "boost_clock_mhz",
        low: 100.0,
        high: 1e4,
        get: |row| row.boost_clock_mhz.into(),
    },
    Number { name: "max_clock_mhz", low: 100.0, high: 1e4, get: |row| row.max_clock_mhz.into() },
    Number {
        name: "printed_fp64_tflops",
        low: 1e-3,
        high: 1e5,
        get: |row| row.printed_fp64_tflops,
    },
    Number { name: "printed_int8_tops", low: 1e-2, high: 1e7, get: |row| row.printed_int8_tops },
    Number {
        name: "int8_sustained_share",
        low: 0.01,
        high: 0.8,
        get: |row| row.int8_sustained_share,
    },
    Number { name: "memory_gb", low: 1.0, high: 65_536.0, get: |row| row.memory_gb.into() },
    Number { name: "bandwidth_gb_s", low: 1.0, high: 1e6, get: |row| row.bandwidth_gb_s.into() },
    Number {
        name: "nvlink_gb_s",
        low: 1.0,
        high: 1e5,
        get: |row| row.nvlink_gb_s.unwrap_or(1).into(),
    },
];

/// Those of a chip.
const CHIP_NUMBERS: &[Number<ChipRow>] = &[
    Number {
        name: "fp64_fma_per_sm_clock",
        low: 1.0,
        high: 4096.0,
        get: |row| row.fp64_fma_per_sm_clock.into(),
    },
    Number {
        name: "int8_mac_per_sm_clock",
        low: 1.0,
        high: 262_144.0,
        get: |row| row.int8_mac_per_sm_clock.into(),
    },
    Number {
        name: "fp16_fma_per_sm_clock",
        low: 0.0,
        high: 131_072.0,
        get: |row| row.fp16_fma_per_sm_clock.into(),
    },
];

/// What is wrong with a row: the field, what, and what is allowed.
type Breach = (&'static str, String, String);

impl ModelTable {
    /// Reads a table; `name` is the file's, for errors.
    ///
    /// # Errors
    /// The first thing that is no TOML, no field of a table, missing, of the wrong type or
    /// outside its bounds; names or compute capabilities that two rows share; a chip that is
    /// not in the file; peaks that are not the printed ones.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, ModelsError> {
        if text.len() > MODELS_BYTES_MAX {
            return Err(ModelsError::TooLong { name: name.to_owned(), got_bytes: text.len() });
        }
        let file: File = parse(text, name, SEE_DOCS)?;
        for (array, count, most) in
            [("chip", file.chip.len(), CHIPS_MAX), ("model", file.model.len(), MODELS_MAX)]
        {
            if !(1..=most).contains(&count) {
                let what = format!("{count} entries of `{array}`");
                let allowed = format!("Allowed are 1 to {most}.");
                return Err(at(name, text, place(text, "", array), &what, allowed).into());
            }
        }
        let in_entry = |array, index, (field, what, allowed): Breach| {
            at(name, text, place_in_entry(text, array, index, field), &what, allowed)
        };
        let (mut names, mut capabilities) = (BTreeMap::new(), BTreeMap::new());
        for (index, row) in file.chip.iter().enumerate() {
            row.check(index, &mut names, &mut capabilities)
                .map_err(|breach| in_entry("chip", index, breach))?;
        }
        let mut models = Vec::with_capacity(file.model.len());
        let mut names = BTreeMap::new();
        for (index, row) in file.model.iter().enumerate() {
            let model = row.check(index, &mut names, &file.chip);
            models.push(model.map_err(|breach| in_entry("model", index, breach))?);
        }
        Ok(Self::new(file.chip.into_iter().map(Chip::from).collect(), models))
    }
}

const SEE_DOCS: &str = "See `attest policy models` for a table with every field.";

impl ChipRow {
    fn check(
        &self,
        index: usize,
        names: &mut BTreeMap<String, usize>,
        capabilities: &mut BTreeMap<String, usize>,
    ) -> Result<(), Breach> {
        check_name(&self.name, index, names)?;
        check_source(&self.source)?;
        let field = "compute_capabilities";
        let count = self.compute_capabilities.len();
        if !(1..=CAPABILITIES_MAX).contains(&count) {
            let allowed = format!("Allowed are 1 to {CAPABILITIES_MAX}.");
            return Err((field, format!("{count} compute capabilities"), allowed));
        }
        for capability in &self.compute_capabilities {
            if !is_capability(capability) {
                let what = format!("{:?} is no compute capability", printable(capability));
                return Err((field, what, "Allowed is a text such as \"9.0\".".to_owned()));
            }
            if let Some(first) = capabilities.insert(capability.clone(), index) {
                let what = format!("{capability} is that of chip {first} already");
                return Err((field, what, "Name each compute capability once.".to_owned()));
            }
        }
        check_numbers(self, CHIP_NUMBERS)
    }
}

impl From<ChipRow> for Chip {
    fn from(row: ChipRow) -> Self {
        Self {
            name: row.name,
            compute_capabilities: row.compute_capabilities,
            fp64_fma_per_sm_clock: row.fp64_fma_per_sm_clock,
            int8_mac_per_sm_clock: row.int8_mac_per_sm_clock,
            fp16_fma_per_sm_clock: row.fp16_fma_per_sm_clock,
            source: row.source,
        }
    }
}

impl ModelRow {
    fn check(
        &self,
        index: usize,
        names: &mut BTreeMap<String, usize>,
        chips: &[ChipRow],
    ) -> Result<Model, Breach> {
        check_name(&self.name, index, names)?;
        check_source(&self.source)?;
        let Some(chip) = chips.iter().find(|chip| chip.name == self.chip) else {
            let what = format!("there is no chip {:?}", printable(&self.chip));
            return Err(("chip", what, "Allowed is the name of a [[chip]] of this file.".into()));
        };
        check_numbers(self, NUMBERS)?;
        if self.max_clock_mhz < self.boost_clock_mhz {
            let what = format!("max_clock_mhz is {}", self.max_clock_mhz);
            let allowed = format!("Allowed is boost_clock_mhz, {}, or more.", self.boost_clock_mhz);
            return Err(("max_clock_mhz", what, allowed));
        }
        let peak = |rate: u32| 1e-12 * flops(self.sm_count, self.boost_clock_mhz, rate);
        let int8_rate =
            match super::is_fp16_faster(chip.int8_mac_per_sm_clock, chip.fp16_fma_per_sm_clock) {
                true => chip.fp16_fma_per_sm_clock,
                false => chip.int8_mac_per_sm_clock,
            };
        for (field, printed, peak, range) in [
            (
                "printed_fp64_tflops",
                self.printed_fp64_tflops,
                peak(chip.fp64_fma_per_sm_clock),
                FP64_PEAK,
            ),
            ("printed_int8_tops", self.printed_int8_tops, peak(int8_rate), INT8_PEAK),
        ] {
            if !range.contains(&(peak / printed)) {
                let what = format!("{field} is {printed}");
                let allowed = format!(
                    "SMs, boost clock and chip give {peak:.4}: allowed is {:.4} to {:.4}.",
                    peak / range.end(),
                    peak / range.start()
                );
                return Err((field, what, allowed));
            }
        }
        Ok(Model {
            chip: chip.name.clone(),
            name: self.name.clone(),
            sm_count: self.sm_count,
            boost_clock_mhz: self.boost_clock_mhz,
            max_clock_mhz: self.max_clock_mhz,
            fp64_fma_per_sm_clock: chip.fp64_fma_per_sm_clock,
            printed_tflops: self.printed_fp64_tflops,
            int8_mac_per_sm_clock: chip.int8_mac_per_sm_clock,
            fp16_fma_per_sm_clock: chip.fp16_fma_per_sm_clock,
            printed_int8_tops: self.printed_int8_tops,
            int8_sustained_share: self.int8_sustained_share,
            memory_gb: self.memory_gb,
            bandwidth_gb_s: self.bandwidth_gb_s,
            nvlink_gb_s: self.nvlink_gb_s,
            source: self.source.clone(),
        })
    }
}

fn check_numbers<R>(row: &R, numbers: &[Number<R>]) -> Result<(), Breach> {
    for Number { name, low, high, get } in numbers {
        let got = get(row);
        // NaN is in no range.
        if !(*low..=*high).contains(&got) {
            let allowed = format!("Allowed is a number from {low} to {high}.");
            return Err((name, format!("{name} is {got}"), allowed));
        }
    }
    Ok(())
}

/// Names are what a driver reports, to the letter. Two that differ only in case, spaces or the
/// vendor before them would be taken for one by a reader.
fn check_name(name: &str, index: usize, names: &mut BTreeMap<String, usize>) -> Result<(), Breach> {
    let words = name.split(' ').all(|word| !word.is_empty());
    let printed = name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !words || !printed || name.len() > NAME_BYTES_MAX {
        let what = format!("name is {:?}", printable(&name));
        let allowed = format!(
            "Allowed are 1 to {NAME_BYTES_MAX} printable ASCII characters, with single spaces between words."
        );
        return Err(("name", what, allowed));
    }
    if let Some(first) = names.insert(folded(name), index) {
        let what = format!("name is {name:?}, and entry {first} has it already");
        let allowed = "Names differ in more than case, spaces and a leading \"NVIDIA\".".to_owned();
        return Err(("name", what, allowed));
    }
    Ok(())
}

fn folded(name: &str) -> String {
    let letters: String =
        name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    letters.strip_prefix("nvidia").unwrap_or(&letters).to_owned()
}

fn check_source(source: &str) -> Result<(), Breach> {
    if source.trim().is_empty() || source.len() > SOURCE_BYTES_MAX {
        let what = format!("a source of {} bytes", source.len());
        let allowed = format!("Allowed is a text of 1 to {SOURCE_BYTES_MAX} bytes.");
        return Err(("source", what, allowed));
    }
    Ok(())
}

fn is_capability(text: &str) -> bool {
    let number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| number(major) && number(minor))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
