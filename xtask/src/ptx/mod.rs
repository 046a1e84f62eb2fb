//! `cargo xtask ptx`: kernels → PTX text → launch bounds → checks → files.
//!
//! ```text
//! backend      plain rustc or Rust-CUDA, one call per target
//! text         keep what entry points reach, add launch bounds
//! check        no calls, no traps, no local memory, as many barriers as declared
//! tools        ptxas and cuobjdump, where they are: registers, spills, SASS
//! manifest     digests of sources and PTX, compiler, what the tools said
//! report       what the tools said, the compilers side by side
//! ```
//!
//! Files appear in the backend's folder only after everything passed for every
//! target, the manifest last.

pub mod backend;
mod build;
mod check;
mod codegen;
mod cuda;
mod instructions;
mod manifest;
mod report;
mod rust_cuda;
mod rustc;
mod sources;
mod targets;
mod text;
pub mod tools;

pub use rustc::DeviceCompiler;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;
use backend::{BACKENDS, Backend, scratch};
use build::build;
use manifest::Manifest;

/// Options of `cargo xtask ptx`.
#[derive(Args)]
pub struct PtxArgs {
    /// One compiler alone: rustc writes to gpu-kernels/ptx, which is committed;
    /// rust-cuda to gpu-kernels/ptx-rust-cuda [default: rustc, and rust-cuda where it is ready]
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Don't write: say whether the PTX that is there belongs to the sources,
    /// and rebuild and compare it where the compiler that made it is present.
    #[arg(long)]
    check: bool,
    /// Write to this folder instead; of two compilers, the second to its folder rust-cuda.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
}

/// The pinned rustc that comes with the library's source.
///
/// # Errors
/// If there is none.
pub fn device_compiler(root: &Path) -> Result<DeviceCompiler> {
    rustc::locate(root)
}

/// Runs the command.
///
/// # Errors
/// If the kernels don't compile or fail a check, or (`--check`) the PTX does
/// not belong to the sources.
pub fn run(args: &PtxArgs) -> Result<()> {
    let root = workspace::root();
    let chosen = match args.backend {
        Some(backend) => vec![backend],
        None => chosen_by_itself(&root, args.check),
    };
    if args.check {
        return chosen
            .into_iter()
            .try_for_each(|backend| check_written(&root, backend, &root.join(backend.folder())));
    }
    let mut written = Vec::new();
    for &backend in &chosen {
        let folder = match &args.out {
            None => root.join(backend.folder()),
            Some(out) if backend == chosen[0] => out.clone(),
            Some(out) => out.join(backend.name()),
        };
        let mut compiler = backend.locate(&root)?;
        compiler.prepare(&root, &scratch(&root, backend))?;
        let built = build(&root, backend, &compiler)?;
        let mut files: Vec<_> =
            built.ptx.into_iter().map(|(target, text)| (targets::file(target), text)).collect();
        files.push((manifest::FILE.to_owned(), built.manifest.to_json()?));
        workspace::write_together(&folder, &files)?;
        written.push(report::Written { backend, folder, manifest: built.manifest });
    }
    print!("{}", report::table(&written));
    print!("{}", report::next_steps(&written, &root));
    Ok(())
}

/// Plain rustc, and Rust-CUDA where it is ready; for a check, where its PTX lies.
fn chosen_by_itself(root: &Path, check: bool) -> Vec<Backend> {
    let mut chosen = vec![Backend::Rustc];
    for backend in BACKENDS.into_iter().filter(|&backend| backend != Backend::Rustc) {
        let name = backend.name();
        let lies_there = root.join(backend.folder()).join(manifest::FILE).is_file();
        match backend.locate(root) {
            _ if check && !lies_there => {}
            Ok(_) => chosen.push(backend),
            Err(_) if check => chosen.push(backend),
            Err(_) => eprintln!(
                "note: {name} is not ready here, so rustc compiles alone\n  try: cargo xtask doctor says \
                 what it takes"
            ),
        }
    }
    chosen
}

/// `--check`: digests always, bytes where the same compiler is present.
fn check_written(root: &Path, backend: Backend, folder: &Path) -> Result<()> {
    let written = Manifest::read(folder)?;
    let mut faults = Vec::new();
    if sources::digest(root, backend.recipe())? != written.source_sha256 {
        faults.push("the kernels' sources changed since the PTX was made".to_owned());
    }
    if written.targets.iter().map(|entry| entry.name).ne(backend.targets()) {
        faults.push("the manifest lists other targets".to_owned());
    }
    for entry in &written.targets {
        let path = folder.join(targets::file(entry.name));
        let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if workspace::sha256_hex(&content) != entry.sha256 {
            faults.push(format!("{} is not what the manifest says", targets::file(entry.name)));
        }
    }
    let located = backend.locate(root).and_then(|mut compiler| {
        compiler.prepare(root, &scratch(root, backend))?;
        Ok(compiler)
    });
    let compared = match located {
        Ok(compiler) if compiler.version() == written.compiler => {
            for (target, text) in &build(root, backend, &compiler)?.ptx {
                if fs::read(folder.join(targets::file(*target))).ok().as_deref()
                    != Some(text.as_bytes())
                {
                    faults.push(format!(
                        "{} is not what the sources compile to",
                        targets::file(*target)
                    ));
                }
            }
            "rebuilt: identical byte for byte".to_owned()
        }
        Ok(compiler) => format!(
            "digests only: it was made by {}, and here is {}",
            written.compiler,
            compiler.version()
        ),
        Err(_) => {
            format!("digests only: the compiler that made it is not here, {}", written.compiler)
        }
    };
    if !faults.is_empty() {
        bail!(
            "{} does not belong to the sources:\n  {}\n  try: cargo xtask ptx --backend {}{}",
            folder.display(),
            faults.join("\n  "),
            backend.name(),
            if backend == Backend::Rustc { ", and commit what it writes" } else { "" }
        );
    }
    println!("{} belongs to the sources ({compared})", folder.display());
    Ok(())
}
