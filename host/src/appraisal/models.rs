//! What GPU models can do at most, from their vendor's papers or, if a row says
//! so, from secondary pages: the validator's own table for the time floor. The numbers
//! are data, `models.toml` or a file of the same form ([`ModelTable`]); what follows
//! from them is here.
//!
//! Guarantees: every row has its source; each peak reproduces the FP64 rate and
//! the int8 or FP16 rate that is printed of the model; a model that is not
//! in the table has no floor; one table is in force as long as the process runs.
//! Deliberately lacks: models whose clocks or rates are not known, and MIG
//! instances and virtual GPUs, which have names of their own.
//!
//! Three things are assumed and can't be looked up. First, that a device's tensor
//! cores and its other pipes together do no more of a kind of work than the faster of
//! the two and [`MARGIN`]. Second, that nobody emulates an ordered binary64
//! multiply-add with fewer than [`EMULATION_INSTRUCTIONS`] other instructions. Third,
//! that products of int8 come no faster from other units than [`FP16_MARGIN`] says.
//!
//! The third, by unit. An int8 has eight bits: FP8 (E4M3) holds integers up to 16, so
//! two digits and three products at Karatsuba's best, and no model's FP8 rate is three
//! times the larger of its int8 and FP16 rates. int4 takes four, at twice the int8 rate.
//! FP4 holds 15 values, fewer than the 16 that two digits would need: three digits and
//! nine products, six at best; Blackwell Ultra's dense FP4 rate is six times its FP16
//! rate, without the sums that each of the six needs. Structured sparsity halves a product
//! that must first be cut in two. FP16 (and BF16) hold an int8 and the sums of two or
//! four, and FP32 accumulators hold 1024 products of 14 bits exactly.

mod read;
mod table;

pub use read::{MODELS_BYTES_MAX, ModelsError};
pub use table::{Chip, InForce, ModelTable};

use std::sync::OnceLock;

/// Over the peak: clocks set above the highest that the driver reports.
pub const MARGIN: f64 = 1.1;

/// Over the int8 rate that a model is taken to sustain, for what an honest run can be held
/// to: the floor then lies as far below an honest run as for FP64 products.
const INT8_MARGIN: f64 = 1.25;

/// Over the peak of FP16 tensor cores that multiply int8: as [`MARGIN`], and one level
/// of Strassen's method, seven products in place of eight.
pub const FP16_MARGIN: f64 = 1.25;

/// Thread instructions of any kind that an SM of these models starts per clock:
/// four schedulers, one instruction of 32 threads each.
/// Source: CUDA C++ Programming Guide, "Multiprocessor", compute capability 7.0
/// to 12.0.
const ISSUE_PER_SM_CLOCK: u32 = 128;

/// Fewest instructions, besides FP64 ones, for one ordered multiply-add of
/// binary64 values: what was found possible on paper, docs/models.md, "Binary64 without
/// FP64 units". Three 32-bit multiply-adds, a shift and an addition for what rounding takes
/// off each term, beside tensor cores that sum the terms exactly; nothing for loads, for
/// steps from one binade to another, and for multipliers that start but half of an SM's
/// threads a clock.
pub const EMULATION_INSTRUCTIONS: u32 = 5;

