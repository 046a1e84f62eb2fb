//! Developer commands of the workspace: `cargo xtask COMMAND`.
//!
//! Guarantee: none of them downloads a compiler of Rust, and none leaves a
//! half-written file behind in what is committed; `dist` and `wheel` install the
//! tools that they take into `target/tools`. Users of `attest` need none of this: the PTX is
//! committed.

mod dist;
mod doctor;
mod parts;
mod ptx;
mod tidy;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What was typed.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of the attest workspace")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the kernels to PTX, or check what is committed.
    Ptx(ptx::PtxArgs),
    /// Compile the verifier of a report's page to WebAssembly, or check what is committed.
    Wasm(wasm::WasmArgs),
    /// Say what kernel authors need, what of it is here, and how to get the rest.
    Doctor(doctor::DoctorArgs),
    /// Build what users install: .deb, tarball, wheel, bill of materials, checksums.
    Dist(dist::DistArgs),
    /// Build the Python wheel for this machine.
    Wheel(dist::WheelArgs),
    /// Check rules of the house that no compiler checks.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Ptx(args) => ptx::run(&args),
        Command::Wasm(args) => wasm::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Wheel(args) => dist::run_wheel(&args),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
