//! The tables of `attest bench`. Figures stand under each other by their
//! decimal points.

use crate::paint::{Paint, table};
use attest::bench::{CpuReport, DeviceReport, Row, TargetCeilings};
use attest::executor::gpu::bench::{Ceiling, Conditions, Side, Total};
use std::fmt::Write as _;

/// Bytes of a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

/// Everything about the GPU.
pub fn render_device(report: &DeviceReport, paint: Paint) -> String {
    let mut out = heading(report, paint);
    let mut part = |title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let _ = write!(out, "\n{}\n{}", paint.strong(title), table(header, &rows));
        }
    };
    for of in &report.ceilings {
        let title = format!("Ceilings, kernels of {}", of.target);
        let header = ["unit", "median", "", "turns", "W", "MHz", "held down by"];
        part(&title, &header, of_target(of));
    }
    part(
        "Products, TFLOP/s",
        &[
            "shape",
            "variant",
            "attested",
            "bare",
            "cuBLAS",
            "attested/cuBLAS",
            "bare/cuBLAS",
            "attested/ceiling",
            "bare/ceiling",
            "sigma",
            "host",
        ],
        report.rows.iter().map(product).collect(),
    );
    part(
        "An iteration by phases, ms",
        &["shape", "variant", "fill", "product", "(bare)", "tail", "all", "tail/all", "fill TB/s"],
        report.rows.iter().map(phases).collect(),
    );
    part(
        "While each side ran",
        &["shape", "variant", "side", "turns, TFLOP/s", "W", "MHz", "lowest", "°C", "held down by"],
        report.rows.iter().flat_map(sides).collect(),
    );
    part(
        "From first to last",
        &["shape", "variant", "median", "first", "runs", "TFLOP/s", "host"],
        report.totals.iter().map(total).collect(),
    );
    if let Some(reason) = &report.no_telemetry {
        let _ = writeln!(out, "\npower and clocks are not known: {reason}");
    }
    let absent = report.rows.iter().find_map(|row| row.report.cublas.as_ref().err());
    if let Some(reason) = absent {
        let _ = writeln!(out, "\n{reason}");
    }
    for failed in &report.failed {
        let what = paint.bad(&format!("not measured: {}", failed.what));
        let _ = writeln!(out, "\n{what}\n  {}", failed.reason.replace('\n', "\n  "));
    }
    out
}

fn heading(report: &DeviceReport, paint: Paint) -> String {
    let device = &report.device;
    let mhz = device.clock_khz / 1000;
    let name = paint.strong(&format!("GPU {} ({})", device.index, device.name));
    let version = report.rows.iter().map(|row| row.report.cublas_version).max();
    let cublas = match version {
        Some(version) if version > 0 => format!(", cuBLAS {version}"),
        _ => String::new(),
    };
    format!(
        "{name}: {} SMs at up to {mhz} MHz, {:.1} GiB, driver {}{cublas}\n\
         medians of {} turns of {} s, sides alternating; a multiply-add is two FLOP\n\
         sigma: attested time over the time at {} SMs x 128 FMA x {mhz} MHz = {:.1} TFLOP/s\n",
        device.sm_count,
        device.memory_bytes as f64 / GIB,
        device.driver_version,
        report.turns,
        report.turn_s,
        device.sm_count,
        device.floor_tflops,
    )
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

fn product(row: &Row) -> Vec<String> {
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

fn phases(row: &Row) -> Vec<String> {
    let phases = &row.report.phases;
    let ms = |ms: f64| format!("{ms:>9.4}");
    vec![
        shape(row.report.dim, row.report.products),
        row.report.variant.clone(),
        ms(phases.fill_ms),
        ms(phases.product_ms),
        ms(phases.bare_product_ms),
        ms(phases.tree_and_step_ms),
        ms(phases.iteration_ms),
        format!("{:>6.2} %", 100.0 * row.tail_share),
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

fn total(total: &Total) -> Vec<String> {
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

/// Verification on the CPU.
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
    let rows: Vec<Vec<String>> = report.leaves.iter().map(row).collect();
    let full = &report.full;
    format!(
        "{}\n{}full, n = {}: {:.1} GFLOP/s, {:.1} per thread\n",
        paint.strong(&title),
        table(&["leaves", "n", "of one iteration", "each of another"], &rows),
        full.dim,
        full.gflops,
        full.gflops_per_thread,
    )
}
