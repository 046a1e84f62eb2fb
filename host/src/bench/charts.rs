//! A report as bars: products under the ceilings of their units, totals, and
//! verification on the CPU.

use super::device::{DeviceReport, Row};
use super::svg::{Bar, Chart, Group, Ink, Limit, draw};
use super::{CpuReport, GpuReport, Report};

/// The report as one SVG file.
pub fn plot(report: &Report) -> String {
    let mut charts = Vec::new();
    let heading = match &report.gpu {
        GpuReport::NoGpu { .. } => format!("attest bench: {}, no GPU", report.cpu.model),
        GpuReport::Measured(gpu) => {
            charts.extend([products(gpu), totals(gpu)].into_iter().flatten());
            format!("attest bench: {}", gpu.device.name)
        }
    };
    charts.push(leaves(&report.cpu));
    draw(&heading, &charts)
}

/// A group per shape, in the order of the report.
fn products(gpu: &DeviceReport) -> Option<Chart> {
    let mut groups: Vec<Group> = Vec::new();
    for row in &gpu.rows {
        let label = format!("n = {}, m = {}", row.report.dim, row.report.products);
        let at = groups.iter().position(|group| group.label == label).unwrap_or_else(|| {
            groups.push(Group { label, bars: Vec::new() });
            groups.len() - 1
        });
        groups[at].bars.extend(bars(row));
    }
    let mut limits =
        vec![Limit { label: "floor of σ".to_owned(), value: gpu.device.floor_tflops }];
    let first = gpu.ceilings.iter().take(1).flat_map(|of| &of.ceilings);
    limits.extend(
        first
            .filter(|ceiling| ceiling.unit == "TFLOP/s")
            .map(|ceiling| Limit { label: ceiling.kernel.clone(), value: ceiling.median }),
    );
    let title = "products: attested, bare, cuBLAS".to_owned();
    (!groups.is_empty()).then_some(Chart { title, unit: "TFLOP/s", groups, limits })
}

fn bars(row: &Row) -> Vec<Bar> {
    let report = &row.report;
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |r| format!("{r:.3} x cuBLAS"));
    let attested = format!("{}  σ {:.2}", ratio(report.attested_to_cublas), row.sigma);
    let mut bars = vec![
        Bar {
            label: report.variant.clone(),
            value: report.attested.median_tflops,
            note: attested.trim_start().to_owned(),
            ink: Ink::Main,
        },
        Bar {
            label: "bare".to_owned(),
            value: report.bare.median_tflops,
            note: ratio(report.bare_to_cublas),
            ink: Ink::Light,
        },
    ];
    if let Ok(cublas) = &report.cublas {
        bars.push(Bar {
            label: "cuBLAS beside it".to_owned(),
            value: cublas.median_tflops,
            note: String::new(),
            ink: Ink::Grey,
        });
    }
    bars
}

fn totals(gpu: &DeviceReport) -> Option<Chart> {
    let group = |total: &crate::executor::gpu::bench::Total| Group {
        label: format!(
            "n = {}, m = {}, {} iterations",
            total.dim, total.products, total.iterations
        ),
        bars: vec![Bar {
            label: total.variant.clone(),
            value: total.median_s,
            note: format!("{:.1} TFLOP/s", total.tflops),
            ink: Ink::Main,
        }],
    };
    let groups: Vec<Group> = gpu.totals.iter().map(group).collect();
    let title = "a challenge from first to last".to_owned();
    (!groups.is_empty()).then_some(Chart { title, unit: "s", groups, limits: Vec::new() })
}

fn leaves(cpu: &CpuReport) -> Chart {
    let bar =
        |label: &str, value, ink| Bar { label: label.to_owned(), value, note: String::new(), ink };
    let group = |times: &super::LeafTimes| Group {
        label: format!("{} leaves, n = {}", times.leaves, times.dim),
        bars: vec![
            bar("of one iteration", times.of_one_iteration_ms, Ink::Main),
            bar("of as many iterations", times.of_as_many_iterations_ms, Ink::Light),
        ],
    };
    Chart {
        title: format!("verification on the CPU: {}, {} threads", cpu.simd, cpu.threads),
        unit: "ms",
        groups: cpu.leaves.iter().map(group).collect(),
        limits: Vec::new(),
    }
}