/// A GPU model, as its vendor describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// As the driver reports it; older drivers leave out a leading "NVIDIA ".
    pub name: String,
    /// The name of its chip.
    pub chip: String,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// The clock of the printed peak rates, MHz.
    pub boost_clock_mhz: u32,
    /// The highest SM clock that the driver reports ("Max Clocks" of
    /// `nvidia-smi -q -d CLOCK`), MHz: the boost clock on data-centre cards,
    /// more on the others.
    pub max_clock_mhz: u32,
    /// Fused multiply-adds of binary64 values per SM and clock, on tensor cores
    /// if they are faster and give the same bits, else on the FMA pipe.
    pub fp64_fma_per_sm_clock: u32,
    /// The FP64 rate that the vendor prints for that way, 10¹² operations a
    /// second.
    pub printed_tflops: f64,
    /// Multiply-adds of int8 with int32 accumulators per SM and clock, on dense tensor
    /// cores, or by `dp4a` if they have no int8 or hardly any.
    pub int8_mac_per_sm_clock: u32,
    /// Fused multiply-adds of binary16 with binary32 accumulators per SM and clock, on
    /// dense tensor cores.
    pub fp16_fma_per_sm_clock: u32,
    /// The dense rate that the vendor prints for the faster way to int8 products, 10¹²
    /// operations a second: int8's, or FP16's if that is 1.25 times as fast.
    pub printed_int8_tops: f64,
    /// The share of the int8 peak at the boost clock that this program's kernels are
    /// taken to hold under sustained load.
    pub int8_sustained_share: f64,
    /// Memory, GB as the vendor counts them: drivers report up to 2³⁰ bytes for
    /// each, and some keep a tenth of it for themselves.
    pub memory_gb: u32,
    /// Memory bandwidth, 10⁹ bytes a second.
    pub bandwidth_gb_s: u32,
    /// What its NVLinks together carry in one direction, 10⁹ bytes a second; `None`: it has
    /// none, or the vendor prints nothing.
    pub nvlink_gb_s: Option<u32>,
    /// Where these numbers are from.
    pub source: String,
}

impl Model {
    /// FP64 operations a second at the boost clock, the FP64 units alone.
    pub(crate) fn peak_flops(&self) -> f64 {
        flops(self.sm_count, self.boost_clock_mhz, self.fp64_fma_per_sm_clock)
    }

    /// Operations a second of the FP64 units at the boost clock, and 10 %: as
    /// [`Self::floor_flops`] if that is the highest clock and they are the fastest
    /// way, less elsewhere. What an honest run can be held to: no card stays at a clock
    /// above its boost clock under this load.
    pub fn native_floor_flops(&self) -> f64 {
        MARGIN * self.peak_flops()
    }

    /// F of docs/protocol.md for integer products: int8 operations a second of the
    /// fastest way at the highest clock, with its margin.
    pub fn floor_int8_ops(&self) -> f64 {
        let Self { sm_count, max_clock_mhz, .. } = *self;
        fastest_int8(self.int8_mac_per_sm_clock, self.fp16_fma_per_sm_clock)
            * flops(sm_count, max_clock_mhz, 1.0)
    }

    /// int8 operations a second that an honest run is expected to do.
    pub fn sustained_int8_ops(&self) -> f64 {
        self.int8_sustained_share
            * flops(self.sm_count, self.boost_clock_mhz, self.int8_mac_per_sm_clock)
    }

    /// Operations a second that the floor of an honest run of integer products is made of:
    /// what it is expected to do and a quarter. Power ends the clocks of int8 tensor cores far
    /// below the boost clock, so that the peak is no measure.
    pub fn native_floor_int8_ops(&self) -> f64 {
        INT8_MARGIN * self.sustained_int8_ops()
    }

    /// Bytes of memory as the vendor prints it: 10⁹ a GB.
    pub fn memory_bytes(&self) -> u64 {
        1_000_000_000 * u64::from(self.memory_gb)
    }

    /// Bytes of memory that a device of it has at most: drivers report up to 2³⁰ a GB.
    pub(crate) fn memory_bytes_max(&self) -> u64 {
        u64::from(self.memory_gb) << 30
    }

    /// Bytes a second of its memory at most: the printed bandwidth and 10 %.
    pub(crate) fn floor_bytes_per_s(&self) -> f64 {
        MARGIN * 1e9 * f64::from(self.bandwidth_gb_s)
    }

