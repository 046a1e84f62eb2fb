//! The Rust compiler of a build: rustup's, or, for a processor whose library rustup does not
//! have here, Debian's with Debian's library of that processor.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::tools::{output, run};

/// Debian's compiler and its library, packages of one version.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const COMPILER: &str = "rustc-web";
const LIBRARY: &str = "libstd-rust-web-dev";

/// What compiles.
pub enum Rust {
    /// The pinned toolchain.
    Pinned,
    /// Debian's compiler, with a folder that has the library of the other processor.
    Debian {
        /// For `--sysroot`.
        sysroot: PathBuf,
    },
}

impl Rust {
    /// Finds one for `triple`, which is Debian's `architecture`; what is downloaded goes
    /// into `folder`.
    ///
    /// # Errors
    /// There is none: what to install is said.
    pub fn find(root: &Path, folder: &Path, triple: &str, architecture: &str) -> Result<Self> {
        let mut rustc = Command::new("rustc");
        let args = ["--print", "target-libdir", "--target", triple];
        let library = output(rustc.current_dir(root).args(args), "asking rustc")?;
        if Path::new(library.trim()).exists() {
            return Ok(Self::Pinned);
        }
        if !Path::new(DEBIAN_RUSTC).exists() {
            bail!(
                "no Rust library for {triple}\n  try: rustup target add {triple}\n  \
                 or, on Debian 12: apt-get install {COMPILER}"
            );
        }
        let sysroot = folder.join("sysroot").join(triple);
        if !sysroot.join("made").exists() {
            unpack(folder, &sysroot, triple, architecture)
                .context("putting Debian's Rust library of another processor together")?;
        }
        Ok(Self::Debian { sysroot })
    }
}

/// Downloads the library's package, of the compiler's version, and unpacks it.
fn unpack(folder: &Path, sysroot: &Path, triple: &str, architecture: &str) -> Result<()> {
    let show = ["-W", "-f", "${Version}", COMPILER];
    let version = output(Command::new("dpkg-query").args(show), "asking dpkg")?;
    let apt = folder.join("apt").join(architecture);
    super::anew(&apt)?;
    super::anew(sysroot)?;
    fs::create_dir_all(apt.join("lists/partial"))?;
    let release = fs::read_to_string("/etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.context("/etc/os-release names no suite")?;
    let sources = apt.join("sources.list");
    let mirror = "http://deb.debian.org";
    fs::write(
        &sources,
        format!(
            "deb {mirror}/debian {suite} main\ndeb {mirror}/debian-security {suite}-security main\n"
        ),
    )?;
    // A state of apt's own: the machine's is left as it is.
    let options = [
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures::={architecture}"),
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        "Dir::State::status=/dev/null".to_owned(),
        format!("Dir::Cache={}", apt.display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(&apt).arg("-qq");
        command.args(options.iter().map(|option| format!("-o{option}"))).args(words);
        run(&mut command, "apt-get")
    };
    get(&["update"])?;
    get(&["download", &format!("{LIBRARY}={version}")])?;
    let packages =
        fs::read_dir(&apt)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let package = packages.iter().find(|path| path.extension().is_some_and(|it| it == "deb"));
    let package = package.context("apt-get left no package")?;
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(apt.join("package")), "dpkg-deb")?;
    let rustlib = sysroot.join("lib/rustlib");
    fs::create_dir_all(&rustlib)?;
    let library = apt.join("package/usr/lib/rustlib").join(triple);
    ensure!(library.exists(), "{} has no library for {triple}", package.display());
    symlink(library, rustlib.join(triple))?;
    fs::write(sysroot.join("made"), version)?;
    Ok(())
}
