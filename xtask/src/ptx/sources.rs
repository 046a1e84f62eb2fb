//! The digest of everything that the PTX is made from.
//!
//! Covers the kernel crate's sources (the tables of kernels and targets are among
//! them) and manifests, and the version of the post-processing: not the compiler,
//! which the PTX manifest names by itself.

use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::text;
use crate::workspace::{files_below, hash_files, hash_part};

/// Digest, as hex, of the kernel crate in `root`, and of a backend's recipe and
/// files (named from `root`).
///
/// # Errors
/// If a file can't be read.
pub fn digest(root: &Path, (recipe, more): (String, &[&str])) -> Result<String> {
    let mut files = files_below(&root.join("gpu-kernels/src"))?;
    files.extend(KERNEL_FILES.iter().chain(more).map(|name| root.join(name)));
    let mut hash = Sha256::new();
    hash_files(root, &files, &mut hash)?;
    hash_part("recipe", recipe.as_bytes(), &mut hash);
    hash_part("post-processing", &text::VERSION.to_le_bytes(), &mut hash);
    Ok(hex::encode(hash.finalize()))
}

/// What belongs to the kernels besides src.
const KERNEL_FILES: [&str; 2] = ["gpu-kernels/Cargo.toml", "gpu-kernels/rust-toolchain.toml"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A workspace with those files besides the manifests.
    fn digest_of(files: &[(&str, &str)], recipe: &str, more: &[&str]) -> String {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("gpu-kernels/src/device")).unwrap();
        let manifests = KERNEL_FILES.map(|name| (name, "m"));
        for (name, content) in manifests.iter().chain(files) {
            fs::write(root.path().join(name), content).unwrap();
        }
        digest(root.path(), (recipe.to_owned(), more)).unwrap()
    }

    const LIB: (&str, &str) = ("gpu-kernels/src/lib.rs", "x");
    const ASM: (&str, &str) = ("gpu-kernels/src/device/asm.rs", "y");

    #[test]
    fn it_does_not_depend_on_where_the_workspace_lies() {
        assert_eq!(digest_of(&[LIB, ASM], "r", &[]), digest_of(&[LIB, ASM], "r", &[]));
    }

    #[test]
    fn every_change_changes_it() {
        let base = digest_of(&[LIB, ASM], "r", &[]);
        let changes = [
            ("the recipe", digest_of(&[LIB, ASM], "s", &[])),
            ("a file's content", digest_of(&[(LIB.0, "z"), ASM], "r", &[])),
            ("a file's name", digest_of(&[LIB, ("gpu-kernels/src/device/b.rs", "y")], "r", &[])),
            ("a file less", digest_of(&[LIB], "r", &[])),
            ("Cargo.toml", digest_of(&[LIB, ASM, ("gpu-kernels/Cargo.toml", "d")], "r", &[])),
            ("a backend's file", digest_of(&[LIB, ASM, ("lock", "l")], "r", &["lock"])),
        ];
        for (what, digest) in changes {
            assert_ne!(base, digest, "{what}");
        }
    }
}