    /// F of docs/protocol.md: operations a second of the fastest way to these
    /// bits at the highest clock, and 10 %. If FP64 units are few the
    /// fastest way may be to emulate them.
    pub fn floor_flops(&self) -> f64 {
        MARGIN * flops(self.sm_count, self.max_clock_mhz, fastest_fp64(self.fp64_fma_per_sm_clock))
    }
}

/// Multiply-adds per SM and clock of the fastest way to ordered binary64 products.
fn fastest_fp64(fp64_fma: u32) -> f64 {
    f64::from(fp64_fma).max(f64::from(ISSUE_PER_SM_CLOCK) / f64::from(EMULATION_INSTRUCTIONS))
}

/// Multiply-adds per SM and clock of the fastest way to products of int8, with the
/// margin of that way.
fn fastest_int8(int8_mac: u32, fp16_fma: u32) -> f64 {
    (MARGIN * f64::from(int8_mac)).max(FP16_MARGIN * f64::from(fp16_fma))
}

/// Whether FP16 tensor cores are the faster way to products of int8, margins counted.
fn is_fp16_faster(int8_mac: u32, fp16_fma: u32) -> bool {
    FP16_MARGIN * f64::from(fp16_fma) > MARGIN * f64::from(int8_mac)
}

/// A multiply-add counts as two operations.
fn flops(sm_count: u32, clock_mhz: u32, fma_per_sm_clock: impl Into<f64>) -> f64 {
    2e6 * f64::from(sm_count) * f64::from(clock_mhz) * fma_per_sm_clock.into()
}

/// The table in force.
static IN_FORCE: OnceLock<ModelTable> = OnceLock::new();

/// The table by which this process judges: the built-in one, unless [`put_in_force`] came first.
pub fn in_force() -> &'static ModelTable {
    IN_FORCE.get_or_init(ModelTable::built_in)
}

/// Has this process judge by `table` from now on. A process has one table, so that no verdict
/// is made by two.
///
/// # Errors
/// A table is in force already: one was put there before, or used.
pub fn put_in_force(table: ModelTable) -> Result<(), InForce> {
    IN_FORCE.set(table).map_err(|_| InForce)
}

/// The models of the table in force, in its order.
pub fn all() -> &'static [Model] {
    in_force().models()
}

/// The model of this name; `None` if it is not in the table.
pub fn find(name: &str) -> Option<&'static Model> {
    all().iter().find(|model| is_same_name(&model.name, name))
}

/// The memory of the model of this name by its printed size, bytes; `None` if it is not in
/// the table.
pub fn memory_bytes(name: &str) -> Option<u64> {
    find(name).map(Model::memory_bytes)
}

/// Whether two names are one model's: older drivers leave out the vendor.
pub fn is_same_name(a: &str, b: &str) -> bool {
    without_vendor(a) == without_vendor(b)
}

fn without_vendor(name: &str) -> &str {
    name.strip_prefix("NVIDIA ").unwrap_or(name)
}

/// The table as [`crate::protocol::circumstances::Circumstances`] takes it.
pub fn floor_flops(name: &str) -> Option<f64> {
    find(name).map(Model::floor_flops)
}

/// [`Model::floor_flops`] of a model that is not in the table, from what a device
/// reports: SMs, highest clock and compute capability, such as "9.0". It
/// bounds a claim by other claims, and no more.
pub(crate) fn computed_floor_flops(sm_count: u32, clock_mhz: u32, capability: &str) -> f64 {
    let chip = in_force().chip(capability);
    MARGIN * flops(sm_count, clock_mhz, fastest_fp64(chip.fp64_fma_per_sm_clock))
}

/// [`Model::floor_int8_ops`], likewise.
pub(crate) fn computed_floor_int8_ops(sm_count: u32, clock_mhz: u32, capability: &str) -> f64 {
    let chip = in_force().chip(capability);
    fastest_int8(chip.int8_mac_per_sm_clock, chip.fp16_fma_per_sm_clock)
        * flops(sm_count, clock_mhz, 1.0)
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
