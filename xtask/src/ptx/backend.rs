//! The compilers that the kernels can be compiled with, behind one face.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use gpu_kernels::target::Target;

use super::rust_cuda::{self, RustCuda};
use super::rustc::{self, DeviceCompiler};
use super::targets::is_of_llvm_7;
use super::text::Module;
use crate::parts::Part;

/// Which compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Plain rustc and the LLVM in it: what the committed PTX is made with.
    Rustc,
    /// Rust-CUDA's rustc_codegen_nvvm and CUDA's libNVVM.
    RustCuda,
}

/// Both, the default first.
pub const BACKENDS: [Backend; 2] = [Backend::Rustc, Backend::RustCuda];

/// A compiler that was found.
pub enum Compiler {
    /// For [`Backend::Rustc`].
    Rustc(DeviceCompiler),
    /// For [`Backend::RustCuda`].
    RustCuda(RustCuda),
}

impl Backend {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Rustc => "rustc",
            Backend::RustCuda => "rust-cuda",
        }
    }

    /// The targets that it compiles for, the most portable first.
    pub fn targets(self) -> Vec<Target> {
        let compiles = |&target: &Target| match self {
            Backend::Rustc => true,
            Backend::RustCuda => is_of_llvm_7(target),
        };
        Target::ALL.into_iter().filter(compiles).collect()
    }

    /// Where its PTX goes, in the workspace.
    pub fn folder(self) -> &'static str {
        match self {
            Backend::Rustc => "gpu-kernels/ptx",
            Backend::RustCuda => "gpu-kernels/ptx-rust-cuda",
        }
    }

    /// What the digest of the sources covers besides the kernels: how the
    /// compiler is called, and files of the workspace that belong to that.
    pub fn recipe(self) -> (String, &'static [&'static str]) {
        match self {
            Backend::Rustc => (rustc::recipe(), &[]),
            Backend::RustCuda => (rust_cuda::recipe(), &rust_cuda::FILES),
        }
    }

    /// What it needs on this machine.
    ///
    /// # Errors
    /// If the workspace's own pins can't be read.
    pub fn parts(self, root: &Path) -> Result<Vec<Part>> {
        match self {
            Backend::Rustc => rustc::parts(root),
            Backend::RustCuda => rust_cuda::parts(root),
        }
    }

    /// Finds it.
    ///
    /// # Errors
    /// If something is missing: what, and how to get it.
    pub fn locate(self, root: &Path) -> Result<Compiler> {
        Ok(match self {
            Backend::Rustc => Compiler::Rustc(rustc::locate(root)?),
            Backend::RustCuda => Compiler::RustCuda(rust_cuda::locate(root)?),
        })
    }

    /// Which `.version` and `.target` its PTX must have.
    pub fn expected(self, target: Target) -> Expected {
        let isa = format!("{}.{}", target.isa() / 10, target.isa() % 10);
        match self {
            Backend::Rustc => Expected { version: Some(isa), cpu: target.cpu() },
            // libNVVM writes the version of its CUDA, and CUDA 13 dropped sm_70.
            Backend::RustCuda if target == Target::Portable => {
                Expected { version: None, cpu: "sm_75" }
            }
            Backend::RustCuda => Expected { version: None, cpu: target.cpu() },
        }
    }
}

/// What a PTX file must say about itself.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `.version`; any if none.
    pub version: Option<String>,
    /// `.target`.
    pub cpu: &'static str,
}

impl Expected {
    /// How `module` differs, if it does.
    pub fn faults(&self, module: &Module) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, expected) in [(".version", self.version.as_deref()), (".target", Some(self.cpu))]
        {
            let found = module.directive(name).unwrap_or("nothing");
            if expected.is_some_and(|expected| expected != found) {
                let expected = expected.unwrap_or_default();
                faults.push(format!("it says {name} {found}, expected {expected}"));
            }
        }
        faults
    }
}

