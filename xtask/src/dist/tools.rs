//! What packing takes beside cargo, at exact versions: from crates.io and PyPI, into
//! `target/tools`.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

/// From PyPI: the C compiler and linker that brings glibc's symbols of every version, what
/// calls it for cargo, and what makes wheels.
const OF_PYPI: [&str; 3] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1", MATURIN];
const MATURIN: &str = "maturin==1.16.0";
/// From crates.io.
const OF_CRATES_IO: [(&str, &str); 2] = [("cargo-deb", "3.8.0"), ("cargo-cyclonedx", "0.5.9")];

/// The tools, installed.
pub struct Tools {
    /// `PATH` with all of them first.
    pub path: OsString,
    /// Where they are.
    pub folder: PathBuf,
}

impl Tools {
    /// Installs what is not there yet.
    ///
    /// # Errors
    /// No Python, or a registry that cannot be reached.
    pub fn install(root: &Path) -> Result<Self> {
        let folder = root.join("target/tools");
        let venv = venv(&folder, "dist", &OF_PYPI)?;
        for (name, version) in OF_CRATES_IO {
            let done = folder.join(format!("cargo/{name}-{version}"));
            if done.exists() {
                continue;
            }
            let mut command = Command::new("cargo");
            command.args(["install", name, "--version", version, "--locked", "--quiet", "--root"]);
            run(command.arg(folder.join("cargo")), "installing a tool")?;
            fs::write(&done, "").with_context(|| format!("writing {}", done.display()))?;
        }
        Self::with(&[venv.join("bin"), folder.join("cargo/bin")], folder)
    }

    /// Installs maturin alone.
    ///
    /// # Errors
    /// As of [`Tools::install`].
    pub fn install_maturin(root: &Path) -> Result<Self> {
        let folder = root.join("target/tools");
        let venv = venv(&folder, "maturin", &[MATURIN])?;
        Self::with(&[venv.join("bin")], folder)
    }

    fn with(folders: &[PathBuf], folder: PathBuf) -> Result<Self> {
        let old = env::var_os("PATH").unwrap_or_default();
        let all = folders.iter().cloned().chain(env::split_paths(&old));
        let path = env::join_paths(all).context("a folder's name has a colon")?;
        Ok(Self { path, folder })
    }

    /// A folder with `cc`, `c++`, `ar` and `ranlib` for a target, made of zig as
    /// cargo-zigbuild calls it. Scripts of our own, because the folder of its own ones
    /// differs from call to call, and cargo then compiles everything again.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn compilers(&self, triple: &str, zig_target: &str) -> Result<PathBuf> {
        let folder = self.folder.join("compilers").join(triple);
        let said = || format!("writing into {}", folder.display());
        fs::create_dir_all(&folder).with_context(said)?;
        let of_target = format!("-fno-sanitize=all -target {zig_target}");
        for (name, options) in
            [("cc", &*of_target), ("c++", &of_target), ("ar", ""), ("ranlib", "")]
        {
            let venv = self.folder.join("dist/bin");
            let script = format!(
                "#!/bin/sh\nexport CARGO_ZIGBUILD_ZIG_COMMAND='{}'\n\
                 export CARGO_ZIGBUILD_ZIG_COMMAND_ARGS='-m ziglang'\n\
                 exec '{}' zig {name} -- {options} \"$@\"\n",
                venv.join("python3").display(),
                venv.join("cargo-zigbuild").display(),
            );
            let path = folder.join(name);
            // A newer one would have everything compiled again.
            if fs::read_to_string(&path).is_ok_and(|have| have == script) {
                continue;
            }
            fs::write(&path, script).with_context(said)?;
            fs::set_permissions(&path, Permissions::from_mode(0o755)).with_context(said)?;
        }
        Ok(folder)
    }

    /// A command that finds the tools first.
    pub fn command(&self, name: &str) -> Command {
        // `Command` looks a name up in the PATH that it passes on.
        let mut command = Command::new(name);
        command.env("PATH", &self.path);
        command
    }
}

/// A virtual environment with these packages.
fn venv(folder: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let venv = folder.join(name);
    let done = venv.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(venv);
    }
    run(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
        "making a virtual environment (on Debian: apt-get install python3-venv)",
    )?;
    let mut pip = Command::new(venv.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages), "pip")?;
    fs::write(&done, wanted).with_context(|| format!("writing {}", done.display()))?;
    Ok(venv)
}

/// Runs a command to its end; what it prints goes on.
///
/// # Errors
/// It can't be started, or fails.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("{what}: can't start {command:?}"))?;
    ensure!(status.success(), "{what}: {command:?} ended with {status}");
    Ok(())
}

/// What a command prints.
///
/// # Errors
/// It can't be started, or fails.
pub fn output(command: &mut Command, what: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("{what}: can't start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {command:?} ended with {}\n{said}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{what}: not UTF-8"))
}
