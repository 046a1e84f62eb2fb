//! The tables of `attest bench`. Figures stand under each other by their
//! decimal points.

use crate::paint::{Paint, table};
use attest::bench::{CpuReport, DeviceReport, MemoryRow, NotMeasured, Row, TargetCeilings};
use attest::error_text::what_happened;
use attest::executor::gpu::bench::{Ceiling, Conditions, Phases, Rates, Side, Total};
use std::fmt::Write as _;

/// Bytes of a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

/// A table with its title, after an empty line; nothing without rows.
fn part(paint: Paint, title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", paint.strong(title), table(header, rows))
}

/// Ceilings of one target.
pub fn ceilings(of: &TargetCeilings, paint: Paint) -> String {
    let header = ["unit", "median", "", "turns", "W", "MHz", "held down by"];
    part(paint, &format!("Ceilings, kernels of {}", of.target), &header, &of_target(of))
}

/// Title and header of the products' table, whose rows are [`product`]'s.
pub const PRODUCTS: (&str, [&str; 11]) = (
    "Products, TFLOP/s",
    [
        "shape",
        "variant",
        "attested",
        "bare",
        "cuBLAS",
        "attested/cuBLAS",
        "bare/cuBLAS",
        "attested/peak",
        "bare/peak",
        "sigma",
        "host",
    ],
);

/// Title and header of the totals' table, whose rows are [`total`]'s.
pub const TOTALS: (&str, [&str; 7]) =
    ("From first to last", ["shape", "variant", "median", "first", "runs", "TFLOP/s", "host"]);

/// Title and header of the arenas' table, whose rows are [`memory`]'s.
pub const MEMORY: (&str, [&str; 11]) = (
    "Memory residency, TB/s",
    [
        "arena",
        "variant",
        "fill",
        "attested",
        "sweep",
        "read",
        "attested/read",
        "half-pass",
        "copy",
        "half-pass/copy",
        "host",
    ],
);

/// A row of [`MEMORY`].
pub fn memory(row: &MemoryRow) -> Vec<String> {
    let of = &row.report;
    let speed = |rates: &Rates| format!("{:.3}", rates.median_tb_s);
    vec![
        format!("{:.1} GB", of.arena_bytes as f64 / 1e9),
        of.variant.clone(),
        format!("{:.0} ms", of.fill_ms),
        speed(&of.attested),
        speed(&of.sweep),
        speed(&of.read),
        format!("{:.3}", row.attested_to_read),
        speed(&of.half_pass),
        speed(&of.copy),
        format!("{:.3}", row.half_pass_to_copy),
        host(of.host_cores),
    ]
}

/// Something that could not be measured, after an empty line.
pub fn failed(failed: &NotMeasured, paint: Paint) -> String {
    let what = paint.bad(&format!("not measured: {}", failed.what));
    format!("\n{what}\n  {}\n", failed.reason.replace('\n', "\n  "))
}

/// What the products' table has no room for, and what was absent.
pub fn details(report: &DeviceReport, paint: Paint) -> String {
    let phases =
        ["shape", "variant", "fill", "product", "(bare)", "tail", "all", "tail/all", "fill TB/s"];
    let mut out = part(paint, "An iteration by phases, ms", &phases, &all_phases(report));
    let header =
        ["shape", "variant", "side", "turns, TFLOP/s", "W", "MHz", "lowest", "°C", "held down by"];
    let sides: Vec<_> = report.rows.iter().flat_map(sides).collect();
    out += &part(paint, "While each side ran", &header, &sides);
    if let Some(reason) = &report.no_telemetry {
        let _ = writeln!(out, "\npower and clocks are not known: {reason}");
    }
    let absent = report.rows.iter().find_map(|row| row.report.cublas.as_ref().err());
    if let Some(reason) = absent {
        let _ = writeln!(out, "\n{reason}");
    }
    if let Some(version @ 1..) = report.rows.iter().map(|row| row.report.cublas_version).max() {
        let _ = writeln!(out, "\ncuBLAS's version: {version}");
    }
    out
}

