//! Plain rustc as a compiler for GPUs: where it is, and how it is called.
//!
//! Guarantee: it never downloads a toolchain, and the PTX does not depend on
//! where the checkout, cargo's home or the target folder lie, nor on the
//! caller's environment: the compiler sees a short list of variables only.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use gpu_kernels::target::Target;

use super::targets::cfg_values;
use crate::parts::{Part, State};

/// The compiler's target.
pub const TRIPLE: &str = "nvptx64-nvidia-cuda";

/// Codegen options of every build, and with them part of the sources' digest.
const OPTIONS: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.panic=\"abort\"",
    "profile.release.codegen-units=1",
    "profile.release.debug=false",
    "profile.release.lto=false",
    "profile.release.overflow-checks=false",
];

/// Variables of the caller's environment that a build may see.
const ENVIRONMENT: [&str; 10] = [
    "PATH",
    "HOME",
    "CARGO_HOME",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "CARGO_HTTP_CAINFO",
];

/// A rustc and its cargo that can compile for GPUs.
#[derive(Clone, Debug)]
pub struct DeviceCompiler {
    /// rustc, by path.
    pub rustc: PathBuf,
    /// cargo of the same release, by path.
    pub cargo: PathBuf,
    /// What identifies it: release, commit, who built it, LLVM.
    pub version: String,
}

/// What the recipe is, for the digest of the sources.
pub fn recipe() -> String {
    format!("rustc {TRIPLE} -Zbuild-std=core --emit=asm {}", OPTIONS.join(" "))
}

/// The channel pinned in a folder's rust-toolchain.toml.
///
/// # Errors
/// If the file has no channel.
pub fn pinned_release(folder: &Path) -> Result<String> {
    let path = folder.join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let channel = text.lines().find_map(|line| line.strip_prefix("channel"));
    match channel.and_then(|rest| rest.split('"').nth(1)) {
        Some(channel) => Ok(channel.to_owned()),
        None => bail!("{} has no channel", path.display()),
    }
}

/// Finds the device compiler: the pinned toolchain through rustup, else a
/// system rustc of the same release with the library's source.
///
/// # Errors
/// If there is none, with what was looked at and what to install.
pub fn locate(root: &Path) -> Result<DeviceCompiler> {
    let release = pinned_release(&root.join("gpu-kernels"))?;
    let candidates = candidates(&release);
    let missing: Vec<_> = candidates
        .iter()
        .filter_map(|(name, found)| Some(format!("{name}: {}", found.as_ref().err()?)))
        .collect();
    match candidates.into_iter().find_map(|(_, found)| found.ok()) {
        Some(compiler) => Ok(compiler),
        None => bail!(
            "no compiler for the kernels: rustc {release} with the library's source is needed\n  \
             {}\n  try: {}\n  or, on Debian 12: {DEBIAN}",
            missing.join("\n  "),
            rustup_install(&release)
        ),
    }
}

/// What it needs on this machine: one of two compilers.
///
/// # Errors
/// If the pinned release can't be read.
pub fn parts(root: &Path) -> Result<Vec<Part>> {
    let release = pinned_release(&root.join("gpu-kernels"))?;
    let candidates = candidates(&release);
    let any = candidates.iter().any(|(_, found)| found.is_ok());
    let absent = if any { State::Optional } else { State::Missing };
    let how = [rustup_install(&release), DEBIAN.to_owned()];
    let mut taken = false;
    let parts = candidates.into_iter().zip(how).map(|((name, found), how)| match found {
        Ok(compiler) => {
            // As `locate` does: the first that is there.
            let role = if taken { "not taken: the one above counts first" } else { "taken" };
            taken = true;
            Part::new(name, Some(format!("{} ({role})", compiler.version)), absent, "")
        }
        Err(reason) => Part::new(name, None, absent, &format!("{reason}; {how}")),
    });
    Ok(parts.collect())
}

