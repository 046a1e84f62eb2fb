//! What GPU models can do at most, from their vendor's papers or, if a row says
//! so, from secondary pages: the validator's own table for the time floor.
//!
//! Guarantees: every number has its source; each peak reproduces the FP64 rate
//! that is printed of the model (tested); a model that is not here has no floor.
//! Deliberately lacks: models whose clocks or rates are not known, and MIG
//! instances and virtual GPUs, which have names of their own.
//!
//! Two things are assumed and can't be looked up. First, that a device's tensor
//! cores and its FMA pipe together do no more FP64 work than the faster of the
//! two and [`MARGIN`]. Second, that nobody emulates an ordered binary64
//! multiply-add with fewer than [`EMULATION_INSTRUCTIONS`] other instructions.

/// Over the peak: clocks set above the highest that the driver reports.
pub const MARGIN: f64 = 1.1;

/// Thread instructions of any kind that an SM of these models starts per clock:
/// four schedulers, one instruction of 32 threads each.
/// Source: CUDA C++ Programming Guide, "Multiprocessor", compute capability 7.0
/// to 12.0.
const ISSUE_PER_SM_CLOCK: u32 = 128;

/// Fewest instructions, besides FP64 ones, for one ordered multiply-add of
/// binary64 values. Four 32-bit products, four additions to align and join
/// them, and a shift, an addition and a rounding of two words each with the
/// carry between them make 16; what is known takes several times as many. With
/// tensor cores for the products, joining their digits takes as long.
pub const EMULATION_INSTRUCTIONS: u32 = 16;

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

    /// Bytes a second of its memory at most: the printed bandwidth and 10 %.
    pub(crate) fn floor_bytes_per_s(&self) -> f64 {
        MARGIN * 1e9 * f64::from(self.bandwidth_gb_s)
    }

    /// F of docs/protocol.md: operations a second of the fastest way to these
    /// bits at the highest clock, and 10 %. If FP64 units are few the
    /// fastest way may be to emulate them.
    pub fn floor_flops(&self) -> f64 {
        let emulated = ISSUE_PER_SM_CLOCK / EMULATION_INSTRUCTIONS;
        let fma_per_sm_clock = self.fp64_fma_per_sm_clock.max(emulated);
        MARGIN * flops(self.sm_count, self.max_clock_mhz, fma_per_sm_clock)
    }
}

/// A multiply-add counts as two operations.
fn flops(sm_count: u32, clock_mhz: u32, fma_per_sm_clock: u32) -> f64 {
    2e6 * f64::from(sm_count) * f64::from(clock_mhz) * f64::from(fma_per_sm_clock)
}

/// The model of this name; `None` if it is not in the table.
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| is_same_name(model.name, name))
}

/// The memory of the model of this name by its printed size, bytes; `None` if it is not in
/// the table.
pub fn memory_bytes(name: &str) -> Option<u64> {
    find(name).map(|model| 1_000_000_000 * u64::from(model.memory_gb))
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
    let emulated = ISSUE_PER_SM_CLOCK / EMULATION_INSTRUCTIONS;
    let fma_per_sm_clock = match capability {
        "6.0" | "7.0" | "7.2" => GV100,
        "8.0" => GA100,
        "9.0" => GH100,
        "10.0" => GB100,
        "10.3" => ULTRA,
        "6.1" | "6.2" | "7.5" | "8.6" | "8.7" | "8.9" | "12.0" | "12.1" => FEW_FP64,
        // Newer or unknown: as much as any does.
        _ => GH100,
    };
    MARGIN * flops(sm_count, clock_mhz, fma_per_sm_clock.max(emulated))
}

// FP64 multiply-adds per SM and clock, which the chip decides.

/// GB100. FP64 and FP64 tensor rates are printed alike: 64 per SM and clock.
const GB100: u32 = 64;
/// Blackwell Ultra, compute capability 10.3: two, on tensor cores as beside them. The HGX
/// B300 datasheet prints 10 TFLOP/s of both for eight GPUs; a public measurement of 2026
/// found 1.20 for one, which is two at its clock.
const ULTRA: u32 = 2;
/// GH100: 128 on tensor cores, twice its FMA pipe ("NVIDIA H100 Tensor Core GPU
/// Architecture", table of GPU features).
const GH100: u32 = 128;
/// GA100: 64 on tensor cores, twice its FMA pipe ("NVIDIA A100 Tensor Core GPU
/// Architecture", table 1).
const GA100: u32 = 64;
/// GV100: 32 FP64 cores an SM ("NVIDIA Tesla V100 GPU Architecture", table 1).
const GV100: u32 = 32;
/// TU104, GA102, AD102, AD104, GB202: two FP64 cores an SM (the whitepapers of
/// Turing, GA102, Ada and RTX Blackwell: 1/64 of FP32, on Turing 1/32).
const FEW_FP64: u32 = 2;

