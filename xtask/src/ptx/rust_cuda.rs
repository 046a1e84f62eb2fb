//! Rust-CUDA as a compiler: what it needs, and how it is called.
//!
//! Its pieces come from a revision of its repository and a nightly compiler
//! that xtask/rust-cuda pins; that folder is a workspace of its own, and
//! nothing here is compiled, resolved or fetched for anything but
//! `--backend rust-cuda`. Nothing is downloaded but crates.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use gpu_kernels::target::Target;

use super::backend::{Backend, scratch};
use super::codegen::{self, Codegen};
use super::cuda::{self, Cuda};
use super::rustc::{installed_toolchain, rustup};
use super::targets::{cfg_values, nvvm_arch};
use crate::parts::{Part, State, find_in, folders_in, missing, show};

/// Its workspace.
const FOLDER: &str = "xtask/rust-cuda";

/// What the digest of the sources covers of it.
pub const FILES: [&str; 6] = [
    "xtask/rust-cuda/Cargo.lock",
    "xtask/rust-cuda/Cargo.toml",
    "xtask/rust-cuda/kernels/Cargo.toml",
    "xtask/rust-cuda/kernels/build.rs",
    "xtask/rust-cuda/rust-toolchain.toml",
    "xtask/rust-cuda/src/main.rs",
];

/// Environment: a toolchain's folder (the one with bin/ and lib/) to use
/// instead of rustup's.
const TOOLCHAIN_VARIABLE: &str = "ATTEST_RUST_CUDA_TOOLCHAIN";

/// Containers that have all of it but the toolchain, which rustup in them gets.
pub const CONTAINERS: &str = "ghcr.io/rust-gpu/rust-cuda-ubuntu24-cuda13:main (or …-ubuntu24-cuda12, \
     …-rockylinux9-cuda13, …-rockylinux9-cuda12)";

/// All that it takes, found.
#[derive(Clone, Debug)]
pub struct RustCuda {
    /// Revision, front end, backend, libNVVM. Without the backend's digest until
    /// it is built.
    pub version: String,
    toolchain: PathBuf,
    cuda: PathBuf,
    /// Whether the backend is there, or else is built.
    has_backend: bool,
}

/// What was found; `parts` explains it and `locate` uses it.
struct Found {
    channel: String,
    toolchain: Option<PathBuf>,
    cuda: Option<Cuda>,
    codegen: Codegen,
    llvm_config: Option<PathBuf>,
    libclang: Option<PathBuf>,
    /// clang's own `stddef.h`: without it bindgen reads no system header.
    clang_headers: Option<PathBuf>,
}

/// What the recipe is, for the digest of the sources.
pub fn recipe() -> String {
    "rust-cuda".to_owned()
}

/// What it needs on this machine.
///
/// # Errors
/// If the pinned toolchain can't be read.
pub fn parts(root: &Path) -> Result<Vec<Part>> {
    Ok(look(root)?.parts())
}

impl Found {
    fn parts(&self) -> Vec<Part> {
        let channel = &self.channel;
        let in_toolchain = |relative: &str| {
            let path = self.toolchain.as_ref()?.join(relative);
            path.exists().then(|| show(&path))
        };
        // What only the building of the compiler backend takes.
        let has_backend = self.codegen.taken().is_some();
        let to_build = if has_backend { State::Optional } else { State::Missing };
        let components = format!(
            "rustup toolchain install {channel} --profile minimal --component rust-src --component \
         rustc-dev --component llvm-tools-preview"
        );
        let rustc_dev = self.toolchain.as_deref().and_then(rustc_dev);
        vec![
            Part::new(
                "toolchain",
                self.toolchain.as_deref().map(show),
                State::Missing,
                &components,
            ),
            Part::new(
                "library source",
                in_toolchain("lib/rustlib/src/rust/library/core/src/lib.rs"),
                State::Missing,
                &format!("rustup component add rust-src --toolchain {channel}"),
            ),
            Part::new(
                "rustc-dev",
                rustc_dev,
                to_build,
                &format!("rustup component add rustc-dev llvm-tools-preview --toolchain {channel}"),
            ),
            cuda_part(self.cuda.as_ref()),
            Part::new(
                "libclang",
                self.libclang.as_deref().map(show),
                // The loader may know of places that are not looked at here.
                State::Optional,
                "apt-get install libclang-dev, or set LIBCLANG_PATH to its folder",
            ),
            Part::new(
                "clang's headers",
                self.clang_headers.as_deref().map(show),
                State::Optional,
                "apt-get install libclang-dev: bindgen finds no stddef.h without; or name a folder \
                 that has one with -I in BINDGEN_EXTRA_CLANG_ARGS",
            ),
            Part::new(
                "compiler backend",
                self.codegen.describe(),
                State::Optional,
                &format!(
                    "built from source if LLVM 7 is there; or put {} on LD_LIBRARY_PATH",
                    codegen::LIBRARY
                ),
            ),
            Part::new(
                "LLVM 7",
                self.llvm_config.as_deref().map(show),
                to_build,
                "build llvm-7.1.0 (target NVPTX alone) from llvm.org's source, and set LLVM_CONFIG to its \
             llvm-config",
            ),
            Part::new(
                "container",
                None,
                State::Alternative,
                &format!("with CUDA, LLVM 7 and rustup in it: {CONTAINERS}"),
            ),
        ]
    }
}

