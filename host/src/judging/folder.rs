//! Files of makers, from folders.
//!
//! Guarantees: a bounded number of files is listed, and of each a bounded length is read.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The files of a folder with one of these endings, in the order of their names; `None` if
/// they are more than `most`.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn files_in(
    folder: &Path,
    endings: &[&str],
    most: usize,
) -> io::Result<Option<Vec<PathBuf>>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| endings.contains(&ending)) {
            paths.push(path);
        }
        if paths.len() > most {
            return Ok(None);
        }
    }
    paths.sort_unstable();
    Ok(Some(paths))
}

/// What is in a file: `bytes_max` bytes and one more at most, so that a longer file is found
/// out.
///
/// # Errors
/// It cannot be read.
pub(super) fn bytes_of(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
