//! Builds of the program and the Python module that come out the same anywhere.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::rust::{self, Rust};
use super::tools::{Tools, output, run};

/// The oldest glibc that has all that the programs use.
const GLIBC: &str = "2.28";
const PROFILE: &str = "dist";

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// x86-64.
    #[value(name = "x86-64")]
    X86_64,
    /// 64-bit ARM.
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// Rust's name of the target.
    pub fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Zig's name of it.
    fn zig(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// Debian's name of it.
    fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// One processor's build.
pub struct Build<'a> {
    /// Whose.
    pub arch: Arch,
    tools: &'a Tools,
    root: &'a Path,
    /// Seconds since 1970: every time in what is packed.
    pub epoch: String,
    cargo_home: PathBuf,
    /// Of C, and the linker.
    compilers: PathBuf,
    rust: Rust,
}

impl<'a> Build<'a> {
    /// Prepares one; nothing is built yet.
    ///
    /// # Errors
    /// No home; no room for a few scripts; no Rust library of the processor.
    pub fn new(root: &'a Path, tools: &'a Tools, arch: Arch, epoch: &str) -> Result<Self> {
        let compilers = tools.compilers(arch.triple(), &format!("{}.{GLIBC}", arch.zig()))?;
        let (epoch, cargo_home) = (epoch.to_owned(), cargo_home()?);
        let rust = Rust::find(root, &tools.folder, arch.triple(), arch.debian())?;
        Ok(Self { arch, tools, root, epoch, cargo_home, compilers, rust })
    }

    /// A tool, in an environment that leaves no trace in what it makes.
    pub fn command(&self, name: &str) -> Command {
        let mut command = self.tools.command(name);
        let homes = [(self.root, "/attest"), (&self.cargo_home, "/cargo")];
        let remap =
            |option: &str| homes.map(|(path, name)| format!("{option}={}={name}", path.display()));
        let triple = self.arch.triple().replace('-', "_");
        for (variable, tool) in [("CC", "cc"), ("CXX", "c++"), ("AR", "ar"), ("RANLIB", "ranlib")] {
            command.env(format!("{variable}_{triple}"), self.compilers.join(tool));
        }
        let mut flags = remap("--remap-path-prefix").to_vec();
        if let Rust::Debian { sysroot } = &self.rust {
            flags.push(format!("--sysroot={}", sysroot.display()));
            command.env("RUSTC", rust::DEBIAN_RUSTC);
        }
        command
            .current_dir(self.root)
            .env_remove("RUSTFLAGS")
            .env(
                format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()),
                self.compilers.join("cc"),
            )
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("CFLAGS", remap("-ffile-prefix-map").join(" "))
            .env("CARGO_TARGET_DIR", self.target())
            .env("CARGO_INCREMENTAL", "0")
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command
    }

    /// Cargo's folder for it: two compilers don't share one.
    fn target(&self) -> PathBuf {
        match self.rust {
            Rust::Pinned => self.root.join("target"),
            Rust::Debian { .. } => self.root.join("target/debian"),
        }
    }

    /// Builds the program; gives its path. The Python module is named, too, so that both
    /// have the same dependencies, compiled once.
    ///
    /// # Errors
    /// The build fails.
    pub fn programs(&self) -> Result<PathBuf> {
        let mut cargo = self.command("cargo");
        cargo.args(["build", "--locked", "--profile", PROFILE, "--target", self.arch.triple()]);
        run(cargo.args(["-p", "attest", "-p", "attest-python", "--bin", "attest"]), "building")?;
        Ok(self.target().join(self.arch.triple()).join(PROFILE).join("attest"))
    }

    /// Packs the program that was built, with cargo-deb.
    ///
    /// # Errors
    /// A file of the package is missing.
    pub fn deb(&self, out: &Path) -> Result<()> {
        let mut deb = self.command("cargo-deb");
        deb.args(["-p", "attest", "--no-build", "--no-strip", "--profile", PROFILE]);
        run(deb.args(["--target", self.arch.triple(), "--output"]).arg(out), "packing the .deb")
    }

    /// Builds the wheel, with `program` as its script.
    ///
    /// # Errors
    /// The build fails.
    pub fn wheel(&self, program: &Path, out: &Path) -> Result<()> {
        stage_script(self.root, program)?;
        let mut maturin = self.command("maturin");
        maturin.args(["build", "--locked", "--profile", PROFILE, "--strip"]);
        maturin.args(["--target", self.arch.triple(), "--compatibility"]);
        maturin.arg(format!("manylinux_{}", GLIBC.replace('.', "_")));
        maturin.args(["-m", "host/python/Cargo.toml", "--out"]).arg(out);
        run(&mut maturin, "building the wheel")
    }
}

/// A wheel for this machine, with cargo's own linker: for tests of the Python package.
///
/// # Errors
/// A build fails.
pub fn host_wheel(root: &Path, tools: &Tools, profile: &str) -> Result<PathBuf> {
    let target = root.join("target");
    let mut cargo = tools.command("cargo");
    cargo.current_dir(root).env("CARGO_TARGET_DIR", &target);
    cargo.args(["build", "--locked", "--profile", profile]);
    run(cargo.args(["-p", "attest", "-p", "attest-python", "--bin", "attest"]), "building")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    stage_script(root, &target.join(folder).join("attest"))?;
    let out = target.join("wheel/out");
    super::anew(&out)?;
    let mut maturin = tools.command("maturin");
    maturin.current_dir(root).env("CARGO_TARGET_DIR", &target);
    maturin.args(["build", "--locked", "--compatibility", "linux", "--profile", profile]);
    maturin.args(["-m", "host/python/Cargo.toml", "--out"]).arg(&out);
    run(&mut maturin, "building the wheel")?;
    let first = fs::read_dir(&out)?.next().context("maturin left no wheel")??;
    Ok(first.path())
}

/// Puts the program where host/python/pyproject.toml has maturin look for scripts.
fn stage_script(root: &Path, program: &Path) -> Result<()> {
    let scripts = root.join("target/wheel/data/scripts");
    super::anew(&scripts)?;
    let to = scripts.join("attest");
    fs::copy(program, &to).with_context(|| format!("copying {}", program.display()))?;
    Ok(())
}

/// The time of the commit, or what the caller says, s since 1970.
///
/// # Errors
/// No git, or no commit.
pub fn epoch(root: &Path) -> Result<String> {
    if let Ok(epoch) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut git = Command::new("git");
    let time = output(git.current_dir(root).args(["log", "-1", "--format=%ct"]), "asking git")?;
    Ok(time.trim().to_owned())
}

fn cargo_home() -> Result<PathBuf> {
    let of_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME")
        .filter(|home| home != OsStr::new(""))
        .map(PathBuf::from)
        .or_else(of_home)
        .context("neither CARGO_HOME nor HOME is set")
}
