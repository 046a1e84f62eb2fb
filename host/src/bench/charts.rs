//! A report as bars: products under the ceilings of their units, totals, arenas, and
//! verification on the CPU.

use super::report::{DeviceReport, IntegerRow, MemoryRow, Row};
use super::{CpuReport, GpuReport, Report};
use crate::chart::{Bar, BarChart, Group, Ink, Limit, Svg, file};

/// The report as one SVG file.
pub fn plot(report: &Report) -> String {
    let mut charts = Vec::new();
    let heading = match &report.gpu {
        GpuReport::NoGpu { .. } | GpuReport::Failed { .. } => {
            format!("attest bench: {}, no GPU", report.cpu.model)
        }
        GpuReport::Measured(gpu) => {
            charts.extend(
                [products(gpu), totals(gpu), memory(gpu), integers(gpu)].into_iter().flatten(),
            );
            format!("attest bench: {}", gpu.device.name)
        }
    };
    charts.push(leaves(&report.cpu));
    let drawn: Vec<Svg> = charts.iter().map(BarChart::draw).collect();
    file(&heading, &drawn)
}

/// A group per shape, in the order of the report.
fn products(gpu: &DeviceReport) -> Option<BarChart> {
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
    (!groups.is_empty()).then_some(BarChart { title, unit: "TFLOP/s", groups, limits })
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

fn totals(gpu: &DeviceReport) -> Option<BarChart> {
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
    (!groups.is_empty()).then_some(BarChart { title, unit: "s", groups, limits: Vec::new() })
}

fn memory(gpu: &DeviceReport) -> Option<BarChart> {
    let bar =
        |label: &str, value, note: String, ink| Bar { label: label.to_owned(), value, note, ink };
    let group = |row: &MemoryRow| {
        let of = &row.report;
        let attested = format!("{:.3} x plain read", row.attested_to_read);
        let half_pass = format!("{:.3} x copy", row.half_pass_to_copy);
        Group {
            label: format!("an arena of {:.1} GB", of.arena_bytes as f64 / 1e9),
            bars: vec![
                bar(&of.variant, of.attested.median_tb_s, attested, Ink::Main),
                bar("half-pass", of.half_pass.median_tb_s, half_pass, Ink::Light),
                bar("plain read beside it", of.read.median_tb_s, String::new(), Ink::Grey),
                bar("copy beside it", of.copy.median_tb_s, String::new(), Ink::Grey),
            ],
        }
    };
    let groups: Vec<Group> = gpu.memory.iter().map(group).collect();
    let title = "memory residency: attested sweeps, half-passes".to_owned();
    (!groups.is_empty()).then_some(BarChart { title, unit: "TB/s", groups, limits: Vec::new() })
}

fn integers(gpu: &DeviceReport) -> Option<BarChart> {
    let bar =
        |label: &str, value, note: String, ink| Bar { label: label.to_owned(), value, note, ink };
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |r| format!("{r:.3} x cuBLASLt"));
    let group = |row: &IntegerRow| {
        let of = &row.report;
        let attested = ratio(of.attested_to_cublas_lt);
        let mut bars = vec![
            bar(&of.variant, of.attested.median_tops, attested, Ink::Main),
            bar("bare", of.bare.median_tops, ratio(of.bare_to_cublas_lt), Ink::Light),
        ];
        if let Ok(beside) = &of.cublas_lt {
            bars.push(bar("cuBLASLt beside it", beside.median_tops, String::new(), Ink::Grey));
        }
        Group { label: format!("n = {}, m = {}", of.dim, of.products), bars }
    };
    let groups: Vec<Group> = gpu.integers.iter().map(group).collect();
    let first = gpu.ceilings.iter().take(1).flat_map(|of| &of.ceilings);
    let limits = first
        .filter(|ceiling| ceiling.unit == "TOPS")
        .map(|ceiling| Limit { label: ceiling.kernel.clone(), value: ceiling.median })
        .collect();
    let title = "integer products: attested, bare, cuBLASLt".to_owned();
    (!groups.is_empty()).then_some(BarChart { title, unit: "TOPS", groups, limits })
}

