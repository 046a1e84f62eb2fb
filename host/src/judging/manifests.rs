//! What vendors sign of their devices, from folders: reference integrity manifests, and OCSP
//! responses.
//!
//! Guarantees: all manifests of a folder verify, and all responses are responses, or none
//! count; a bounded number of files of bounded length is read.
//! Deliberately lacks: fetching them from their vendor.

use super::folder::{bytes_of, files_in};
use attest_device_report::{
    Fault, NVIDIA_RIM_ROOT, OCSP_BYTES_MAX, Ocsp, RIM_BYTES_MAX, Response, Rim, Rims, Trust,
};
use std::io;
use std::path::{Path, PathBuf};

/// Most manifests of a folder.
pub const MANIFESTS_MAX: usize = 256;

/// Most OCSP responses of a folder: one for each of many dies.
pub const RESPONSES_MAX: usize = 4096;

/// Why the files of a folder cannot be used. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read {}: {cause}\nGive a folder with files *.{extension}.", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Of the files that are wanted.
        extension: &'static str,
        /// The system's words.
        cause: io::Error,
    },
    /// There is none in it.
    #[error("{} has no file *.{extension}\nFetch those of the devices from their vendor.", path.display())]
    None {
        /// The folder.
        path: PathBuf,
        /// Of the files that are wanted.
        extension: &'static str,
    },
    /// There are more than are read.
    #[error("{} has more than {most} files *.{extension}\nKeep those of your devices.", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// Of the files that are wanted.
        extension: &'static str,
        /// How many are read.
        most: usize,
    },
    /// One does not hold.
    #[error("{}: {fault}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
}

/// Files that are wanted of a folder.
struct Wanted {
    extension: &'static str,
    /// How many at most.
    most: usize,
    /// How long at most.
    bytes_max: usize,
}

/// What `read` makes of each wanted file, in the order of their names.
fn each_in<T>(
    folder: &Path,
    wanted: &Wanted,
    read: impl Fn(&[u8]) -> Result<T, Fault>,
) -> Result<Vec<T>, FolderError> {
    let Wanted { extension, most, bytes_max } = *wanted;
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| FolderError::Unreadable { path, extension, cause }
    };
    let paths = files_in(folder, &[extension], most).map_err(unreadable(folder))?;
    let too_many = || FolderError::TooMany { path: folder.to_owned(), extension, most };
    let paths = paths.ok_or_else(too_many)?;
    if paths.is_empty() {
        return Err(FolderError::None { path: folder.to_owned(), extension });
    }
    let one = |path: PathBuf| {
        let bytes = bytes_of(&path, bytes_max).map_err(unreadable(&path))?;
        read(&bytes).map_err(|fault| FolderError::Invalid { path, fault })
    };
    paths.into_iter().map(one).collect()
}

/// The manifests (`*.swidtag`) in a folder, each signed by NVIDIA's signer of manifests with
/// certificates that are valid at `at_unix_s`, s since 1970.
///
/// # Errors
/// [`FolderError`].
pub fn manifests_in(folder: &Path, at_unix_s: i64) -> Result<Rims, FolderError> {
    let trust =
        Trust { roots: &[NVIDIA_RIM_ROOT], at_unix_s: u64::try_from(at_unix_s).unwrap_or(0) };
    let wanted = Wanted { extension: "swidtag", most: MANIFESTS_MAX, bytes_max: RIM_BYTES_MAX };
    Ok(Rims::new(each_in(folder, &wanted, |bytes| Rim::verify(bytes, &trust))?))
}

/// The OCSP responses (`*.ocsp`) in a folder, in DER; whose word they are is checked for each
/// certificate that they are about.
///
/// # Errors
/// [`FolderError`].
pub fn responses_in(folder: &Path) -> Result<Ocsp, FolderError> {
    let wanted = Wanted { extension: "ocsp", most: RESPONSES_MAX, bytes_max: OCSP_BYTES_MAX };
    Ok(Ocsp::new(each_in(folder, &wanted, Response::parse)?))
}