/// Of which device, how its figures are to be read, and what is not for it.
pub fn heading(report: &DeviceReport, paint: Paint) -> String {
    let device = &report.device;
    let mhz = device.clock_khz / 1000;
    let name = paint.strong(&format!("GPU {} ({})", device.index, device.name));
    let mut out = format!(
        "{name}: {} SMs at up to {mhz} MHz, {:.1} GiB, driver {}\n\
         medians of {} turns of {} s, sides alternating; a multiply-add is two FLOP\n\
         sigma: attested time over the time at {} SMs x 128 FMA x {mhz} MHz = {:.1} TFLOP/s\n",
        device.sm_count,
        device.memory_bytes as f64 / GIB,
        device.driver_version,
        report.turns,
        report.turn_s,
        device.sm_count,
        device.floor_tflops,
    );
    for NotMeasured { what, reason } in &report.absent {
        let _ = writeln!(out, "absent: {what}: {reason}");
    }
    out
}

fn of_target(of: &TargetCeilings) -> Vec<Vec<String>> {
    let row = |ceiling: &Ceiling| {
        let [power, clock, _, _, held] = conditions(ceiling.conditions.as_ref());
        vec![
            ceiling.kernel.clone(),
            format!("{:>7.2}", ceiling.median),
            ceiling.unit.to_owned(),
            turns(&ceiling.turns),
            power,
            clock,
            held,
        ]
    };
    of.ceilings.iter().map(row).collect()
}

fn shape(dim: u32, products: u32) -> String {
    format!("{dim}x{products}")
}

/// A row of [`PRODUCTS`].
pub fn product(row: &Row) -> Vec<String> {
    let report = &row.report;
    let speed = |side: &Side| format!("{:>8.2}", side.median_tflops);
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
    vec![
        shape(report.dim, report.products),
        report.variant.clone(),
        speed(&report.attested),
        speed(&report.bare),
        report.cublas.as_ref().map_or("       -".to_owned(), speed),
        ratio(report.attested_to_cublas),
        ratio(report.bare_to_cublas),
        ratio(row.attested_to_ceiling),
        ratio(row.bare_to_ceiling),
        format!("{:.2}", row.sigma),
        host(report.host_cores),
    ]
}

/// The phases of every row and every total.
fn all_phases(report: &DeviceReport) -> Vec<Vec<String>> {
    let rows = report.rows.iter().map(|row| {
        let of = &row.report;
        phases(of.dim, of.products, &of.variant, &of.phases)
    });
    let totals = report.totals.iter();
    let totals = totals.map(|of| phases(of.dim, of.products, &of.variant, &of.phases));
    rows.chain(totals).collect()
}

fn phases(dim: u32, products: u32, variant: &str, phases: &Phases) -> Vec<String> {
    let ms = |ms: f64| format!("{ms:>9.4}");
    vec![
        shape(dim, products),
        variant.to_owned(),
        ms(phases.fill_ms),
        ms(phases.product_ms),
        ms(phases.bare_product_ms),
        ms(phases.tree_and_step_ms),
        ms(phases.iteration_ms),
        format!("{:>6.2} %", 100.0 * phases.tail_share()),
        format!("{:.2}", phases.fill_tb_s),
    ]
}

/// A line for each of the three.
fn sides(row: &Row) -> Vec<Vec<String>> {
    let report = &row.report;
    let all = [
        ("attested", Some(&report.attested)),
        ("bare", Some(&report.bare)),
        ("cuBLAS", report.cublas.as_ref().ok()),
    ];
    let line = |(name, side): (&str, Option<&Side>)| {
        let side = side?;
        let mut cells = vec![
            shape(report.dim, report.products),
            report.variant.clone(),
            name.to_owned(),
            turns(&side.turns_tflops),
        ];
        cells.extend(conditions(side.conditions.as_ref()));
        Some(cells)
    };
    all.into_iter().filter_map(line).collect()
}

/// A row of [`TOTALS`].
pub fn total(total: &Total) -> Vec<String> {
    vec![
        format!("{}x{}", shape(total.dim, total.products), total.iterations),
        total.variant.clone(),
        format!("{:.4} s", total.median_s),
        format!("{:.4} s", total.first_s),
        total.runs_s.iter().map(|s| format!("{s:.4}")).collect::<Vec<_>>().join(", "),
        format!("{:>7.2}", total.tflops),
        host(total.host_cores),
    ]
}

