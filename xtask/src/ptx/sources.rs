//! The digest of everything that the PTX is made from.
//!
//! Covers the kernel crate's sources and manifests, the table of targets and
//! kernels, and the version of the post-processing: not the compiler, which
//! the PTX manifest names by itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{table, text};
use crate::workspace::files_below;

/// Digest, as hex, of the kernel crate in `gpu_kernels` and of the table, with
/// `recipe` (how this backend calls its compiler).
///
/// # Errors
/// If a file can't be read.
pub fn digest(gpu_kernels: &Path, recipe: &str) -> Result<String> {
    let mut files = files_below(&gpu_kernels.join("src"))?;
    files.extend(["Cargo.toml", "rust-toolchain.toml"].map(|name| gpu_kernels.join(name)));
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        // Lengths first: no two lists of files run together to the same bytes.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    };
    for file in files {
        let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(gpu_kernels)?.to_string_lossy().replace('\\', "/");
        add(&name, &content);
    }
    add("recipe", recipe.as_bytes());
    add("table", table::as_text().as_bytes());
    add("post-processing", &text::VERSION.to_le_bytes());
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/device")).unwrap();
        for (name, content) in
            [("Cargo.toml", "c"), ("rust-toolchain.toml", "t")].iter().chain(files)
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn digest_of(files: &[(&str, &str)], recipe: &str) -> String {
        digest(crate_with(files).path(), recipe).unwrap()
    }

    #[test]
    fn it_does_not_depend_on_where_the_crate_lies() {
        let files = [("src/lib.rs", "x"), ("src/device/asm.rs", "y")];
        assert_eq!(digest_of(&files, "r"), digest_of(&files, "r"));
    }

    #[test]
    fn every_change_changes_it() {
        let files = [("src/lib.rs", "x"), ("src/device/asm.rs", "y")];
        let base = digest_of(&files, "r");
        assert_ne!(base, digest_of(&files, "s"), "the recipe");
        assert_ne!(base, digest_of(&[("src/lib.rs", "z"), files[1]], "r"), "a file's content");
        assert_ne!(
            base,
            digest_of(&[("src/lib.rs", "x"), ("src/device/b.rs", "y")], "r"),
            "its name"
        );
        assert_ne!(base, digest_of(&files[..1], "r"), "a file less");
        assert_ne!(base, digest_of(&[files[0], files[1], ("Cargo.toml", "d")], "r"), "Cargo.toml");
    }
}
