//! Reference integrity manifests from a folder.
//!
//! Guarantees: all of them verify, or none count; at most [`MANIFESTS_MAX`] files of bounded
//! length are read.
//! Deliberately lacks: fetching them from their vendor.

use attest_device_report::{Fault, NVIDIA_RIM_ROOT, RIM_BYTES_MAX, Rim, Rims, Trust};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Most manifests of a folder.
pub const MANIFESTS_MAX: usize = 256;

/// Why a folder's manifests cannot be used. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read {}: {cause}\nGive a folder with manifests (*.swidtag).", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// There is none in it.
    #[error("{} has no manifest (*.swidtag)\nFetch those of the devices' driver and VBIOS.", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// There are more than are read.
    #[error("{} has more than {MANIFESTS_MAX} manifests\nKeep those of your devices.", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// One does not verify.
    #[error("{}: {fault}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
}

/// The manifests (`*.swidtag`) in a folder, each signed by NVIDIA's signer of manifests with
/// certificates that are valid at `at_unix_s`, s since 1970.
///
/// # Errors
/// [`ManifestError`].
pub fn manifests_in(folder: &Path, at_unix_s: i64) -> Result<Rims, ManifestError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| ManifestError::Unreadable { path, cause }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "swidtag") {
            paths.push(path);
        }
        if paths.len() > MANIFESTS_MAX {
            return Err(ManifestError::TooMany { path: folder.to_owned() });
        }
    }
    if paths.is_empty() {
        return Err(ManifestError::None { path: folder.to_owned() });
    }
    paths.sort_unstable();
    let at_unix_s = u64::try_from(at_unix_s).unwrap_or(0);
    let trust = Trust { roots: &[NVIDIA_RIM_ROOT], at_unix_s };
    let one = |path: PathBuf| {
        let mut text = Vec::new();
        let file = File::open(&path).map_err(unreadable(&path))?;
        let most = RIM_BYTES_MAX as u64 + 1;
        file.take(most).read_to_end(&mut text).map_err(unreadable(&path))?;
        Rim::verify(&text, &trust).map_err(|fault| ManifestError::Invalid { path, fault })
    };
    Ok(Rims::new(paths.into_iter().map(one).collect::<Result<_, _>>()?))
}
