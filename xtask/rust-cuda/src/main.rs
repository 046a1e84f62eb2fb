//! Compiles the kernels for one target with Rust-CUDA:
//! `xtask-rust-cuda TARGET KERNELS OUT` writes the PTX, as libNVVM wrote it,
//! to OUT. `cargo xtask ptx --backend rust-cuda` calls it once per target and
//! does the rest: launch bounds, checks, manifest.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use cuda_builder::{CudaBuilder, NvvmArch};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [target, kernels, out] = &args[..] else {
        eprintln!("usage: xtask-rust-cuda portable|sm_80|sm_90a KERNELS OUT");
        return ExitCode::FAILURE;
    };
    let Some(arch) = arch(target) else {
        eprintln!("error: no target {target}\n  try: portable, sm_80 or sm_90a");
        return ExitCode::FAILURE;
    };
    // The cfg by which the kernels know their target reaches them through the
    // environment of kernels/build.rs.
    if env::var("ATTEST_TARGET").as_ref() != Ok(target) {
        eprintln!("error: ATTEST_TARGET is not {target}\n  try: set it");
        return ExitCode::FAILURE;
    }
    let built = CudaBuilder::new(Path::new(kernels))
        .arch(arch)
        // Every rounding that the protocol fixes is written as an explicit
        // fused multiply-add; no other may appear.
        .fma_contraction(false)
        .build_args(&["--locked"])
        .copy_to(Path::new(out))
        .build();
    match built {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Portable is sm_70 for plain rustc; CUDA 13's libNVVM dropped everything
/// below 75, so that it is the lowest that every supported CUDA takes.
fn arch(target: &str) -> Option<NvvmArch> {
    match target {
        "portable" => Some(NvvmArch::Compute75),
        "sm_80" => Some(NvvmArch::Compute80),
        "sm_90a" => Some(NvvmArch::Compute90a),
        _ => None,
    }
}
