//! The tables of `attest bench`. Figures stand under each other by their
//! decimal points.

use crate::paint::{Paint, table};
use attest::bench::{
    CpuReport, DeviceReport, IntegerRow, MemoryRow, NotMeasured, Row, TargetCeilings,
};
use attest::error_text::what_happened;
use attest::executor::gpu::bench::{Ceiling, Conditions, Operations, Phases, Rates, Side, Total};
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

/// Title and header of the table of integer products, whose rows are [`integers`]'s.
pub const INTEGERS: (&str, [&str; 10]) = (
    "Integer products, TOPS",
    [
        "shape",
        "variant",
        "attested",
        "bare",
        "cuBLASLt",
        "attested/cuBLASLt",
        "bare/cuBLASLt",
        "attested/peak",
        "bare/peak",
        "host",
    ],
);

/// A row of [`INTEGERS`].
pub fn integers(row: &IntegerRow) -> Vec<String> {
    let of = &row.report;
    let speed = |side: &Operations| format!("{:>8.2}", side.median_tops);
    vec![
        integer_shape(row),
        of.variant.clone(),
        speed(&of.attested),
        speed(&of.bare),
        of.cublas_lt.as_ref().map_or("       -".to_owned(), speed),
        ratio(of.attested_to_cublas_lt),
        ratio(of.bare_to_cublas_lt),
        ratio(row.attested_to_ceiling),
        ratio(row.bare_to_ceiling),
        host(of.host_cores),
    ]
}

fn integer_shape(row: &IntegerRow) -> String {
    format!("int8:{}", shape(row.report.dim, row.report.products))
}

/// To three places, or a dash.
fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
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
        ["shape", "variant", "side", "turns, tera", "W", "MHz", "lowest", "°C", "held down by"];
    let of_integers = report.integers.iter().flat_map(integer_sides);
    let sides: Vec<_> = report.rows.iter().flat_map(sides).chain(of_integers).collect();
    out += &part(paint, "While each side ran", &header, &sides);
    if let Some(reason) = &report.no_telemetry {
        let _ = writeln!(out, "\npower and clocks are not known: {reason}");
    }
    let absent = report.rows.iter().find_map(|row| row.report.cublas.as_ref().err());
    let no_lt = report.integers.iter().find_map(|row| row.report.cublas_lt.as_ref().err());
    for reason in absent.into_iter().chain(no_lt) {
        let _ = writeln!(out, "\n{reason}");
    }
    let version = report.integers.iter().map(|row| row.report.cublas_lt_version).max();
    if let Some(version @ 1..) = version {
        let _ = writeln!(out, "\ncuBLASLt's version: {version}");
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
        phases(shape(of.dim, of.products), &of.variant, &of.phases)
    });
    let totals = report.totals.iter();
    let totals = totals.map(|of| phases(shape(of.dim, of.products), &of.variant, &of.phases));
    let integers = report.integers.iter();
    let integers =
        integers.map(|row| phases(integer_shape(row), &row.report.variant, &row.report.phases));
    rows.chain(totals).chain(integers).collect()
}

fn phases(shape: String, variant: &str, phases: &Phases) -> Vec<String> {
    let ms = |ms: f64| format!("{ms:>9.4}");
    vec![
        shape,
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
        let shape = shape(report.dim, report.products);
        let of = (&side.turns_tflops[..], side.conditions.as_ref());
        Some(side_line(shape, &report.variant, name, of))
    };
    all.into_iter().filter_map(line).collect()
}

/// The same of integer products.
fn integer_sides(row: &IntegerRow) -> Vec<Vec<String>> {
    let report = &row.report;
    let all = [
        ("attested", Some(&report.attested)),
        ("bare", Some(&report.bare)),
        ("cuBLASLt", report.cublas_lt.as_ref().ok()),
    ];
    let line = |(name, side): (&str, Option<&Operations>)| {
        let side = side?;
        let of = (&side.turns_tops[..], side.conditions.as_ref());
        Some(side_line(integer_shape(row), &report.variant, name, of))
    };
    all.into_iter().filter_map(line).collect()
}

fn side_line(
    shape: String,
    variant: &str,
    name: &str,
    (speeds, while_it_ran): (&[f64], Option<&Conditions>),
) -> Vec<String> {
    let mut cells = vec![shape, variant.to_owned(), name.to_owned(), turns(speeds)];
    cells.extend(conditions(while_it_ran));
    cells
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
pub(super) mod tests;
