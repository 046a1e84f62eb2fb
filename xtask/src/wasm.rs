//! `cargo xtask wasm`: host/wasm → the module that a report's page embeds.
//!
//! The compiler is that of the kernels (`gpu-kernels/rust-toolchain.toml`), with the
//! library compiled from its source, and LLVM's `wasm-ld`.
//!
//! Guarantee: the module does not depend on where the checkout, cargo's home or the target
//! folder lie; it is in place only once it is whole, the manifest last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::parts::{find_in, folders_in};
use crate::ptx::{DeviceCompiler, device_compiler};
use crate::workspace::{self, files_below};

const TRIPLE: &str = "wasm32-unknown-unknown";
/// Where the module is committed.
const FOLDER: &str = "host/wasm/module";
const MODULE: &str = "attest.wasm";
const MANIFEST: &str = "manifest.json";
/// Larger modules make every report larger: something came in that does not belong there.
const MODULE_BYTES_MAX: usize = 600_000;

/// Codegen options, part of the sources' digest.
const OPTIONS: [&str; 6] = [
    "profile.release.opt-level=\"s\"",
    "profile.release.panic=\"abort\"",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.debug=false",
    "profile.release.strip=true",
];

/// Options of `cargo xtask wasm`.
#[derive(Args)]
pub struct WasmArgs {
    /// Don't write: say whether the module that is there belongs to the sources, and
    /// rebuild and compare it if the compiler that made it is present.
    #[arg(long)]
    check: bool,
}

/// What the module is made of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Of the sources and the recipe.
    source_sha256: String,
    compiler: String,
    sha256: String,
    bytes: usize,
}

/// Runs the command.
///
/// # Errors
/// If it does not compile, or (`--check`) the module does not belong to the sources.
pub fn run(args: &WasmArgs) -> Result<()> {
    let root = workspace::root();
    let folder = root.join(FOLDER);
    if args.check {
        return check(&root, &folder);
    }
    let compiler = device_compiler(&root)?;
    let module = compile(&root, &compiler)?;
    let manifest = Manifest {
        source_sha256: sources(&root)?,
        compiler: compiler.version,
        sha256: workspace::sha256_hex(&module),
        bytes: module.len(),
    };
    fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    std::io::Write::write_all(&mut file, &module)?;
    workspace::set_readable(file.path())?;
    file.persist(folder.join(MODULE))?;
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    workspace::write_together(&folder, &[(MANIFEST.to_owned(), text)])?;
    println!("{FOLDER}/{MODULE}: {} bytes, by {}", manifest.bytes, manifest.compiler);
    Ok(())
}

fn check(root: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join(MANIFEST)).context("reading the manifest")?;
    let written: Manifest = serde_json::from_str(&text)?;
    let module = fs::read(folder.join(MODULE)).context("reading the module")?;
    let mut faults = Vec::new();
    if sources(root)? != written.source_sha256 {
        faults.push("its sources changed since it was made");
    }
    if workspace::sha256_hex(&module) != written.sha256 {
        faults.push("it is not what the manifest says");
    }
    let compared = match device_compiler(root) {
        Ok(compiler) if compiler.version == written.compiler => {
            if compile(root, &compiler)? != module {
                faults.push("it is not what the sources compile to");
            }
            "rebuilt: identical byte for byte"
        }
        Ok(_) | Err(_) => "digests only: the compiler that made it is not here",
    };
    if !faults.is_empty() {
        bail!(
            "{FOLDER}/{MODULE} does not belong to the sources:\n  {}\n  try: cargo xtask wasm, and \
             commit what it writes",
            faults.join("\n  ")
        );
    }
    println!("{FOLDER}/{MODULE} belongs to the sources ({compared})");
    Ok(())
}

/// Digest of what the module is made from: two crates and the recipe. Versions of other
/// crates stand in Cargo.lock, which changes for other reasons, too; a rebuild sees them.
fn sources(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for name in ["host/wasm", "host/protocol"] {
        files.extend(files_below(&root.join(name).join("src"))?);
        files.push(root.join(name).join("Cargo.toml"));
    }
    let mut hash = Sha256::new();
    workspace::hash_files(root, &files, &mut hash)?;
    hash.update(OPTIONS.join(" "));
    Ok(hex::encode(hash.finalize()))
}

fn compile(root: &Path, compiler: &DeviceCompiler) -> Result<Vec<u8>> {
    let linker = find_in(folders_in("PATH"), "wasm-ld");
    ensure!(linker.is_some(), "no wasm-ld\n  try: apt-get install lld");
    let out = root.join("target/wasm");
    let sysroot = Command::new(&compiler.rustc).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout)?.trim());
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec!["-Clinker=wasm-ld".to_owned()];
    let places =
        [(Some(root.to_path_buf()), "/attest"), (home, "/cargo"), (Some(sysroot), "/rust")];
    for (from, to) in places.into_iter().filter_map(|(from, to)| Some((from?, to))) {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    let output = compiler
        .build(root, &flags, (TRIPLE, "std,panic_abort"), &out, &OPTIONS)
        .args(["--package", "attest-wasm", "--lib", "--crate-type", "cdylib"])
        .output()
        .with_context(|| format!("can't start {}", compiler.cargo.display()))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "compiling for {TRIPLE} failed:\n{messages}");
    let module = fs::read(out.join(TRIPLE).join("release/attest_wasm.wasm"))?;
    ensure!(
        module.len() <= MODULE_BYTES_MAX,
        "the module has {} bytes, more than {MODULE_BYTES_MAX}",
        module.len()
    );
    Ok(module)
}
