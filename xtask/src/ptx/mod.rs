//! `cargo xtask ptx`: kernels → PTX text → launch bounds → checks → files.
//!
//! ```text
//! backend      plain rustc or Rust-CUDA, one call per target
//! text         keep what entry points reach, add launch bounds
//! check        no calls, no local memory, the expected entry points
//! tools        ptxas and cuobjdump, where they are: registers, spills, SASS
//! manifest     digests of sources and PTX, compiler, what the tools said
//! ```
//!
//! Files appear in the backend's folder only after everything passed for every
//! target, the manifest last.

pub mod backend;
mod build;
mod check;
mod manifest;
mod rust_cuda;
mod rustc;
mod sources;
mod table;
mod text;
pub mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;
use backend::Backend;
use build::build;
use manifest::Manifest;
use table::TARGETS;

/// Options of `cargo xtask ptx`.
#[derive(Args)]
pub struct PtxArgs {
    /// The compiler: rustc writes to gpu-kernels/ptx, which is committed;
    /// rust-cuda to gpu-kernels/ptx-rust-cuda.
    #[arg(long, value_enum, default_value_t = Backend::Rustc)]
    backend: Backend,
    /// Don't write: say whether the PTX that is there belongs to the sources,
    /// and rebuild and compare it where the compiler that made it is present.
    #[arg(long)]
    check: bool,
    /// Write to this folder instead.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the kernels don't compile or fail a check, or (`--check`) the PTX does
/// not belong to the sources.
pub fn run(args: &PtxArgs) -> Result<()> {
    let root = workspace::root();
    let folder = args.out.clone().unwrap_or_else(|| root.join(args.backend.folder()));
    if args.check {
        return check_written(&root, args.backend, &folder);
    }
    let compiler = args.backend.locate(&root)?;
    let built = build(&root, args.backend, &compiler)?;
    let mut files: Vec<_> =
        built.ptx.into_iter().map(|(target, text)| (target.file(), text)).collect();
    files.push((manifest::FILE.to_owned(), built.manifest.to_json()?));
    workspace::write_together(&folder, &files)?;
    build::print_table(&built.manifest);
    println!("written to {}", folder.display());
    Ok(())
}

/// `--check`: digests always, bytes where the same compiler is present.
fn check_written(root: &Path, backend: Backend, folder: &Path) -> Result<()> {
    let written = Manifest::read(folder)?;
    let mut faults = Vec::new();
    if sources::digest(root, backend.recipe())? != written.source_sha256 {
        faults.push("the kernels' sources changed since the PTX was made".to_owned());
    }
    if written.targets.iter().map(|entry| entry.name).ne(TARGETS) {
        faults.push("the manifest lists other targets".to_owned());
    }
    for entry in &written.targets {
        let path = folder.join(entry.name.file());
        let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if workspace::sha256_hex(&content) != entry.sha256 {
            faults.push(format!("{} is not what the manifest says", entry.name.file()));
        }
    }
    let compared = match backend.locate(root) {
        Ok(compiler) if compiler.version() == written.compiler => {
            for (target, text) in &build(root, backend, &compiler)?.ptx {
                if fs::read(folder.join(target.file()))? != text.as_bytes() {
                    faults.push(format!("{} is not what the sources compile to", target.file()));
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
            "{} does not belong to the sources:\n  {}\n  try: cargo xtask ptx --backend {}, and commit \
             what it writes",
            folder.display(),
            faults.join("\n  "),
            backend.name()
        );
    }
    println!("{} belongs to the sources ({compared})", folder.display());
    Ok(())
}
