//! Compiles the kernels for one architecture with Rust-CUDA:
//! `xtask-rust-cuda ARCH KERNELS OUT` writes the PTX, as libNVVM wrote it, to
//! OUT. `cargo xtask ptx --backend rust-cuda` calls it once per target and does
//! the rest: launch bounds, checks, manifest.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use cuda_builder::{CudaBuilder, NvvmArch};

/// The architectures of the targets that libNVVM compiles from LLVM 7's code.
const ARCHITECTURES: [(&str, NvvmArch); 4] = [
    ("compute_75", NvvmArch::Compute75),
    ("compute_80", NvvmArch::Compute80),
    ("compute_90", NvvmArch::Compute90),
    ("compute_90a", NvvmArch::Compute90a),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, kernels, out] = &args[..] else {
        eprintln!("usage: xtask-rust-cuda ARCH KERNELS OUT");
        return ExitCode::FAILURE;
    };
    let Some((_, arch)) = ARCHITECTURES.into_iter().find(|(known, _)| known == name) else {
        let known = ARCHITECTURES.map(|(name, _)| name).join(", ");
        eprintln!("error: no architecture {name}\n  try: {known}");
        return ExitCode::FAILURE;
    };
    // What the kernels may use reaches them through the environment of
    // kernels/build.rs.
    if env::var_os("ATTEST_HAS").is_none() {
        eprintln!("error: ATTEST_HAS is not set\n  try: cargo xtask ptx --backend rust-cuda sets it");
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
