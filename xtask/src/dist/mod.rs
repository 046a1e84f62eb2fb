//! `cargo xtask dist`: what users install, in `target/dist`: a Debian package, a tarball,
//! a Python wheel, a list of what is in them, and checksums. `cargo xtask wheel`: the
//! wheel alone, of any profile.
//!
//! Guarantees: the programs need no glibc newer than 2.28; the same commit gives the same
//! bytes, whichever folder it is built in (of the same versions of rustc and the tools
//! named in `tools.rs`); no path of this machine is in them.
//! Deliberately lacks: publishing, and signatures.

mod build;
mod pack;
mod rust;
mod sbom;
mod tools;
mod twin;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace;
use build::{Arch, Build};
use tools::Tools;

/// Options of `cargo xtask dist`.
#[derive(Args)]
pub struct DistArgs {
    /// For which processors; repeat for more
    #[arg(long, value_enum, default_value = "x86-64")]
    arch: Vec<Arch>,
    /// Build all of it again in a copy of the checkout, and fail if a checksum differs
    #[arg(long)]
    twice: bool,
}

/// Options of `cargo xtask wheel`.
#[derive(Args)]
pub struct WheelArgs {
    /// Cargo's profile
    #[arg(long, default_value = "dev")]
    profile: String,
}

/// Where everything is.
struct Places {
    /// Of the workspace.
    root: PathBuf,
    /// What is packed, and nothing else.
    out: PathBuf,
    /// What the program prints: manual pages, completions, the default policy.
    share: PathBuf,
}

impl Places {
    fn new(root: PathBuf) -> Self {
        let dist = root.join("target/dist");
        Self { root, out: dist.join("out"), share: dist.join("share") }
    }
}

/// Runs `cargo xtask dist`.
///
/// # Errors
/// A tool that is missing and can't be installed, or that fails; with `--twice`, files that
/// differ.
pub fn run(args: &DistArgs) -> Result<()> {
    let root = workspace::root();
    let tools = Tools::install(&root)?;
    let epoch = build::epoch(&root)?;
    let places = Places::new(root);
    let sums = packed(&places, &tools, &args.arch, &epoch)?;
    print!("{sums}");
    println!("in {}", places.out.display());
    if args.twice {
        twin::check(&places, &sums, |copy| packed(copy, &tools, &args.arch, &epoch))?;
        println!("built again in another folder: the same bytes");
    }
    Ok(())
}

/// Builds and packs everything; gives the checksums.
fn packed(places: &Places, tools: &Tools, arches: &[Arch], epoch: &str) -> Result<String> {
    anew(&places.out)?;
    anew(&places.share)?;
    for (index, arch) in arches.iter().enumerate() {
        let build = Build::new(&places.root, tools, *arch, epoch)?;
        let program = build.programs()?;
        if index == 0 {
            // They are the same for all: made by the first, which runs here.
            pack::share(&program, *arch, places)?;
            sbom::write(&build, places)?;
        }
        build.deb(&places.out)?;
        pack::tarball(&build, &program, places)?;
        build.wheel(&program, &places.out)?;
    }
    pack::sums(&places.out)
}

/// Runs `cargo xtask wheel`.
///
/// # Errors
/// As of [`run`].
pub fn run_wheel(args: &WheelArgs) -> Result<()> {
    let root = workspace::root();
    let tools = Tools::install_maturin(&root)?;
    let wheel = build::host_wheel(&root, &tools, &args.profile)?;
    println!("{}", wheel.display());
    Ok(())
}

/// An empty folder.
fn anew(folder: &Path) -> Result<()> {
    let said = || format!("emptying {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(said)?;
    }
    fs::create_dir_all(folder).with_context(said)
}
