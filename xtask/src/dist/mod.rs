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
mod sbom;
mod tools;

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
    /// What the program says of itself: manual pages, completions, the default policy.
    share: PathBuf,
}

impl Places {
    fn new() -> Self {
        let root = workspace::root();
        let dist = root.join("target/dist");
        Self { root, out: dist.join("out"), share: dist.join("share") }
    }
}

/// Runs `cargo xtask dist`.
///
/// # Errors
/// A tool that is missing and can't be installed, or that fails.
pub fn run(args: &DistArgs) -> Result<()> {
    let places = Places::new();
    let tools = Tools::install(&places.root)?;
    anew(&places.out)?;
    anew(&places.share)?;
    for (index, arch) in args.arch.iter().enumerate() {
        let build = Build::new(&places.root, &tools, *arch)?;
        let program = build.programs()?;
        if index == 0 {
            // The pages are the same for all: they are made by the first that runs here.
            pack::share(&program, *arch, &places)?;
        }
        pack::deb(&build, &places)?;
        pack::tarball(&build, &program, &places)?;
        pack::wheel(&build, &program, &places)?;
    }
    sbom::write(&tools, &places)?;
    let sums = pack::sums(&places.out)?;
    print!("{sums}");
    println!("in {}", places.out.display());
    Ok(())
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