/// The boost clock and the highest, MHz.
type Clocks = (u32, u32);

/// A row of the table, in as few words as fit in a line.
const fn row(
    name: &'static str,
    fp64_fma_per_sm_clock: u32,
    sm_count: u32,
    (boost_clock_mhz, max_clock_mhz): Clocks,
    printed_tflops: f64,
    (memory_gb, bandwidth_gb_s): (u32, u32),
) -> Model {
    Model {
        name,
        sm_count,
        boost_clock_mhz,
        max_clock_mhz,
        fp64_fma_per_sm_clock,
        printed_tflops,
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
/// refutes none of them, and a policy demands no more of them than that.
#[rustfmt::skip]
pub const MODELS: &[Model] = &[
    // HGX B200 datasheet: FP64 296 TFLOP/s of eight, 180 GB, 8 TB/s; SMs and clock: driver.
    // The architecture brief of 2024 prints 40, before the clock was known: the row has what
    // the card reaches, and F, with its 10 %, lies above both.
    row("NVIDIA B200", GB100, 148, same(1965), 37.0, (180, 8000)),
    // GB200 NVL72 datasheet: FP64 2880 TFLOP/s of 72, 186 GB, 8 TB/s; SMs and clock: driver.
    // The brief of 2024 prints 45 at 1200 W; no driver was seen to report a clock for it.
    row("NVIDIA GB200", GB100, 152, same(2062), 40.0, (186, 8000)),
    // HGX B300 datasheet: FP64 10 TFLOP/s of eight, to one digit, 288 GB, 8 TB/s; SMs and
    // clock: driver; 1.20 TFLOP/s: measured at that clock, and printed by dealers as 1.2.
    row("NVIDIA B300 SXM6 AC", ULTRA, 148, same(2032), 1.2, (288, 8000)),
    // GB300 NVL72 page: 288 GB, 8 TB/s; FP64 of one GPU is printed as 1.2 to 1.3
    // (secondary); SMs and clock: driver.
    row("NVIDIA GB300", ULTRA, 152, same(2070), 1.25, (288, 8000)),
    // H200 datasheet: FP64 tensor 67 TFLOP/s, 141 GB, 4.8 TB/s; SMs and clock: driver.
    row("NVIDIA H200", GH100, 132, same(1980), 67.0, (141, 4800)),
    // H200 datasheet: FP64 tensor 60 TFLOP/s, 141 GB, 4.8 TB/s; SMs and clock: driver.
    row("NVIDIA H200 NVL", GH100, 132, same(1785), 60.0, (141, 4800)),
    // GH200 datasheet: FP64 tensor 67 TFLOP/s, 96 GB, 4 TB/s; SMs and clock: driver.
    row("NVIDIA GH200 480GB", GH100, 132, same(1980), 67.0, (96, 4000)),
    // GH200 datasheet: FP64 tensor 67 TFLOP/s, 144 GB, 4.9 TB/s; SMs and clock: driver.
    row("NVIDIA GH200 144G HBM3e", GH100, 132, same(1980), 67.0, (144, 4900)),
    // H100 whitepaper, "H100 SXM5": 132 SMs, 66.9 TFLOP/s, 3352 GB/s; clock: driver.
    row("NVIDIA H100 80GB HBM3", GH100, 132, same(1980), 66.9, (80, 3352)),
    // H100 whitepaper, "H100 PCIe": 114 SMs, 1755 MHz, 51.2 TFLOP/s, 2039 GB/s.
    row("NVIDIA H100 PCIe", GH100, 114, same(1755), 51.2, (80, 2039)),
    // H100 datasheet, "H100 NVL": 60 TFLOP/s, 94 GB, 3.9 TB/s; SMs and clock: driver.
    row("NVIDIA H100 NVL", GH100, 132, same(1785), 60.0, (94, 3900)),
    // A100 whitepaper: 108 SMs, 1410 MHz, FP64 tensor 19.5 TFLOP/s, 1555 GB/s.
    row("NVIDIA A100-SXM4-40GB", GA100, 108, same(1410), 19.5, (40, 1555)),
    row("NVIDIA A100-PCIE-40GB", GA100, 108, same(1410), 19.5, (40, 1555)),
    // A100 80GB datasheet: the same chip and rates; 2039 and 1935 GB/s.
    row("NVIDIA A100-SXM4-80GB", GA100, 108, same(1410), 19.5, (80, 2039)),
    row("NVIDIA A100 80GB PCIe", GA100, 108, same(1410), 19.5, (80, 1935)),
    // A30 datasheet and product brief: 1440 MHz, FP64 tensor 10.3, 933 GB/s; SMs: driver.
    row("NVIDIA A30", GA100, 56, same(1440), 10.3, (24, 933)),
    // V100 whitepaper and datasheet: 80 SMs, 1530 MHz, FP64 7.8 TFLOP/s, 900 GB/s.
    row("Tesla V100-SXM2-16GB", GV100, 80, same(1530), 7.8, (16, 900)),
    row("Tesla V100-SXM2-32GB", GV100, 80, same(1530), 7.8, (32, 900)),
    // V100 datasheet: FP64 7 TFLOP/s, 900 GB/s; clock: product brief.
    row("Tesla V100-PCIE-16GB", GV100, 80, same(1380), 7.0, (16, 900)),
    row("Tesla V100-PCIE-32GB", GV100, 80, same(1380), 7.0, (32, 900)),
    // V100S datasheet: FP64 8.2 TFLOP/s, 32 GB, 1134 GB/s; clock: driver.
    row("Tesla V100S-PCIE-32GB", GV100, 80, same(1597), 8.2, (32, 1134)),
    // From here FP64 is printed as a share of FP32: 1/64, Turing 1/32.
    // L40S datasheet: 18176 cores (128 an SM), FP32 91.6, 864 GB/s; clock: product brief.
    row("NVIDIA L40S", FEW_FP64, 142, same(2520), 91.6 / 64.0, (48, 864)),
    // L40 datasheet: 18176 cores, FP32 90.5, 864 GB/s; clock: product brief.
    row("NVIDIA L40", FEW_FP64, 142, same(2490), 90.5 / 64.0, (48, 864)),
    // L4 datasheet: FP32 30.3, 300 GB/s; product brief: 7424 cores, 2040 MHz.
    row("NVIDIA L4", FEW_FP64, 58, same(2040), 30.3 / 64.0, (24, 300)),
    // A10 datasheet: FP32 31.2, 600 GB/s; product brief: 9216 cores, 1695 MHz.
    row("NVIDIA A10", FEW_FP64, 72, same(1695), 31.2 / 64.0, (24, 600)),
    // A40 datasheet: 10752 cores, FP32 37.4, 696 GB/s; product brief: 1740 MHz.
    row("NVIDIA A40", FEW_FP64, 84, same(1740), 37.4 / 64.0, (48, 696)),
    // T4 datasheet: 2560 cores (64 an SM), FP32 8.1; product brief: 1590 MHz, 320 GB/s.
    row("Tesla T4", FEW_FP64, 40, same(1590), 8.1 / 32.0, (16, 320)),
    // RTX Blackwell whitepaper, appendix A: 170 SMs, 2407 MHz, FP32 104.8, 1792 GB/s.
    // Highest clock: that of the next row, with the same chip.
    row("NVIDIA GeForce RTX 5090", FEW_FP64, 170, (2407, 3090), 104.8 / 64.0, (32, 1792)),
    // RTX PRO 6000 Blackwell datasheet: 24064 cores, FP32 125, 96 GB, 1792 GB/s; clock and
    // highest clock: driver, as others published it (125 TFLOP/s are 2597 MHz, rounded).
    row("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", FEW_FP64, 188, (2617, 3090), 125.0 / 64.0, (96, 1792)),
    // Ada whitepaper: 128 SMs, 2520 MHz, FP32 82.6, 1008 GB/s; highest clock: driver.
    row("NVIDIA GeForce RTX 4090", FEW_FP64, 128, (2520, 3105), 82.6 / 64.0, (24, 1008)),
    // GA102 whitepaper: 82 SMs, 1695 MHz, FP32 35.6, 936 GB/s; highest clock: driver.
    row("NVIDIA GeForce RTX 3090", FEW_FP64, 82, (1695, 2100), 35.6 / 64.0, (24, 936)),
    // GA102 whitepaper: 84 SMs, 1800 MHz, FP32 38.7, 768 GB/s; highest clock: driver.
    row("NVIDIA RTX A6000", FEW_FP64, 84, (1800, 2100), 38.7 / 64.0, (48, 768)),
    // RTX 6000 Ada datasheet: 18176 cores, FP32 91.1, 960 GB/s; clocks: Ada whitepaper, driver.
    row("NVIDIA RTX 6000 Ada Generation", FEW_FP64, 142, (2505, 3105), 91.1 / 64.0, (48, 960)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_reproduce_what_the_vendor_prints() {
        // A wrong SM count, clock or rate of a chip is far more than 3 % off.
        for model in MODELS {
            let ratio = model.peak_flops() / (1e12 * model.printed_tflops);
            assert!((ratio - 1.0).abs() < 0.03, "{}: {ratio}", model.name);
        }
    }

    #[test]
    fn names_are_distinct_and_older_drivers_names_are_known() {
        for (at, model) in MODELS.iter().enumerate() {
            // The first of two rows with one name would hide the second.
            assert_eq!(find(model.name).map(|found| found.name), Some(model.name));
            assert!(!MODELS[..at].iter().any(|other| other.name == model.name));
        }
        assert_eq!(find("A100-SXM4-40GB").map(|model| model.sm_count), Some(108));
        assert_eq!(find("NVIDIA Tesla T4").map(|model| model.sm_count), Some(40));
        for unknown in ["", "NVIDIA ", "NVIDIA H300", "NVIDIA H200 MIG 1g.18gb", "AMD EPYC"] {
            assert_eq!(floor_flops(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_floor_is_the_peak_at_the_highest_clock_and_a_tenth() {
        let floor = floor_flops("NVIDIA H200").unwrap();
        assert!((floor / (1.1 * 2.0 * 132.0 * 1980e6 * 128.0) - 1.0).abs() < 1e-12);
        for model in MODELS {
            let scale = f64::from(model.max_clock_mhz) / f64::from(model.boost_clock_mhz);
            assert!(scale >= 1.0, "{}", model.name);
            assert!(model.floor_flops() >= 1.0999 * scale * model.peak_flops(), "{}", model.name);
            assert!(model.floor_flops() >= model.native_floor_flops(), "{}", model.name);
        }
    }

    #[test]
    fn what_a_device_says_of_itself_gives_the_tables_floor() {
        for (name, capability) in [
            ("NVIDIA H200", "9.0"),
            ("NVIDIA A30", "8.0"),
            ("NVIDIA B200", "10.0"),
            ("NVIDIA B300 SXM6 AC", "10.3"),
            ("NVIDIA L4", "8.9"),
            ("Tesla T4", "7.5"),
        ] {
            let model = find(name).unwrap();
            let computed = computed_floor_flops(model.sm_count, model.max_clock_mhz, capability);
            assert!((computed / model.floor_flops() - 1.0).abs() < 1e-12, "{name}");
        }
        assert!(computed_floor_flops(100, 1000, "99.9") >= computed_floor_flops(100, 1000, "9.0"));
    }

    /// Blackwell has one name for chips a factor of thirty apart.
    #[test]
    fn blackwell_ultra_has_hardly_any_fp64_units() {
        let peak = |name| 1e-12 * find(name).unwrap().peak_flops();
        for (name, low, high) in [
            ("NVIDIA B200", 36.0, 40.0),
            ("NVIDIA GB200", 39.0, 45.0),
            ("NVIDIA B300 SXM6 AC", 1.2, 1.3),
            ("NVIDIA GB300", 1.2, 1.3),
        ] {
            assert!((low..high).contains(&peak(name)), "{name}: {}", peak(name));
            // The highest rate that any of the sources prints is no faster than F.
            assert!(1e-12 * find(name).unwrap().floor_flops() > 0.98 * high, "{name}");
        }
    }

    #[test]
    fn few_fp64_units_leave_room_for_emulation() {
        // Two FP64 units an SM are slower than integer instructions may be: a
        // floor from them alone could refute an honest and clever miner.
        let l4 = find("NVIDIA L4").unwrap();
        assert!((l4.floor_flops() / l4.peak_flops() - 4.4).abs() < 1e-12);
        let v100 = find("Tesla V100-SXM2-16GB").unwrap();
        assert!((v100.floor_flops() / v100.peak_flops() - 1.1).abs() < 1e-12);
    }
}
