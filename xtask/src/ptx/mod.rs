//! `cargo xtask ptx`: kernels → PTX text → launch bounds → checks → files.
//!
//! ```text
//! rustc        one call per target, PTX as the compiler wrote it
//! text         keep what entry points reach, add launch bounds
//! check        no calls, no local memory, the expected entry points
//! tools        ptxas and cuobjdump, where they are: registers, spills, SASS
//! manifest     digests of sources and PTX, compiler, what the tools said
//! ```
//!
//! Files appear in gpu-kernels/ptx only after everything passed for every
//! target, the manifest last.

mod check;
mod manifest;
mod rustc;
mod sources;
mod table;
mod text;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;
use manifest::{KernelEntry, Manifest, TargetEntry};
use rustc::DeviceCompiler;
use table::{TARGETS, Target};
use tools::Tools;

/// Options of `cargo xtask ptx`.
#[derive(Args)]
pub struct PtxArgs {
    /// Don't write: say whether the committed PTX belongs to the sources, and
    /// rebuild and compare it where the compiler that made it is present.
    #[arg(long)]
    check: bool,
    /// Write to this folder instead of gpu-kernels/ptx.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
}

/// Everything that one build yields, before anything is written.
struct Build {
    manifest: Manifest,
    ptx: Vec<(Target, String)>,
}

/// Runs the command.
///
/// # Errors
/// If the kernels don't compile or fail a check, or (`--check`) the committed
/// PTX does not belong to the sources.
pub fn run(args: &PtxArgs) -> Result<()> {
    let root = workspace::root();
    let folder = args.out.clone().unwrap_or_else(|| root.join("gpu-kernels/ptx"));
    if args.check {
        return check_committed(&root, &folder);
    }
    let compiler = rustc::locate(&root.join("gpu-kernels"))?;
    let build = build(&root, &compiler)?;
    let mut files: Vec<_> =
        build.ptx.into_iter().map(|(target, text)| (target.file(), text)).collect();
    files.push((manifest::FILE.to_owned(), build.manifest.to_json()?));
    workspace::write_together(&folder, &files)?;
    print_table(&build.manifest);
    println!("written to {}", folder.display());
    Ok(())
}

/// Compiles, post-processes, checks and measures every target.
fn build(root: &Path, compiler: &DeviceCompiler) -> Result<Build> {
    let tools = Tools::locate()?;
    if tools.is_none() {
        eprintln!(
            "note: no ptxas: registers and spills stay unknown\n  \
             try: pip install nvidia-cuda-nvcc nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, and set \
             {} to their folder of programs",
            tools::BIN_VARIABLE
        );
    }
    let source_sha256 = sources::digest(&root.join("gpu-kernels"), &rustc::recipe())?;
    let scratch = root.join("target/ptx/rustc");
    fs::create_dir_all(&scratch)?;
    let mut ptx = Vec::new();
    let mut targets = Vec::new();
    for target in TARGETS {
        let raw = compiler.compile(root, target, &scratch)?;
        let mut module = text::parse(&raw)?;
        module.keep_what_entries_reach();
        // Kept for whoever has to find out why a check failed.
        let origin = format!("attest kernels for {}: {}", target.name(), compiler.version);
        let unbounded = scratch.join(target.file());
        fs::write(&unbounded, module.render(&origin))?;
        check::check(&module, target)
            .with_context(|| format!("the text is in {}", unbounded.display()))?;
        module.add_launch_bounds()?;
        let finished = module.render(&origin);
        fs::write(&unbounded, &finished)?;
        targets.push(target_entry(target, &module, &finished, &unbounded, tools.as_ref())?);
        ptx.push((target, finished));
    }
    let manifest = Manifest {
        source_sha256,
        compiler: compiler.version.clone(),
        ptxas: tools.map(|tools| tools.version),
        targets,
    };
    Ok(Build { manifest, ptx })
}

