//! A report with one of each, and what becomes of it.

use super::*;
use attest::bench::{ArenaTimes, DeviceFacts, Full, IntegerOnHost, LeafTimes, MemoryOnHost};
use attest::executor::gpu::bench::{BenchReport, IntegerReport, MemoryReport};

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
    let operations = |median_tops| Operations {
        turns_tops: vec![median_tops],
        median_tops,
        conditions: conditions.clone(),
    };
    let integers = IntegerReport {
        device: "GPU 0 (NVIDIA H200)".to_owned(),
        variant: "sm_80/int8_m16n8k32".to_owned(),
        dim: 8192,
        products: 1,
        device_bytes: 1,
        attested: operations(590.5),
        bare: operations(640.25),
        cublas_lt: Ok(operations(880.0)),
        cublas_lt_version: 130_100,
        attested_to_cublas_lt: Some(0.671),
        bare_to_cublas_lt: Some(0.728),
        phases: PHASES,
        host_cores: Some(0.013),
    };
    let integers = IntegerRow {
        report: integers,
        attested_to_ceiling: Some(0.56),
        bare_to_ceiling: Some(0.607),
        tail_share: 0.005,
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
        integers: vec![integers],
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
