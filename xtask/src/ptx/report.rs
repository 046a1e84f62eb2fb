//! What a build says at its end: registers, spills and instructions of every
//! kernel, the compilers side by side, and how to try the result on a GPU.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use gpu_kernels::target::Target;

use super::backend::Backend;
use super::manifest::Manifest;
use super::tools::Resources;

/// What one compiler made, and where it lies.
pub struct Written {
    /// The compiler.
    pub backend: Backend,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The manifest in it.
    pub manifest: Manifest,
}

/// What a column shows of a kernel.
type Value = fn(&Resources) -> u32;

/// The columns of one compiler.
const COLUMNS: [(&str, Value); 6] = [
    ("registers", |r| r.registers),
    ("spills", |r| r.spill_store_bytes + r.spill_load_bytes),
    ("stack", |r| r.stack_bytes),
    ("DMMA", |r| sass(r, "DMMA")),
    ("DFMA", |r| sass(r, "DFMA")),
    ("SASS", |r| sass(r, "total")),
];
const WIDTHS: [usize; 6] = [10, 7, 6, 5, 5, 6];

fn sass(resources: &Resources, opcode: &str) -> u32 {
    resources.sass.get(opcode).copied().unwrap_or(0)
}

/// A line per kernel, a group of columns per compiler.
pub fn table(written: &[Written]) -> String {
    let mut out = String::new();
    for Written { backend, manifest, .. } in written {
        let ptxas = manifest.ptxas.as_deref().unwrap_or("none");
        let _ = writeln!(out, "{:<9}  {}; ptxas {ptxas}", backend.name(), manifest.compiler);
    }
    // In the order of the files, targets of whoever comes first before the others'.
    let mut rows: Vec<(Target, &str, u32)> = Vec::new();
    let mut cells = BTreeMap::new();
    for (column, one) in written.iter().enumerate() {
        for target in &one.manifest.targets {
            for kernel in &target.kernels {
                let row = (target.name, kernel.name.as_str(), kernel.threads);
                cells.insert((column, target.name, kernel.name.as_str()), &kernel.resources);
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
    }
    rows.sort_by_key(|&(target, ..)| target);
    let group: usize = WIDTHS.iter().sum();
    if written.len() > 1 {
        let names = written.iter().map(|one| format!("{:>group$}", one.backend.name()));
        let _ = writeln!(out, "{:<37}{}", "", names.collect::<String>());
    }
    let heads = COLUMNS.iter().zip(WIDTHS).map(|((head, _), width)| format!("{head:>width$}"));
    let heads = heads.collect::<String>().repeat(written.len());
    let _ = writeln!(out, "{:<9} {:<18} {:>8}{heads}", "target", "kernel", "threads");
    for (target, kernel, threads) in rows {
        let mut line = format!("{:<9} {kernel:<18} {threads:>8}", target.name());
        for column in 0..written.len() {
            let resources = cells.get(&(column, target, kernel)).and_then(|r| r.as_ref());
            for ((_, value), width) in COLUMNS.iter().zip(WIDTHS) {
                let value = resources.map(|r| value(r).to_string()).unwrap_or_default();
                let _ = write!(line, "{value:>width$}");
            }
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Where the files are, and how to try them on a GPU.
pub fn next_steps(written: &[Written], root: &Path) -> String {
    let mut out = String::new();
    for one in written {
        let _ = writeln!(out, "written to {}", one.folder.display());
    }
    let embedded = |one: &&Written| one.folder == root.join(Backend::Rustc.folder());
    out += "to try it on a machine with a GPU:\n";
    if written.iter().any(|one| embedded(&one)) {
        out +=
            "  cargo run --release -p attest -- selftest   # embedded: builds the program anew\n";
        out += "  cargo run --release -p attest -- bench\n";
    }
    for one in written.iter().filter(|one| !embedded(one)) {
        let folder = one.folder.strip_prefix(root).unwrap_or(&one.folder).display();
        for command in ["selftest", "bench"] {
            let _ = writeln!(out, "  cargo run --release -p attest -- {command} --ptx {folder}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{KernelEntry, TargetEntry};
    use super::super::targets;
    use super::*;

    fn written(backend: Backend, folder: &str, kernels: &[(Target, &str, u32)]) -> Written {
        let target = |&(target, kernel, registers): &(Target, &str, u32)| TargetEntry {
            name: target,
            file: targets::file(target),
            sha256: String::new(),
            ptx_version: String::new(),
            ptx_target: String::new(),
            ptxas_arch: String::new(),
            kernels: vec![KernelEntry {
                name: kernel.to_owned(),
                threads: 256,
                resources: (registers > 0).then(|| Resources {
                    registers,
                    spill_load_bytes: 8,
                    sass: BTreeMap::from([("total".to_owned(), 900), ("DMMA".to_owned(), 128)]),
                    ..Resources::default()
                }),
            }],
        };
        let manifest = Manifest {
            source_sha256: String::new(),
            compiler: format!("{} 1", backend.name()),
            ptxas: Some("V13".to_owned()),
            targets: kernels.iter().map(target).collect(),
        };
        Written { backend, folder: folder.into(), manifest }
    }

    #[test]
    fn compilers_stand_side_by_side() {
        let both = [
            written(
                Backend::Rustc,
                "/w/gpu-kernels/ptx",
                &[(Target::Sm80, "fill", 40), (Target::Sm120, "fill", 41)],
            ),
            written(
                Backend::RustCuda,
                "/w/gpu-kernels/ptx-rust-cuda",
                &[(Target::Sm80, "fill", 50)],
            ),
        ];
        let expected = "\
rustc      rustc 1; ptxas V13
rust-cuda  rust-cuda 1; ptxas V13
                                                                       rustc                              rust-cuda
target    kernel              threads registers spills stack DMMA DFMA  SASS registers spills stack DMMA DFMA  SASS
sm_80     fill                    256        40      8     0  128    0   900        50      8     0  128    0   900
sm_120    fill                    256        41      8     0  128    0   900
";
        assert_eq!(table(&both), expected);
    }

    #[test]
    fn without_ptxas_there_are_names_alone() {
        let text = table(&[written(Backend::Rustc, "/x", &[(Target::Sm80, "fill", 0)])]);
        assert!(text.ends_with("\nsm_80     fill                    256\n"), "{text}");
    }

    #[test]
    fn the_last_lines_say_how_to_try_what_was_written() {
        let steps = |folder| next_steps(&[written(Backend::Rustc, folder, &[])], Path::new("/w"));
        let text = steps("/w/gpu-kernels/ptx");
        assert!(text.contains("-- selftest   #") && !text.contains("--ptx"), "{text}");
        let text = steps("/w/gpu-kernels/ptx-rust-cuda");
        assert!(text.contains("selftest --ptx gpu-kernels/ptx-rust-cuda\n"), "{text}");
        let text = steps("/elsewhere");
        assert!(text.contains("bench --ptx /elsewhere\n"), "{text}");
    }
}