fn leaves(cpu: &CpuReport) -> BarChart {
    let bar =
        |label: &str, value, ink| Bar { label: label.to_owned(), value, note: String::new(), ink };
    let group = |times: &super::LeafTimes| Group {
        label: format!("{} leaves, n = {}", times.leaves, times.dim),
        bars: vec![
            bar("of one iteration", times.of_one_iteration_ms, Ink::Main),
            bar("of as many iterations", times.of_as_many_iterations_ms, Ink::Light),
        ],
    };
    BarChart {
        title: format!("verification on the CPU: {}, {} threads", cpu.simd, cpu.threads),
        unit: "ms",
        groups: cpu.leaves.iter().map(group).collect(),
        limits: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Full, IntegerOnHost, LeafTimes, MemoryOnHost, TargetCeilings};
    use super::*;
    use crate::executor::gpu::bench::{BenchReport, Ceiling, MemoryReport, Phases, Rates, Side};

    fn report(gpu: GpuReport) -> Report {
        let times = LeafTimes {
            dim: 4096,
            leaves: 1000,
            of_one_iteration_ms: 41.0,
            of_as_many_iterations_ms: 90.0,
        };
        let cpu = CpuReport {
            model: "a CPU".to_owned(),
            threads: 2,
            simd: "avx512".to_owned(),
            leaves: vec![times],
            full: Full { dim: 2048, gflops: 88.0, gflops_per_thread: 44.0 },
            integer: IntegerOnHost {
                leaves: Vec::new(),
                full_dim: 4096,
                full_gops: 1200.0,
                full_gops_per_thread: 600.0,
            },
            memory: MemoryOnHost {
                half_passes: 12,
                leaves: 2063,
                claimed_bytes: 1 << 37,
                leaves_ms: 320.0,
                arena: None,
                no_arena: Some("no room".to_owned()),
            },
        };
        let measured_at = "2026-01-31T12:00:00Z".to_owned();
        Report { schema: 1, attest_version: "0", measured_at, gpu, cpu }
    }

    fn row(variant: &str, products: u32, cublas: Result<Side, String>) -> Row {
        let side =
            |tflops| Side { turns_tflops: vec![tflops], median_tflops: tflops, conditions: None };
        let phases = Phases {
            fill_ms: 0.5,
            product_ms: 19.0,
            bare_product_ms: 18.5,
            tree_and_step_ms: 0.1,
            iteration_ms: 20.0,
            fill_tb_s: 4.2,
        };
        let report = BenchReport {
            device: "GPU 0 (H200)".to_owned(),
            variant: variant.to_owned(),
            dim: 4096,
            products,
            device_bytes: 1,
            attested: side(54.3),
            bare: side(56.2),
            attested_to_cublas: cublas.as_ref().ok().map(|_| 1.002),
            bare_to_cublas: cublas.as_ref().ok().map(|_| 1.037),
            cublas,
            cublas_version: 130_000,
            phases,
            host_cores: Some(0.01),
        };
        let (sigma, tail_share) = (1.23, 0.005);
        Row { report, sigma, attested_to_ceiling: None, bare_to_ceiling: None, tail_share }
    }

    fn device() -> DeviceReport {
        let ceiling = |kernel: &str, unit, median| Ceiling {
            kernel: kernel.to_owned(),
            unit,
            turns: vec![median],
            median,
            conditions: None,
        };
        let ceilings =
            vec![ceiling("peak_fma", "TFLOP/s", 31.4), ceiling("peak_sha256", "Gblock/s", 12.5)];
        let cublas = Side { turns_tflops: vec![54.2], median_tflops: 54.2, conditions: None };
        DeviceReport {
            ceilings: vec![TargetCeilings { target: "sm_90a".to_owned(), ceilings }],
            rows: vec![
                row("sm_90a/gemm_m16n8k16", 8, Ok(cublas)),
                row("portable/gemm_fma", 8, Err("not here".to_owned())),
                row("sm_90a/gemm_m16n8k16", 16, Err("not here".to_owned())),
            ],
            ..DeviceReport::of_an_h200()
        }
    }

    #[test]
    fn bars_of_a_shape_stand_together_under_the_ceilings() {
        let chart = products(&device()).unwrap();
        let groups: Vec<_> =
            chart.groups.iter().map(|g| (g.label.as_str(), g.bars.len())).collect();
        assert_eq!(groups, [("n = 4096, m = 8", 3 + 2), ("n = 4096, m = 16", 2)]);
        let limits: Vec<_> = chart.limits.iter().map(|limit| limit.label.as_str()).collect();
        assert_eq!(limits, ["floor of σ", "peak_fma"], "no blocks among TFLOP/s");
        assert_eq!(chart.groups[0].bars[0].note, "1.002 x cuBLAS  σ 1.23");
        assert_eq!(chart.groups[1].bars[0].note, "σ 1.23");
    }

    #[test]
    fn an_arena_s_bars_stand_beside_reads_and_copies() {
        let rates = |tb_s: f64| Rates { turns_tb_s: vec![tb_s], median_tb_s: tb_s };
        let report = MemoryReport {
            device: "GPU 0 (H200)".to_owned(),
            variant: "sm_90a/gemm_m16n8k16".to_owned(),
            arena_bytes: 135_000_000_000,
            fill_ms: 600.0,
            half_passes: 12,
            read: rates(4.6),
            attested: rates(4.37),
            sweep: rates(4.4),
            copy: rates(4.2),
            half_pass: rates(4.116),
            host_cores: None,
        };
        assert!(memory(&device()).is_none(), "no arena, no chart");
        let memory = memory(&DeviceReport { memory: vec![report.into()], ..device() }).unwrap();
        let [group] = &memory.groups[..] else { panic!("{} groups", memory.groups.len()) };
        assert_eq!(group.label, "an arena of 135.0 GB");
        assert_eq!(group.bars[0].note, "0.950 x plain read");
        assert_eq!(group.bars[1].note, "0.980 x copy");
    }

    #[test]
    fn a_plot_needs_no_gpu() {
        let without = plot(&report(GpuReport::NoGpu { reason: "no GPU".to_owned() }));
        assert!(without.contains("a CPU, no GPU") && without.contains("41.0"), "{without}");
        assert!(!without.contains("TFLOP/s"), "{without}");
        let with = plot(&report(GpuReport::Measured(Box::new(device()))));
        assert!(with.contains("H200") && with.contains("TFLOP/s"), "{with}");
    }

    #[test]
    fn json_says_what_was_measured_or_why_not() {
        let json = serde_json::to_value(report(GpuReport::Measured(Box::new(device())))).unwrap();
        assert_eq!(
            (json["schema"].as_u64(), json["gpu"]["status"].as_str()),
            (Some(1), Some("measured"))
        );
        let rows = &json["gpu"]["rows"];
        assert_eq!(rows[0]["cublas"]["median_tflops"], 54.2);
        assert_eq!(rows[1]["cublas"]["unavailable"], "not here");
        assert_eq!(
            (&rows[0]["sigma"], &rows[0]["variant"]),
            (&1.23.into(), &"sm_90a/gemm_m16n8k16".into())
        );
    }
}