/// The folder that is taken, or what it lacks.
fn cuda_part(cuda: Option<&Cuda>) -> Part {
    let name = "CUDA with libNVVM";
    match cuda {
        Some(cuda) if cuda.lacks.is_empty() => {
            let found = format!("{} ({})", show(&cuda.folder), cuda.version());
            Part::new(name, Some(found), State::Missing, "")
        }
        Some(cuda) => {
            let how = format!("{} {}", show(&cuda.folder), cuda::how_to_complete(&cuda.lacks));
            Part::new(name, None, State::Missing, &how)
        }
        None => Part::new(
            name,
            None,
            State::Missing,
            "install the CUDA toolkit, 12.x or 13.x but not newer than the driver's, and set CUDA_PATH \
             to its folder",
        ),
    }
}

/// Finds it.
///
/// # Errors
/// If something is missing, with all that is and how to get it.
pub fn locate(root: &Path) -> Result<RustCuda> {
    let found = look(root)?;
    let missing = missing(&found.parts());
    let (Some(toolchain), Some(cuda), true) = (found.toolchain, found.cuda, missing.is_empty())
    else {
        bail!(
            "Rust-CUDA is not complete on this machine\n  missing {}\n  try: those, or a container \
             that has them: {CONTAINERS}",
            missing.join("\n  missing ")
        );
    };
    let version = version(root, &toolchain, &cuda, found.codegen.taken())?;
    let has_backend = found.codegen.taken().is_some();
    Ok(RustCuda { version, toolchain, cuda: cuda.folder, has_backend })
}

/// What tells two of them apart: everything that the code goes through.
fn version(root: &Path, toolchain: &Path, cuda: &Cuda, backend: Option<&Path>) -> Result<String> {
    let output = Command::new(toolchain.join("bin/rustc")).arg("--version").output();
    let output = output.with_context(|| format!("can't start {}/bin/rustc", show(toolchain)))?;
    let rustc = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(rustc.starts_with("rustc "), "{}/bin/rustc does not say its version", show(toolchain));
    let manifest = fs::read_to_string(root.join(FOLDER).join("Cargo.toml"))?;
    let Some(revision) = pinned_revision(&manifest) else {
        bail!("{FOLDER}/Cargo.toml does not pin Rust-CUDA's revision");
    };
    let backend = backend.map_or("not built yet".to_owned(), codegen::identity);
    // rustc's own LLVM, which `rustc -vV` names, has no part in it.
    Ok(format!("rust-cuda {revision}, front end {rustc}, backend {backend}, {}", cuda.version()))
}

fn look(root: &Path) -> Result<Found> {
    let channel = super::rustc::pinned_release(&root.join(FOLDER))?;
    let toolchain = env::var_os(TOOLCHAIN_VARIABLE).map(PathBuf::from).or_else(|| {
        let list = rustup(&["toolchain", "list"])?;
        let toolchain = installed_toolchain(&list, &channel)?;
        let rustc = PathBuf::from(rustup(&["which", "--toolchain", toolchain, "rustc"])?.trim());
        Some(rustc.parent()?.parent()?.to_path_buf())
    });
    let toolchain = toolchain.filter(|folder| folder.join("bin/cargo").is_file());
    let scratch = scratch(root, Backend::RustCuda);
    let libclang = libclang();
    Ok(Found {
        channel,
        toolchain,
        cuda: cuda::find(),
        codegen: Codegen::find(&scratch, folders_in("LD_LIBRARY_PATH")),
        llvm_config: llvm_config(),
        clang_headers: libclang.as_deref().and_then(clang_headers),
        libclang,
    })
}

