//! What GPU models can do at most, from their vendor's papers or, if a row says
//! so, from secondary pages: the validator's own table for the time floor.
//!
//! Guarantees: every number has its source; each peak reproduces the FP64 rate and
//! the int8 or FP16 rate that is printed of the model (tested); a model that is not
//! here has no floor.
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
/// binary64 values: what was found possible on paper, docs/policy.md, "Binary64 without
/// FP64 units". Three 32-bit multiply-adds, a shift and an addition for what rounding takes
/// off each term, beside tensor cores that sum the terms exactly; nothing for loads, for
/// steps from one binade to another, and for multipliers that start but half of an SM's
/// threads a clock.
pub const EMULATION_INSTRUCTIONS: u32 = 5;

/// A GPU model, as its vendor describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// As the driver reports it; older drivers leave out a leading "NVIDIA ".
    pub name: &'static str,
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

/// A multiply-add counts as two operations.
fn flops(sm_count: u32, clock_mhz: u32, fma_per_sm_clock: impl Into<f64>) -> f64 {
    2e6 * f64::from(sm_count) * f64::from(clock_mhz) * fma_per_sm_clock.into()
}

/// The model of this name; `None` if it is not in the table.
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| is_same_name(model.name, name))
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

/// The chip of a device by its compute capability, such as "9.0"; the fastest for one
/// that is newer or unknown.
fn chip(capability: &str) -> Chip {
    match capability {
        "6.0" => GP100,
        "6.1" | "6.2" => FEW_FP64_DP4A,
        "7.0" | "7.2" => GV100,
        "7.5" | "8.6" | "8.9" | "12.0" | "12.1" => FEW_FP64,
        "8.0" => GA100,
        "8.7" => Chip { fp64: FEW_FP64.fp64, ..GA100 },
        "9.0" => GH100,
        "10.0" => GB100,
        "10.3" => ULTRA,
        _ => Chip { fp64: GH100.fp64, ..GB100 },
    }
}

/// [`Model::floor_flops`] of a model that is not in the table, from what a device
/// reports: SMs, highest clock and compute capability, such as "9.0". It
/// bounds a claim by other claims, and no more.
pub(crate) fn computed_floor_flops(sm_count: u32, clock_mhz: u32, capability: &str) -> f64 {
    MARGIN * flops(sm_count, clock_mhz, fastest_fp64(chip(capability).fp64))
}

/// [`Model::floor_int8_ops`], likewise.
pub(crate) fn computed_floor_int8_ops(sm_count: u32, clock_mhz: u32, capability: &str) -> f64 {
    let Chip { int8, fp16, .. } = chip(capability);
    fastest_int8(int8, fp16) * flops(sm_count, clock_mhz, 1.0)
}

/// Multiply-adds that an SM of a chip does in a clock: of binary64, of int8 with int32
/// accumulators, of binary16 with binary32 accumulators, dense, on the fastest of its
/// units for each.
#[derive(Clone, Copy)]
struct Chip {
    fp64: u32,
    int8: u32,
    fp16: u32,
}

/// GB100. FP64 and FP64 tensor rates are printed alike: 64 per SM and clock. FP16 and int8
/// are twice GH100's ("NVIDIA Blackwell Architecture Technical Brief": 2.25 and 4.5 P dense
/// for HGX B200).
const GB100: Chip = Chip { fp64: 64, int8: 8192, fp16: 4096 };
/// Blackwell Ultra, compute capability 10.3: two of FP64, on tensor cores as beside them. The
/// HGX B300 datasheet prints 10 TFLOP/s of both for eight GPUs; a public measurement of 2026
/// found 1.20 for one, which is two at its clock. Its int8 is that of `dp4a`, 64 a clock with
/// four each: 0.15 P dense of one B300 at its clock (2 to 3 P with sparsity are printed of
/// eight); FP16 is GB100's.
const ULTRA: Chip = Chip { fp64: 2, int8: 256, fp16: 4096 };
/// GH100: 128 on tensor cores, twice its FMA pipe ("NVIDIA H100 Tensor Core GPU
/// Architecture", table of GPU features); FP16 and int8 twice GA100's (the same, table 2).
const GH100: Chip = Chip { fp64: 128, int8: 4096, fp16: 2048 };
/// GA100: 64 on tensor cores, twice its FMA pipe ("NVIDIA A100 Tensor Core GPU
/// Architecture", table 1); FP16 1024, int8 twice that (the same, "A100 Tensor Cores").
const GA100: Chip = Chip { fp64: 64, int8: 2048, fp16: 1024 };
/// GV100: 32 FP64 cores an SM ("NVIDIA Tesla V100 GPU Architecture", table 1). Its tensor
/// cores have FP16 alone, 512 (the same, "Tensor Cores"); int8 is `dp4a`, 64 of four (CUDA
/// C++ Programming Guide, throughput of native arithmetic instructions, capability 7.0).
const GV100: Chip = Chip { fp64: 32, int8: 256, fp16: 512 };
/// TU104, GA102, AD102, AD104, GB202: two FP64 cores an SM (the whitepapers of
/// Turing, GA102, Ada and RTX Blackwell: 1/64 of FP32, on Turing 1/32). FP16 512 and int8
/// 1024 (the same, "Tensor Cores"); with FP32 accumulators GeForce cards do half of the 512.
const FEW_FP64: Chip = Chip { fp64: 2, int8: 1024, fp16: 512 };
/// GP102 to GP108: no tensor cores, `dp4a` at 128 a clock ("NVIDIA Tesla P40" datasheet: 47
/// TOPS). Not in the table.
const FEW_FP64_DP4A: Chip = Chip { fp64: 2, int8: 512, fp16: 0 };
/// GP100: half of FP32 ("NVIDIA Tesla P100", table 1) and no `dp4a`; FP16 without tensor
/// cores, 128 a clock. Not in the table.
const GP100: Chip = Chip { fp64: 32, int8: 128, fp16: 128 };

