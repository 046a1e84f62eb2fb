//! `attest bench`: speeds on a GPU, shape by shape.

use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use attest::executor::gpu;
use attest::executor::gpu::bench::{BenchOptions, bench};

/// Measures each shape in turn.
///
/// # Errors
/// No GPU, a device fault, or a shape that does not fit.
pub fn run(args: &args::Bench) -> Result {
    gpu::devices()?;
    let mut reports = Vec::new();
    for &shape in &args.shape {
        let options = BenchOptions {
            variant: args.variant,
            turns: args.turns,
            turn: args.turn,
            cublas: args.cublas.clone(),
            ..BenchOptions::new(args.device, shape)
        };
        let report = bench(&options)?;
        if !args.json {
            print(&format!("{report}\n\n"))?;
        }
        reports.push(report);
    }
    if args.json {
        print_json(&reports)?;
    }
    Ok(Done::Ok)
}