const DEBIAN: &str = "apt-get install rustc-web cargo-web rust-web-src";

fn rustup_install(release: &str) -> String {
    format!("rustup toolchain install {release} --profile minimal --component rust-src")
}

/// The two places where the compiler can be, in the order in which they count.
fn candidates(release: &str) -> [(&'static str, Result<DeviceCompiler, String>); 2] {
    let through_rustup = rustup_rustc(release)
        .ok_or_else(|| format!("rustup has no toolchain {release}"))
        .and_then(|rustc| examine(&rustc, release));
    let system = examine(Path::new("/usr/bin/rustc"), release);
    [("rustc through rustup", through_rustup), ("system rustc", system)]
}

/// The pinned toolchain's rustc, if rustup has it. Lists first: other commands
/// would install what is missing.
fn rustup_rustc(release: &str) -> Option<PathBuf> {
    let list = rustup(&["toolchain", "list"])?;
    let toolchain = installed_toolchain(&list, release)?;
    Some(PathBuf::from(rustup(&["which", "--toolchain", toolchain, "rustc"])?.trim()))
}

/// What rustup says, if there is one; it installs nothing by itself.
pub fn rustup(args: &[&str]) -> Option<String> {
    let output = Command::new("rustup").args(args).env("RUSTUP_AUTO_INSTALL", "0").output();
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// The line of `rustup toolchain list` for a release: 1.96.0 matches
/// 1.96.0-x86_64-unknown-linux-gnu, not 1.96.0-beta or 1.96.01.
pub fn installed_toolchain<'a>(list: &'a str, release: &str) -> Option<&'a str> {
    list.lines().filter_map(|line| line.split_whitespace().next()).find(|name| {
        let rest = name.strip_prefix(release);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('-') && !rest.starts_with("-beta")
        })
    })
}

/// Why a rustc can't be used, or the compiler it makes.
fn examine(rustc: &Path, release: &str) -> Result<DeviceCompiler, String> {
    let ask = |args: &[&str]| {
        let output = Command::new(rustc)
            .env("RUSTUP_AUTO_INSTALL", "0")
            .args(args)
            .output()
            .map_err(|error| format!("{}: {error}", rustc.display()))?;
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    };
    let version = ask(&["-vV"])?;
    let identity = identity(&version).ok_or("it does not say its version")?;
    let found = field(&version, "release").unwrap_or("");
    if found != release {
        return Err(format!("it is {found}, not {release}"));
    }
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
    let library = sysroot.join("lib/rustlib/src/rust/library");
    if !library.join("core/src/lib.rs").is_file() {
        return Err(format!("it has no library source in {}", library.display()));
    }
    let cargo = rustc.with_file_name("cargo");
    if !cargo.is_file() {
        return Err("it has no cargo beside it".to_owned());
    }
    Ok(DeviceCompiler { rustc: rustc.to_path_buf(), cargo, version: identity })
}

/// `rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball), LLVM 22.1.8`.
pub fn identity(version: &str) -> Option<String> {
    let first = version.lines().next().filter(|line| line.starts_with("rustc "))?;
    Some(format!("{first}, LLVM {}", field(version, "LLVM version")?))
}

fn field<'a>(version: &'a str, name: &str) -> Option<&'a str> {
    version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