/// The boost clock and the highest, MHz.
type Clocks = (u32, u32);

/// What is printed of products of int8, and the share of the peak that is sustained.
type Int8 = (f64, f64);

/// A row of the table, in as few words as fit in a line.
const fn row(
    name: &'static str,
    chip: Chip,
    sm_count: u32,
    (boost_clock_mhz, max_clock_mhz): Clocks,
    printed_tflops: f64,
    (printed_int8_tops, int8_sustained_share): Int8,
    (memory_gb, bandwidth_gb_s): (u32, u32),
) -> Model {
    Model {
        name,
        sm_count,
        boost_clock_mhz,
        max_clock_mhz,
        fp64_fma_per_sm_clock: chip.fp64,
        printed_tflops,
        int8_mac_per_sm_clock: chip.int8,
        fp16_fma_per_sm_clock: chip.fp16,
        printed_int8_tops,
        int8_sustained_share,
        memory_gb,
        bandwidth_gb_s,
    }
}

/// A data-centre card: the driver reports the boost clock as the highest.
const fn same(clock_mhz: u32) -> Clocks {
    (clock_mhz, clock_mhz)
}

/// What is known. Before each row are its sources: the name of the vendor's paper,
/// "driver" for what only the card's driver says (as its owner saw or published it),
/// "secondary" for dealers and databases, if the vendor's own figure was not at hand.
/// If sources differ the row has what cards were seen to reach: F, 10 % above it,
/// refutes none of them, and a policy demands no more of them than that. Rates of int8 and
/// FP16 are dense: half of what is printed with sparsity.
///
/// Sustained shares are of the int8 peak at the boost clock. Measured (BENCHMARKS.md), on an
/// H200: 1420 of 2141 TOPS by `wgmma`, limited by power, and by `mma.sync` 752 of the 1055 that
/// it can do there, a little more than 0.70. Assumed: 0.70 of what a model can do by the
/// instructions that this program has for it (a fourth of the peak by `mma.sync` on Blackwell's
/// data-centre chips, and by `dp4a` on Turing), and less for boards with less power.
#[rustfmt::skip]
pub const MODELS: &[Model] = &[
    // HGX B200 datasheet: FP64 296 TFLOP/s, int8 72 P (sparse) of eight, 180 GB, 8 TB/s; SMs
    // and clock: driver. The architecture brief of 2024 prints 40, before the clock was known:
    // the row has what the card reaches, and F, with its 10 %, lies above both.
    row("NVIDIA B200", GB100, 148, same(1965), 37.0, (4500.0, 0.175), (180, 8000)),
    // GB200 NVL72 datasheet: FP64 2880 TFLOP/s, int8 720 P (sparse) of 72, 186 GB, 8 TB/s; SMs
    // and clock: driver. The brief of 2024 prints 45 at 1200 W; no driver was seen to report a
    // clock for it.
    row("NVIDIA GB200", GB100, 152, same(2062), 40.0, (5000.0, 0.175), (186, 8000)),
    // HGX B300 datasheet: FP64 10 TFLOP/s, to one digit, FP16 36 P (sparse) of eight, 288 GB,
    // 8 TB/s; SMs and clock: driver; 1.20 TFLOP/s: measured at that clock, and printed by
    // dealers as 1.2. A cloud's own table of the four Blackwells (secondary) has the same FP16
    // and int8 of each, dense, and 7.7 TB/s for all but the GB300: the rows have what the vendor
    // prints, so that no card is refuted.
    row("NVIDIA B300 SXM6 AC", ULTRA, 148, same(2032), 1.2, (2250.0, 0.60), (288, 8000)),
    // GB300 NVL72 page: FP16 360 P (sparse) of 72, 288 GB, 8 TB/s; FP64 of one GPU is printed
    // as 1.2 to 1.3 (secondary); SMs and clock: driver.
    row("NVIDIA GB300", ULTRA, 152, same(2070), 1.25, (2500.0, 0.60), (288, 8000)),
    // H200 datasheet: FP64 tensor 67 TFLOP/s, int8 3958 (sparse), 141 GB, 4.8 TB/s; SMs and
    // clock: driver.
    row("NVIDIA H200", GH100, 132, same(1980), 67.0, (1979.0, 0.65), (141, 4800)),
    // H200 datasheet: FP64 tensor 60 TFLOP/s, int8 3341 (sparse), 141 GB, 4.8 TB/s; SMs and
    // clock: driver.
    row("NVIDIA H200 NVL", GH100, 132, same(1785), 60.0, (1670.5, 0.45), (141, 4800)),
    // GH200 datasheet: FP64 tensor 67 TFLOP/s, int8 3958 (sparse), 96 GB, 4 TB/s; SMs and
    // clock: driver.
    row("NVIDIA GH200 480GB", GH100, 132, same(1980), 67.0, (1979.0, 0.65), (96, 4000)),
    // GH200 datasheet: FP64 tensor 67 TFLOP/s, int8 3958 (sparse), 144 GB, 4.9 TB/s; SMs and
    // clock: driver.
    row("NVIDIA GH200 144G HBM3e", GH100, 132, same(1980), 67.0, (1979.0, 0.65), (144, 4900)),
    // H100 whitepaper, "H100 SXM5": 132 SMs, 66.9 TFLOP/s, int8 1978.9 (at 1830 MHz), 3352
    // GB/s; clock: driver.
    row("NVIDIA H100 80GB HBM3", GH100, 132, same(1980), 66.9, (1978.9, 0.65), (80, 3352)),
    // H100 whitepaper, "H100 PCIe": 114 SMs, 1755 MHz, 51.2 TFLOP/s, int8 1513 (at 1620 MHz),
    // 2039 GB/s.
    row("NVIDIA H100 PCIe", GH100, 114, same(1755), 51.2, (1513.0, 0.35), (80, 2039)),
    // H100 datasheet, "H100 NVL": 60 TFLOP/s, int8 3341 (sparse), 94 GB, 3.9 TB/s; SMs and
    // clock: driver.
    row("NVIDIA H100 NVL", GH100, 132, same(1785), 60.0, (1670.5, 0.35), (94, 3900)),
    // A100 whitepaper: 108 SMs, 1410 MHz, FP64 tensor 19.5 TFLOP/s, int8 624, 1555 GB/s.
    row("NVIDIA A100-SXM4-40GB", GA100, 108, same(1410), 19.5, (624.0, 0.70), (40, 1555)),
    row("NVIDIA A100-PCIE-40GB", GA100, 108, same(1410), 19.5, (624.0, 0.60), (40, 1555)),
    // A100 80GB datasheet: the same chip and rates; 2039 and 1935 GB/s.
    row("NVIDIA A100-SXM4-80GB", GA100, 108, same(1410), 19.5, (624.0, 0.70), (80, 2039)),
    row("NVIDIA A100 80GB PCIe", GA100, 108, same(1410), 19.5, (624.0, 0.60), (80, 1935)),
    // A30 datasheet and product brief: 1440 MHz, FP64 tensor 10.3, int8 330, 933 GB/s; SMs:
    // driver.
    row("NVIDIA A30", GA100, 56, same(1440), 10.3, (330.0, 0.55), (24, 933)),
    // V100 whitepaper and datasheet: 80 SMs, 1530 MHz, FP64 7.8 TFLOP/s, FP16 tensor 125, 900
    // GB/s.
    row("Tesla V100-SXM2-16GB", GV100, 80, same(1530), 7.8, (125.0, 0.60), (16, 900)),
    row("Tesla V100-SXM2-32GB", GV100, 80, same(1530), 7.8, (125.0, 0.60), (32, 900)),
    // V100 datasheet: FP64 7 TFLOP/s, FP16 tensor 112, 900 GB/s; clock: product brief.
    row("Tesla V100-PCIE-16GB", GV100, 80, same(1380), 7.0, (112.0, 0.60), (16, 900)),
    row("Tesla V100-PCIE-32GB", GV100, 80, same(1380), 7.0, (112.0, 0.60), (32, 900)),
    // V100S datasheet: FP64 8.2 TFLOP/s, FP16 tensor 130, 32 GB, 1134 GB/s; clock: driver.
    row("Tesla V100S-PCIE-32GB", GV100, 80, same(1597), 8.2, (130.0, 0.60), (32, 1134)),
    // From here FP64 is printed as a share of FP32: 1/64, Turing 1/32.
    // L40S datasheet: 18176 cores (128 an SM), FP32 91.6, FP8 733 (and int8, as on all of Ada),
    // 864 GB/s; clock: product brief.
    row("NVIDIA L40S", FEW_FP64, 142, same(2520), 91.6 / 64.0, (733.0, 0.50), (48, 864)),
    // L40 datasheet: 18176 cores, FP32 90.5, 864 GB/s; clock: product brief. It prints int8 362,
    // half of what the chip does at that clock on an L40S. The row has the chip's 724, so that
    // no card is refuted.
    row("NVIDIA L40", FEW_FP64, 142, same(2490), 90.5 / 64.0, (724.0, 0.35), (48, 864)),
    // L4 datasheet: FP32 30.3, int8 485 (sparse), 300 GB/s; product brief: 7424 cores, 2040 MHz.
    row("NVIDIA L4", FEW_FP64, 58, same(2040), 30.3 / 64.0, (242.5, 0.25), (24, 300)),
    // A10 datasheet: FP32 31.2, int8 250, 600 GB/s; product brief: 9216 cores, 1695 MHz.
    row("NVIDIA A10", FEW_FP64, 72, same(1695), 31.2 / 64.0, (250.0, 0.45), (24, 600)),
    // A40 datasheet: 10752 cores, FP32 37.4, int8 299.3, 696 GB/s; product brief: 1740 MHz.
    row("NVIDIA A40", FEW_FP64, 84, same(1740), 37.4 / 64.0, (299.3, 0.60), (48, 696)),
    // T4 datasheet: 2560 cores (64 an SM), FP32 8.1, int8 130; product brief: 1590 MHz, 320
    // GB/s. This program has `dp4a` for it, which does a quarter of the peak.
    row("Tesla T4", FEW_FP64, 40, same(1590), 8.1 / 32.0, (130.0, 0.15), (16, 320)),
    // RTX Blackwell whitepaper, appendix A: 170 SMs, 2407 MHz, FP32 104.8, int8 838, 1792
    // GB/s. Highest clock: that of the next row, with the same chip.
    row("NVIDIA GeForce RTX 5090", FEW_FP64, 170, (2407, 3090), 104.8 / 64.0, (838.0, 0.60), (32, 1792)),
    // RTX PRO 6000 Blackwell datasheet: 24064 cores, FP32 125, FP4 4000 (sparse; int8 is a
    // fourth of that), 96 GB, 1792 GB/s; clock and highest clock: driver, as others published
    // it (125 TFLOP/s are 2597 MHz, rounded).
    row("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", FEW_FP64, 188, (2617, 3090), 125.0 / 64.0, (1000.0, 0.55), (96, 1792)),
    // Ada whitepaper: 128 SMs, 2520 MHz, FP32 82.6, int8 660.6, 1008 GB/s; highest clock: driver.
    row("NVIDIA GeForce RTX 4090", FEW_FP64, 128, (2520, 3105), 82.6 / 64.0, (660.6, 0.60), (24, 1008)),
    // GA102 whitepaper: 82 SMs, 1695 MHz, FP32 35.6, int8 284, 936 GB/s; highest clock: driver.
    row("NVIDIA GeForce RTX 3090", FEW_FP64, 82, (1695, 2100), 35.6 / 64.0, (284.0, 0.60), (24, 936)),
    // GA102 whitepaper: 84 SMs, 1800 MHz, FP32 38.7, int8 309.7, 768 GB/s; highest clock: driver.
    row("NVIDIA RTX A6000", FEW_FP64, 84, (1800, 2100), 38.7 / 64.0, (309.7, 0.55), (48, 768)),
    // RTX 6000 Ada datasheet: 18176 cores, FP32 91.1, FP8 1457 (sparse; int8 as FP8), 960 GB/s;
    // clocks: Ada whitepaper, driver.
    row("NVIDIA RTX 6000 Ada Generation", FEW_FP64, 142, (2505, 3105), 91.1 / 64.0, (728.5, 0.50), (48, 960)),
];

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
