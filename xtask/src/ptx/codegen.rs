//! Rust-CUDA's compiler backend, the library that rustc loads: which of several
//! is taken, and what tells it from another.

use std::fs;
use std::path::{Path, PathBuf};

use super::cuda::after;
use crate::parts::{find_in, show};
use crate::workspace::sha256_hex;

/// Its file.
pub const LIBRARY: &str = "librustc_codegen_nvvm.so";

/// The libraries that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codegen {
    /// Built earlier, where cuda_builder looks first.
    pub built: Option<PathBuf>,
    /// On LD_LIBRARY_PATH, where it looks next.
    pub named: Option<PathBuf>,
}

impl Codegen {
    /// What is there: `scratch` is cargo's target folder of the driver.
    pub fn find(scratch: &Path, library_path: Vec<PathBuf>) -> Codegen {
        let built = find_in([scratch.join("release")], LIBRARY);
        Codegen { built, named: find_in(library_path, LIBRARY) }
    }

    /// The one that is taken.
    pub fn taken(&self) -> Option<&Path> {
        self.built.as_deref().or(self.named.as_deref())
    }

    /// The one on LD_LIBRARY_PATH, if another one is taken instead.
    pub fn ignored(&self) -> Option<&Path> {
        let (built, named) = (self.built.as_deref()?, self.named.as_deref()?);
        (identity(built) != identity(named)).then_some(named)
    }

    /// Which one is taken and why, with digests; if another is ignored for it, that
    /// too, and what to do about it.
    pub fn describe(&self) -> Option<String> {
        let taken = self.taken()?;
        let why = match (&self.built, self.ignored()) {
            (None, _) => "on LD_LIBRARY_PATH".to_owned(),
            (Some(_), None) => "built earlier".to_owned(),
            (Some(_), Some(named)) => format!(
                "built earlier, which counts first; LD_LIBRARY_PATH's {} ({}) is NOT used: remove \
                 the former to use it",
                show(named),
                identity(named)
            ),
        };
        Some(format!("{} ({}), {why}", show(taken), identity(taken)))
    }
}

/// `LLVM 7.1.0, sha256 0123456789abcdef`.
pub fn identity(library: &Path) -> String {
    let bytes = fs::read(library).unwrap_or_default();
    let llvm = match after(&bytes, b"LLVM7.") {
        Some(rest) => {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'));
            format!("7.{}", &rest[..end.unwrap_or(rest.len())])
        }
        None => "of unknown version".to_owned(),
    };
    format!("LLVM {llvm}, sha256 {}", &sha256_hex(&bytes)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_built_earlier_counts_first_and_the_other_is_said_to_be_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, elsewhere) = (folder.path().join("s"), folder.path().join("e"));
        fs::create_dir_all(scratch.join("release")).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        let find = || Codegen::find(&scratch, vec![elsewhere.clone()]);
        assert_eq!((find().taken(), find().describe()), (None, None));

        let named = elsewhere.join(LIBRARY);
        fs::write(&named, "new\0LLVM7.1.0\0").unwrap();
        assert_eq!(find().taken(), Some(named.as_path()));
        let text = find().describe().unwrap();
        assert!(text.contains("LLVM 7.1.0, sha256 ") && text.ends_with("on LD_LIBRARY_PATH"));
        assert_eq!(find().ignored(), None);

        let built = scratch.join("release").join(LIBRARY);
        fs::write(&built, "old").unwrap();
        assert_eq!(find().taken(), Some(built.as_path()));
        assert_eq!(find().ignored(), Some(named.as_path()));
        let text = find().describe().unwrap();
        for part in [show(&built), show(&named), identity(&built), identity(&named)] {
            assert!(text.contains(&part), "{part} in {text}");
        }
        assert!(text.contains("NOT used"), "{text}");

        fs::write(&built, "new\0LLVM7.1.0\0").unwrap();
        assert_eq!(find().ignored(), None, "the same file twice");
        assert!(find().describe().unwrap().ends_with("built earlier"));
    }
}