impl DeviceCompiler {
    /// `cargo rustc` with these flags for all crates, for a target whose libraries are built
    /// from source, into the folder `out`; codegen `options` are cargo's. Which crate is
    /// still to be said. The build sees nothing of the caller's environment that it does not
    /// need.
    pub fn build(
        &self,
        workspace: &Path,
        flags: &[String],
        (triple, libraries): (&str, &str),
        out: &Path,
        options: &[&str],
    ) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(workspace).env_clear();
        for name in ENVIRONMENT {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("RUSTC", &self.rustc)
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTUP_AUTO_INSTALL", "0")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_TERM_COLOR", "never")
            .args(["rustc", "--release", "--locked", "--target", triple])
            .arg(format!("-Zbuild-std={libraries}"))
            .arg("--target-dir")
            .arg(out);
        for option in options {
            command.args(["--config", option]);
        }
        command
    }

    /// Compiles the kernels for one target; the PTX as the compiler wrote it.
    /// `out` is the folder for what cargo keeps between builds.
    ///
    /// # Errors
    /// With the compiler's messages, if it fails.
    pub fn compile(&self, workspace: &Path, target: Target, out: &Path) -> Result<String> {
        let artifacts = out.join(TRIPLE).join("release/deps");
        remove_kernels(&artifacts)?;
        let remap = [(workspace, "/attest"), (out, "/target")]
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let mut command = self.build(workspace, &remap, (TRIPLE, "core"), out, &OPTIONS);
        command
            .args(["--package", "gpu-kernels", "--lib", "--crate-type", "rlib"])
            .args(["--", "--emit=asm"])
            .args(cfg_values(target).map(|has| format!("--cfg=attest_has=\"{has}\"")))
            .arg(format!("-Ctarget-cpu={}", target.cpu()))
            .arg(format!("-Ctarget-feature=+ptx{}", target.isa()));
        let output =
            command.output().with_context(|| format!("can't start {}", self.cargo.display()))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "compiling for {} failed:\n{messages}", target.name());
        // Warnings about the kernels have a place in the sources; the one
        // about -Ctarget-feature, which every build gives, has none.
        if messages.contains("-->") {
            eprint!("{messages}");
        }
        let assembly = kernels_in(&artifacts)?
            .into_iter()
            .find(|file| file.extension().is_some_and(|extension| extension == "s"));
        let Some(assembly) = assembly else {
            bail!("the compiler left no assembly in {}", artifacts.display());
        };
        Ok(fs::read_to_string(assembly)?)
    }
}

/// What earlier builds left of the kernels: the names carry a hash of the
/// options, so the new file could not be told from old ones.
fn kernels_in(artifacts: &Path) -> Result<Vec<PathBuf>> {
    if !artifacts.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(artifacts)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("gpu_kernels-") || name.starts_with("libgpu_kernels-") {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove_kernels(artifacts: &Path) -> Result<()> {
    for file in kernels_in(artifacts)? {
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "\
rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)
binary: rustc
commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96
host: x86_64-unknown-linux-gnu
release: 1.96.0
LLVM version: 22.1.8
";

    #[test]
    fn the_identity_tells_who_built_it_and_with_which_llvm() {
        let expected =
            "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball), LLVM 22.1.8";
        assert_eq!(identity(DEBIAN).as_deref(), Some(expected));
        assert_eq!(identity("clang 22"), None);
        assert_eq!(field(DEBIAN, "release"), Some("1.96.0"));
    }

    #[test]
    fn only_the_pinned_release_is_taken_from_rustup() {
        let list = "stable-x86_64-unknown-linux-gnu (default)\n1.96.01-x\n1.96.0-beta.3-x\n";
        assert_eq!(installed_toolchain(list, "1.96.0"), None);
        let list = format!("{list}1.96.0-x86_64-unknown-linux-gnu (active)\n");
        assert_eq!(installed_toolchain(&list, "1.96.0"), Some("1.96.0-x86_64-unknown-linux-gnu"));
    }

    #[test]
    fn a_compiler_that_is_not_there_says_so() {
        assert!(examine(Path::new("/nonexistent/rustc"), "1.96.0").is_err());
    }

    #[test]
    fn the_pinned_release_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rust-toolchain.toml");
        fs::write(&file, "# c\n[toolchain]\nchannel = \"1.96.0\"\n").unwrap();
        assert_eq!(pinned_release(folder.path()).unwrap(), "1.96.0");
        fs::write(&file, "[toolchain]\n").unwrap();
        assert!(pinned_release(folder.path()).is_err());
    }
}