fn target_entry(
    target: Target,
    module: &text::Module,
    ptx: &str,
    file: &Path,
    tools: Option<&Tools>,
) -> Result<TargetEntry> {
    let measured = tools.map(|tools| tools.measure(file, target)).transpose()?;
    let kernels = module.entries().map(|(name, _)| {
        let resources = measured.as_ref().and_then(|kernels| kernels.get(name)).cloned();
        let threads = table::kernel(name).map_or(0, |kernel| kernel.threads);
        KernelEntry { name: name.to_owned(), threads, resources }
    });
    Ok(TargetEntry {
        name: target,
        file: target.file(),
        sha256: workspace::sha256_hex(ptx.as_bytes()),
        ptx_version: format!("{}.{}", target.isa() / 10, target.isa() % 10),
        ptx_target: target.cpu().to_owned(),
        ptxas_arch: target.ptxas_arch().to_owned(),
        kernels: kernels.collect(),
    })
}

/// `--check`: digests always, bytes where the same compiler is present.
fn check_committed(root: &Path, folder: &Path) -> Result<()> {
    let committed = Manifest::read(folder)?;
    let mut faults = Vec::new();
    if sources::digest(&root.join("gpu-kernels"), &rustc::recipe())? != committed.source_sha256 {
        faults.push("the kernels' sources changed since the PTX was made".to_owned());
    }
    if committed.targets.iter().map(|entry| entry.name).ne(TARGETS) {
        faults.push("the manifest lists other targets".to_owned());
    }
    for entry in &committed.targets {
        let path = folder.join(&entry.file);
        let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if workspace::sha256_hex(&content) != entry.sha256 {
            faults.push(format!("{} is not what the manifest says", entry.file));
        }
    }
    let compiler = rustc::locate(&root.join("gpu-kernels"));
    let compared = match &compiler {
        Ok(compiler) if compiler.version == committed.compiler => {
            let rebuilt = build(root, compiler)?;
            for (target, text) in &rebuilt.ptx {
                if fs::read(folder.join(target.file()))? != text.as_bytes() {
                    faults.push(format!("{} is not what the sources compile to", target.file()));
                }
            }
            "rebuilt and identical".to_owned()
        }
        Ok(compiler) => format!(
            "digests only: it was made by {}, here is {}",
            committed.compiler, compiler.version
        ),
        Err(_) => {
            format!("digests only: no device compiler here, it was made by {}", committed.compiler)
        }
    };
    if !faults.is_empty() {
        bail!(
            "{} does not belong to the sources:\n  {}\n  try: cargo xtask ptx, and commit what it writes",
            folder.display(),
            faults.join("\n  ")
        );
    }
    println!("{} belongs to the sources ({compared})", folder.display());
    Ok(())
}

/// One line per kernel: what the tools said.
fn print_table(manifest: &Manifest) {
    println!("compiler  {}", manifest.compiler);
    println!("ptxas     {}", manifest.ptxas.as_deref().unwrap_or("none"));
    println!(
        "{:<9} {:<14} {:>7} {:>9} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6}",
        "target",
        "kernel",
        "threads",
        "registers",
        "spills",
        "stack",
        "shared",
        "DMMA",
        "DFMA",
        "SASS"
    );
    for target in &manifest.targets {
        for kernel in &target.kernels {
            let Some(r) = &kernel.resources else {
                println!("{:<9} {:<14} {:>7}", target.name.name(), kernel.name, kernel.threads);
                continue;
            };
            let sass = |opcode| r.sass.get(opcode).copied().unwrap_or(0);
            println!(
                "{:<9} {:<14} {:>7} {:>9} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6}",
                target.name.name(),
                kernel.name,
                kernel.threads,
                r.registers,
                r.spill_store_bytes + r.spill_load_bytes,
                r.stack_bytes,
                r.static_shared_bytes,
                sass("DMMA"),
                sass("DFMA"),
                sass("total")
            );
        }
    }
}
