//! `attest bench`: how fast this machine is, beside its ceilings and cuBLAS.

use crate::args;
use crate::commands::bench_live::Live;
use crate::commands::bench_tables::render_cpu;
use crate::input::Inputs;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::Paint;
use crate::progress;
use attest::bench::{self, BenchEvent, Effort, GpuReport, Options, Work};
use attest::error_text::what_happened;
use attest::executor::gpu::bench::Turns;
use attest::executor::gpu::{PATIENCE, PtxFile};
use attest::files;
use std::time::Duration;

/// Measures, prints each row as it is known, writes the plot.
///
/// # Errors
/// A PTX file or a device that cannot be used; nowhere to print or write.
pub fn run(args: &args::Bench, color: args::Color) -> Result {
    let inputs = Inputs::default()
        .and_file("--cublas", args.cublas.as_deref())
        .and_file("--cublas-lt", args.cublas_lt.as_deref());
    let ptx = PtxFile::find(&args.ptx)?;
    let inputs = ptx.iter().fold(inputs, |all, path| all.and_file("--ptx", Some(path)));
    inputs.check(&[("--plot", args.plot.as_ref())])?;
    let effort = if args.quick { Effort::Quick } else { Effort::Full };
    let (count, length_ms) = match effort {
        Effort::Full => (3, 1500),
        Effort::Quick => (1, 200),
    };
    let files = PtxFile::read_all(&args.ptx)?;
    let options = Options {
        device: args.device,
        gpus: args.gpus.demand(args.executor),
        work: if args.shapes.is_empty() { Work::DEFAULT.to_vec() } else { args.shapes.clone() },
        turns: Turns {
            count: args.turns.unwrap_or(count),
            length: args.turn.unwrap_or(Duration::from_millis(length_ms)),
        },
        variants: args.variants.clone(),
        files,
        cublas: args.cublas.clone(),
        cublas_lt: args.cublas_lt.clone(),
        patience: args.patience.unwrap_or(PATIENCE),
    };
    let paint = Paint::of(color, &std::io::stdout());
    let mut live = Live::new(&options.work, paint);
    let mut printed = Ok(());
    let spinner = progress::spinner();
    let report = bench::run(&options, effort, &mut |event| {
        if let BenchEvent::Step(what) = &event {
            progress::step(&spinner, what.as_str());
        }
        if !args.json {
            let text = live.text(&event);
            let now = if text.is_empty() { Ok(()) } else { spinner.suspend(|| print(&text)) };
            if printed.is_ok() {
                printed = now;
            }
        }
    });
    spinner.finish_and_clear();
    let report = report?;
    printed?;
    if args.json {
        print_json(&report)?;
    } else {
        let gpu = match &report.gpu {
            GpuReport::NoGpu { reason } => format!("{}\n", what_happened(reason)),
            GpuReport::Failed { reason } => format!("{reason}\n"),
            GpuReport::Measured(gpu) => live.rest(gpu),
        };
        print(&format!("{gpu}\n{}", render_cpu(&report.cpu, paint)))?;
    }
    if let Some(path) = &args.plot {
        files::write_atomically(path, &bench::plot(&report))?;
    }
    Ok(done(&report.gpu))
}

/// Whether all that this GPU can run was measured.
fn done(gpu: &GpuReport) -> Done {
    match gpu {
        GpuReport::Measured(gpu) if !gpu.failed.is_empty() => Done::CouldNotRun,
        GpuReport::Failed { .. } => Done::CouldNotRun,
        GpuReport::Measured(_) | GpuReport::NoGpu { .. } => Done::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench_tables::tests::device;

    #[test]
    fn what_failed_counts_and_what_is_for_other_gpus_does_not() {
        let mut report = device();
        assert!(!report.absent.is_empty() && !report.failed.is_empty());
        assert_eq!(done(&GpuReport::Measured(Box::new(report.clone()))), Done::CouldNotRun);
        report.failed.clear();
        assert_eq!(done(&GpuReport::Measured(Box::new(report))), Done::Ok);
    }
}
