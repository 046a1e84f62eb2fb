//! One build of all targets, held in memory until everything passed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use gpu_kernels::table;
use gpu_kernels::target::Target;

use super::backend::{Backend, Compiler, scratch};
use super::manifest::{KernelEntry, Manifest, TargetEntry};
use super::tools::{self, Tools};
use super::{check, sources, targets, text};
use crate::workspace;

/// What a build yields, before anything is written.
pub struct Build {
    /// The manifest to be.
    pub manifest: Manifest,
    /// The text for each target.
    pub ptx: Vec<(Target, String)>,
}

/// Compiles, post-processes, checks and measures every target that the backend
/// has; says on stderr how far it is. The compiler is [`Compiler::prepare`]d.
///
/// # Errors
/// If the kernels don't compile, or a check fails.
pub fn build(root: &Path, backend: Backend, compiler: &Compiler) -> Result<Build> {
    let tools = Tools::locate()?;
    if tools.is_none() {
        eprintln!("note: no ptxas: registers and spills stay unknown\n  try: {}", tools::HOW);
    }
    let source_sha256 = sources::digest(root, backend.recipe())?;
    let scratch = scratch(root, backend);
    fs::create_dir_all(&scratch)?;
    let mut ptx = Vec::new();
    let mut entries = Vec::new();
    let compiled = backend.targets();
    let count = compiled.len();
    for (index, target) in compiled.into_iter().enumerate() {
        let start = Instant::now();
        let raw = compiler.compile(root, target, &scratch)?;
        let origin = format!("attest kernels for {}: {}", target.name(), compiler.version());
        // What fails a check stays here, for whoever has to find out why.
        let file = scratch.join(targets::file(target));
        let (module, finished) = finish(&raw, &origin, backend, target, &file)
            .with_context(|| format!("checking {}", file.display()))?;
        entries.push(target_entry(target, &module, &finished, &file, tools.as_ref())?);
        ptx.push((target, finished));
        let (name, seconds) = (backend.name(), start.elapsed().as_secs_f64());
        eprintln!("{name}: {} ({} of {count}), {seconds:.1} s", target.name(), index + 1);
    }
    let compiler = compiler.version().to_owned();
    let ptxas = tools.map(|tools| tools.version);
    Ok(Build { manifest: Manifest { source_sha256, compiler, ptxas, targets: entries }, ptx })
}

/// From the compiler's text to ours, checked; `file` gets it as far as it came.
fn finish(
    raw: &str,
    origin: &str,
    backend: Backend,
    target: Target,
    file: &Path,
) -> Result<(text::Module, String)> {
    fs::write(file, raw)?;
    let mut module = text::parse(raw)?;
    module.keep_what_entries_reach();
    module.unsize_dynamic_shared();
    fs::write(file, module.render(origin))?;
    check::check(&module, target, &backend.expected(target))?;
    module.add_launch_bounds()?;
    let finished = module.render(origin);
    fs::write(file, &finished)?;
    Ok((module, finished))
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
        let threads = table::named(name).map_or(0, |kernel| kernel.threads);
        KernelEntry { name: name.to_owned(), threads, resources }
    });
    let said = |directive| module.directive(directive).unwrap_or_default().to_owned();
    Ok(TargetEntry {
        name: target,
        file: targets::file(target),
        sha256: workspace::sha256_hex(ptx.as_bytes()),
        ptx_version: said(".version"),
        ptx_target: said(".target"),
        ptxas_arch: target.ptxas_arch().to_owned(),
        kernels: kernels.collect(),
    })
}