/// Power, clock, lowest clock, temperature, and why the clock was held down.
fn conditions(conditions: Option<&Conditions>) -> [String; 5] {
    let Some(of) = conditions else { return ["-"; 5].map(str::to_owned) };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let held = if of.throttle_reasons.is_empty() {
        "nothing".to_owned()
    } else {
        of.throttle_reasons.join(", ")
    };
    [
        or_dash(of.power_w.map(|watts| format!("{watts:.0}"))),
        or_dash(of.sm_clock_mhz.map(|mhz| format!("{mhz:.0}"))),
        or_dash(of.sm_clock_min_mhz.map(|mhz| mhz.to_string())),
        or_dash(of.temperature_c.map(|celsius| celsius.to_string())),
        held,
    ]
}

fn turns(turns: &[f64]) -> String {
    turns.iter().map(|speed| format!("{speed:.2}")).collect::<Vec<_>>().join(", ")
}

/// CPU time per time, in percent of a core.
fn host(cores: Option<f64>) -> String {
    cores.map_or("-".to_owned(), |cores| format!("{:>4.1} %", 100.0 * cores))
}

/// Verification on the CPU, of integer products too, and memory residency there.
pub fn render_cpu(report: &CpuReport, paint: Paint) -> String {
    let title = format!(
        "Verification on the CPU: {}, {} threads, {}",
        report.model, report.threads, report.simd
    );
    let row = |times: &attest::bench::LeafTimes| {
        vec![
            times.leaves.to_string(),
            times.dim.to_string(),
            format!("{:>7.1} ms", times.of_one_iteration_ms),
            format!("{:>7.1} ms", times.of_as_many_iterations_ms),
        ]
    };
    let leaves = |times: &[attest::bench::LeafTimes]| {
        let rows: Vec<Vec<String>> = times.iter().map(row).collect();
        table(&["leaves", "n", "of one iteration", "each of another"], &rows)
    };
    let (full, integer, memory) = (&report.full, &report.integer, &report.memory);
    let mut out = format!(
        "{}\n{}full, n = {}: {:.1} GFLOP/s, {:.1} per thread\n",
        paint.strong(&title),
        leaves(&report.leaves),
        full.dim,
        full.gflops,
        full.gflops_per_thread,
    );
    let _ = writeln!(
        out,
        "int8 products\n{}full, n = {}: {:.1} GOPS, {:.1} per thread",
        leaves(&integer.leaves),
        integer.full_dim,
        integer.full_gops,
        integer.full_gops_per_thread,
    );
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let _ = writeln!(
        out,
        "{} leaves of an arena of {:.0} GB from nothing, p = {}: {:.1} ms",
        memory.leaves,
        gb(memory.claimed_bytes),
        memory.half_passes,
        memory.leaves_ms,
    );
    if let Some(arena) = &memory.arena {
        let _ = writeln!(
            out,
            "an arena of {:.2} GB in host memory: filled in {:.0} ms, swept at {:.1} GB/s",
            gb(arena.bytes),
            arena.fill_ms,
            arena.sweep_gb_s,
        );
    }
    if let Some(reason) = &memory.no_arena {
        let _ = writeln!(out, "no arena in host memory: {}", what_happened(reason));
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use attest::bench::{ArenaTimes, DeviceFacts, Full, IntegerOnHost, LeafTimes, MemoryOnHost};
    use attest::executor::gpu::bench::{BenchReport, MemoryReport};

    const PHASES: Phases = Phases {
        fill_ms: 0.512,
        product_ms: 19.0,
        bare_product_ms: 18.5,
        tree_and_step_ms: 0.1,
        iteration_ms: 20.0,
        fill_tb_s: 4.19,
    };

    /// A report with one of each.
    pub(in crate::commands) fn device() -> DeviceReport {
        let conditions = Some(Conditions {
            power_w: Some(698.7),
            sm_clock_mhz: Some(1605.0),
            sm_clock_min_mhz: Some(1590),
            temperature_c: None,
            throttle_reasons: vec!["SW_POWER_CAP".to_owned()],
            samples: 90,
        });
        let turns = vec![54.1, 54.3, 54.4];
        let side = |median_tflops| Side {
            turns_tflops: turns.clone(),
            median_tflops,
            conditions: conditions.clone(),
        };
        let report = BenchReport {
            device: "GPU 0 (NVIDIA H200)".to_owned(),
            variant: "sm_90a/gemm_m16n8k16".to_owned(),
            dim: 4096,
            products: 8,
            device_bytes: 1,
            attested: side(54.3),
            bare: side(56.2),
            cublas: Err("cuBLAS cannot be loaded: not here".to_owned()),
            cublas_version: 0,
            attested_to_cublas: None,
            bare_to_cublas: None,
            phases: PHASES,
            host_cores: Some(0.012),
        };
        let row = Row {
            report,
            sigma: 1.232,
            attested_to_ceiling: Some(0.82),
            bare_to_ceiling: Some(0.849),
            tail_share: 0.005,
        };
        let ceiling = Ceiling {
            kernel: "peak_m16n8k16".to_owned(),
            unit: "TFLOP/s",
            turns: vec![66.2],
            median: 66.2,
            conditions: None,
        };
        let rates = |tb_s: f64| Rates { turns_tb_s: vec![tb_s], median_tb_s: tb_s };
        let memory = MemoryReport {
            device: "GPU 0 (NVIDIA H200)".to_owned(),
            variant: "sm_90a/gemm_m16n8k16".to_owned(),
            arena_bytes: 135_098_531_840,
            fill_ms: 611.2,
            half_passes: 12,
            read: rates(4.6),
            attested: rates(4.416),
            sweep: rates(4.45),
            copy: rates(4.2),
            half_pass: rates(4.158),
            host_cores: Some(0.011),
        };
        let total = Total {
            variant: "sm_90a/gemm_m16n8k16".to_owned(),
            dim: 1024,
            products: 1,
            iterations: 1000,
            first_s: 0.21,
            runs_s: vec![0.121, 0.12],
            median_s: 0.1205,
            tflops: 17.8,
            phases: PHASES,
            host_cores: None,
        };
        DeviceReport {
            device: DeviceFacts {
                index: 0,
                name: "NVIDIA H200".to_owned(),
                compute_capability: "9.0".to_owned(),
                sm_count: 132,
                clock_khz: 1_980_000,
                memory_bytes: 150 << 30,
                driver_version: "580.82.07".to_owned(),
                floor_tflops: 66.9,
            },
            turns: 3,
            turn_s: 1.5,
            no_telemetry: None,
            ceilings: vec![TargetCeilings { target: "sm_90a".to_owned(), ceilings: vec![ceiling] }],
            rows: vec![row],
            totals: vec![total],
            memory: vec![memory.into()],
            absent: vec![NotMeasured {
                what: "y/gemm_fma".to_owned(),
                reason: "it is compiled for sm_120".to_owned(),
            }],
            failed: vec![NotMeasured {
                what: "x.ptx/gemm_fma".to_owned(),
                reason: "refused\ntry another".to_owned(),
            }],
        }
    }

    #[test]
    fn verification_has_both_ways_of_sampling() {
        let times = LeafTimes {
            dim: 8192,
            leaves: 1000,
            of_one_iteration_ms: 88.04,
            of_as_many_iterations_ms: 119.5,
        };
        let report = CpuReport {
            model: "a CPU".to_owned(),
            threads: 2,
            simd: "avx512".to_owned(),
            leaves: vec![times],
            full: Full { dim: 2048, gflops: 88.0, gflops_per_thread: 44.0 },
            integer: IntegerOnHost {
                leaves: vec![LeafTimes { dim: 16_384, of_one_iteration_ms: 33.04, ..times }],
                full_dim: 4096,
                full_gops: 1200.0,
                full_gops_per_thread: 600.0,
            },
            memory: MemoryOnHost {
                half_passes: 12,
                leaves: 2063,
                claimed_bytes: 1 << 37,
                leaves_ms: 321.04,
                arena: Some(ArenaTimes { bytes: 1 << 30, fill_ms: 410.4, sweep_gb_s: 12.34 }),
                no_arena: None,
            },
        };
        let text = render_cpu(&report, Paint::Plain);
        for part in [
            "a CPU, 2 threads, avx512",
            "88.0 ms",
            "119.5 ms",
            "44.0 per thread",
            "16384",
            "33.0 ms",
            "full, n = 4096: 1200.0 GOPS, 600.0 per thread",
            "2063 leaves of an arena of 137 GB from nothing, p = 12: 321.0 ms",
            "an arena of 1.07 GB in host memory: filled in 410 ms, swept at 12.3 GB/s",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }
}