/// An llvm-config that says 7.x.
fn llvm_config() -> Option<PathBuf> {
    let named = env::var_os("LLVM_CONFIG").map(PathBuf::from);
    let path = named.or_else(|| find_in(folders_in("PATH"), "llvm-config"))?;
    let output = Command::new(&path).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).starts_with("7.").then_some(path)
}

fn libclang() -> Option<PathBuf> {
    let mut folders = folders_in("LIBCLANG_PATH");
    let usual =
        ["/usr/lib64", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    folders.extend(usual.map(PathBuf::from));
    folders.extend((7..=22).rev().map(|version| format!("/usr/lib/llvm-{version}/lib").into()));
    ["libclang.so", "libclang.so.1"].iter().find_map(|name| find_in(folders.clone(), name))
}

/// `stddef.h` among the headers that a libclang takes for its own: in `clang/VERSION/include`
/// beside it.
fn clang_headers(libclang: &Path) -> Option<PathBuf> {
    let beside = |library: &Path| {
        let versions = fs::read_dir(library.parent()?.join("clang")).ok()?;
        let headers = |entry: fs::DirEntry| entry.path().join("include/stddef.h");
        versions.filter_map(|entry| Some(headers(entry.ok()?))).find(|path| path.is_file())
    };
    // The library is often a link out of its own folder.
    beside(libclang).or_else(|| beside(&fs::canonicalize(libclang).ok()?))
}

/// The compiler's own libraries in a toolchain, if rustc-dev is installed.
fn rustc_dev(toolchain: &Path) -> Option<String> {
    let targets = fs::read_dir(toolchain.join("lib/rustlib")).ok()?;
    targets.filter_map(|entry| fs::read_dir(entry.ok()?.path().join("lib")).ok()).find_map(
        |files| {
            let mut files = files.filter_map(|file| Some(file.ok()?.path()));
            files.find(|file| show(file).contains("librustc_driver")).map(|file| show(&file))
        },
    )
}

/// The first nine digits of `rev = "…"`.
fn pinned_revision(manifest: &str) -> Option<String> {
    let (_, rest) = manifest.split_once("rev = \"")?;
    let revision = rest.split('"').next()?;
    Some(revision.chars().take(9).collect())
}

impl RustCuda {
    /// Builds Rust-CUDA's driver, and the backend if there is none.
    ///
    /// # Errors
    /// If they don't build; their messages are on stderr by then.
    pub fn prepare(&mut self, root: &Path, scratch: &Path) -> Result<()> {
        let codegen = Codegen::find(scratch, folders_in("LD_LIBRARY_PATH"));
        if !scratch.join("release/xtask-rust-cuda").is_file() {
            eprintln!(
                "rust-cuda: the first build takes minutes: its driver{}, then core and the kernels' \
                 dependencies once a target; later ones take about half a minute",
                if self.has_backend { "" } else { " and backend" }
            );
        }
        if codegen.ignored().is_some() {
            eprintln!("warning: {}", codegen.describe().unwrap_or_default());
        }
        let folder = root.join(FOLDER);
        let mut build = self.command(&self.toolchain.join("bin/cargo"), &folder, scratch)?;
        build.args(["build", "--release", "--locked"]);
        if !self.has_backend {
            build.args(["--features", "build-backend"]);
        }
        run(&mut build, "building Rust-CUDA's driver")?;
        let codegen = Codegen::find(scratch, folders_in("LD_LIBRARY_PATH"));
        if let (Some(cuda), Some(taken)) = (cuda::find(), codegen.taken()) {
            self.version = version(root, &self.toolchain, &cuda, Some(taken))?;
        }
        eprintln!("rust-cuda: backend {}", codegen.describe().unwrap_or("not found".to_owned()));
        Ok(())
    }

    /// Compiles the kernels for one target; the PTX as libNVVM wrote it.
    ///
    /// # Errors
    /// If the kernels don't build; the compiler's messages are on stderr by then.
    pub fn compile(&self, root: &Path, target: Target, scratch: &Path) -> Result<String> {
        let folder = root.join(FOLDER);
        let out = scratch.join(format!("{}.raw.ptx", target.name()));
        let mut compile =
            self.command(&scratch.join("release/xtask-rust-cuda"), &folder, scratch)?;
        compile.env("ATTEST_HAS", cfg_values(target).collect::<Vec<_>>().join(","));
        compile.arg(nvvm_arch(target)).arg(folder.join("kernels")).arg(&out);
        run(&mut compile, &format!("compiling for {}", target.name()))?;
        fs::read_to_string(&out).with_context(|| format!("reading {}", out.display()))
    }

    /// A command that sees the pinned toolchain and libNVVM, and nothing of
    /// the cargo that started us. rustup's proxies (bindgen calls rustfmt, in
    /// the folder of Rust-CUDA's own rust-toolchain.toml) get that toolchain
    /// too, and may install none.
    fn command(&self, program: &Path, folder: &Path, scratch: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(folder);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let inherited = ["CARGO_HOME", "CARGO_HTTP", "CARGO_NET", "RUST_LOG", "RUSTUP_HOME"];
            let ours = text.starts_with("CARGO") || text.starts_with("RUST") || text == "OUT_DIR";
            if ours && !inherited.iter().any(|kept| text.starts_with(kept)) {
                command.env_remove(&name);
            }
        }
        let first = |folders: [PathBuf; 2], variable| {
            env::join_paths(folders.into_iter().chain(folders_in(variable)))
        };
        let bin = self.toolchain.join("bin");
        let nvvm = [self.cuda.join("nvvm/lib64"), self.toolchain.join("lib")];
        command
            .env("PATH", first([bin.clone(), bin], "PATH")?)
            .env("LD_LIBRARY_PATH", first(nvvm, "LD_LIBRARY_PATH")?)
            .env("CUDA_PATH", &self.cuda)
            .env("RUSTUP_AUTO_INSTALL", "0")
            .env("RUSTUP_TOOLCHAIN", &self.toolchain)
            .env("CARGO_TARGET_DIR", scratch);
        Ok(command)
    }
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let command = command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("can't start {name}"))?;
    // cuda_builder writes to cargo, as if it ran in a build script; here it
    // doesn't.
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !is_for_cargo(line)) {
        eprintln!("{line}");
    }
    let status = output.status;
    ensure!(status.success(), "{what} with Rust-CUDA failed ({status}); its messages are above");
    Ok(())
}