impl Compiler {
    /// What identifies it: the same string means the same compiler.
    pub fn version(&self) -> &str {
        match self {
            Compiler::Rustc(compiler) => &compiler.version,
            Compiler::RustCuda(compiler) => &compiler.version,
        }
    }

    /// Builds what of itself is still to be built; afterwards its version is
    /// known in full. `scratch` keeps what it needs between calls.
    ///
    /// # Errors
    /// If that fails.
    pub fn prepare(&mut self, root: &Path, scratch: &Path) -> Result<()> {
        match self {
            Compiler::Rustc(_) => Ok(()),
            Compiler::RustCuda(compiler) => compiler.prepare(root, scratch),
        }
    }

    /// Compiles the kernels for one target; the PTX as the compiler wrote it.
    ///
    /// # Errors
    /// With the compiler's messages, if it fails.
    pub fn compile(&self, root: &Path, target: Target, scratch: &Path) -> Result<String> {
        match self {
            Compiler::Rustc(compiler) => compiler.compile(root, target, scratch),
            Compiler::RustCuda(compiler) => compiler.compile(root, target, scratch),
        }
    }
}

/// The folder for what a backend keeps between builds: in cargo's target folder,
/// wherever that is.
pub fn scratch(root: &Path, backend: Backend) -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    scratch_in(named.map(PathBuf::from), root, backend)
}

/// `named` is what CARGO_TARGET_DIR says.
fn scratch_in(named: Option<PathBuf>, root: &Path, backend: Backend) -> PathBuf {
    let target = match named {
        // As cargo takes it: from the folder in which it was called.
        Some(folder) => env::current_dir().unwrap_or_else(|_| root.to_owned()).join(folder),
        None => root.join("target"),
    };
    target.join("ptx").join(backend.name())
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    fn faults(backend: Backend, target: Target, version: &str, cpu: &str) -> Vec<String> {
        let ptx = format!(".version {version}\n.target {cpu}\n.address_size 64\n");
        backend.expected(target).faults(&parse(&ptx).unwrap())
    }

    #[test]
    fn plain_rustc_writes_exactly_the_isa_of_the_table() {
        assert_eq!(faults(Backend::Rustc, Target::Portable, "7.0", "sm_70"), [""; 0]);
        assert_eq!(faults(Backend::Rustc, Target::Sm90a, "8.0", "sm_90a"), [""; 0]);
        let found = faults(Backend::Rustc, Target::Sm90a, "7.0", "sm_70");
        let expected =
            ["it says .version 7.0, expected 8.0", "it says .target sm_70, expected sm_90a"];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_kept_lies_in_cargos_target_folder() {
        let root = Path::new("/attest");
        let in_folder =
            |named: Option<&str>| scratch_in(named.map(PathBuf::from), root, Backend::RustCuda);
        assert_eq!(in_folder(None), Path::new("/attest/target/ptx/rust-cuda"));
        assert_eq!(in_folder(Some("/elsewhere")), Path::new("/elsewhere/ptx/rust-cuda"));
        let here = env::current_dir().unwrap();
        assert_eq!(in_folder(Some("near")), here.join("near/ptx/rust-cuda"));
    }

    #[test]
    fn llvm_7_has_no_part_in_blackwell() {
        let has = |backend: Backend, target| backend.targets().contains(&target);
        assert!(has(Backend::Rustc, Target::Sm100f) && has(Backend::Rustc, Target::Sm120));
        assert!(!has(Backend::RustCuda, Target::Sm100f) && !has(Backend::RustCuda, Target::Sm120));
    }

    #[test]
    fn libnvvm_chooses_the_version() {
        assert_eq!(faults(Backend::RustCuda, Target::Portable, "9.0", "sm_75"), [""; 0]);
        assert_eq!(faults(Backend::RustCuda, Target::Sm80, "9.0", "sm_80"), [""; 0]);
        assert_eq!(faults(Backend::RustCuda, Target::Sm90a, "8.8", "sm_90").len(), 1);
    }
}