/// `cargo:rerun-if-changed=…` and the like.
fn is_for_cargo(line: &str) -> bool {
    line.starts_with("cargo:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_cargo_is_not_shown() {
        assert!(is_for_cargo("cargo:rerun-if-changed=/x") && is_for_cargo("cargo::warning=x"));
        assert!(!is_for_cargo("error: cargo: no"));
    }

    #[test]
    fn the_digest_covers_files_that_exist_and_the_pin_is_one() {
        let root = crate::workspace::root();
        for file in FILES {
            assert!(root.join(file).is_file(), "{file}");
        }
        let manifest = fs::read_to_string(root.join(FOLDER).join("Cargo.toml")).unwrap();
        assert_eq!(pinned_revision(&manifest).as_deref(), Some("946c91f08"));
        assert_eq!(
            manifest.matches("rev = \"946c91f08").count(),
            manifest.matches("rev =").count()
        );
    }

    #[test]
    fn clangs_headers_are_looked_for_beside_the_library_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let (lib, link) = (folder.path().join("llvm/lib"), folder.path().join("libclang.so"));
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libclang.so.1"), "").unwrap();
        std::os::unix::fs::symlink(lib.join("libclang.so.1"), &link).unwrap();
        assert_eq!(clang_headers(&link), None);
        let headers = lib.join("clang/14/include");
        fs::create_dir_all(&headers).unwrap();
        assert_eq!(clang_headers(&link), None, "a folder without them");
        fs::write(headers.join("stddef.h"), "").unwrap();
        let found = clang_headers(&link).unwrap();
        assert_eq!(found, fs::canonicalize(headers).unwrap().join("stddef.h"));
    }

    #[test]
    fn nothing_that_a_build_calls_may_install_a_toolchain() {
        let found = RustCuda {
            version: String::new(),
            toolchain: "/toolchain".into(),
            cuda: "/cuda".into(),
            has_backend: false,
        };
        let here = Path::new("/");
        let command = found.command(Path::new("cargo"), here, here).unwrap();
        let set = |name: &str, value: &str| {
            command.get_envs().any(|(n, v)| n == name && v.is_some_and(|v| v == value))
        };
        assert!(set("RUSTUP_AUTO_INSTALL", "0") && set("RUSTUP_TOOLCHAIN", "/toolchain"));
    }

    #[test]
    fn our_own_lock_file_has_nothing_of_it() {
        let lock = fs::read_to_string(crate::workspace::root().join("Cargo.lock")).unwrap();
        assert!(!lock.contains("\"cuda_std\"") && !lock.contains("\"cuda_builder\""));
    }
}
