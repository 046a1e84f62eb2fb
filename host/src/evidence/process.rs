//! What this process is made of: libraries put into it, and where the driver's
//! libraries were mapped from.
//!
//! Guarantees: every file is read up to a bound; only the loader's variables
//! and CUDA's are taken from the environment.
//! Deliberately lacks: proof. A library that is already in here can answer for
//! these files, too.

use super::mounts;
use crate::protocol::evidence::machine::{FileState, MappedLibrary, ProcessView};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest text of /proc/self that is read, bytes.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// Longest library whose digest is taken, bytes.
const LIBRARY_BYTES_MAX: u64 = 1 << 30;
/// Longest value of a variable that is kept, characters.
const VALUE_CHARS_MAX: usize = 1024;
/// Most mounts, libraries and preloaded files that are told of, each.
const ENTRIES_MAX: usize = 16;
/// The files of the CUDA driver and of NVML, up to their version.
pub(super) const CUDA_LIBRARY: &str = "libcuda.so";
/// See [`CUDA_LIBRARY`].
pub(super) const NVML_LIBRARY: &str = "libnvidia-ml.so";

/// Looks at this process, while the libraries in question are mapped.
pub(super) fn view() -> ProcessView {
    let environment = bytes_of("/proc/self/environ");
    let variable = |name| variable(&environment, name);
    let maps = text_of("/proc/self/maps");
    let digested = |(path, file): (String, FileState)| {
        let sha256 = digest_of(Path::new(&path)).ok();
        MappedLibrary { path, file, sha256 }
    };
    let libraries: Vec<_> = driver_libraries(&maps).into_iter().map(digested).collect();
    let paths: Vec<&str> = libraries.iter().map(|library| &*library.path).collect();
    let all_mounts = mounts::parse(&text_of("/proc/self/mountinfo"));
    let telling = all_mounts.iter().filter(|mount| mounts::is_telling(mount, &paths));
    ProcessView {
        ld_preload: variable("LD_PRELOAD"),
        ld_audit: variable("LD_AUDIT"),
        ld_library_path: variable("LD_LIBRARY_PATH"),
        // Empty, it hides all devices.
        cuda_visible_devices: set_variable(&environment, "CUDA_VISIBLE_DEVICES"),
        preload_file: preload_entries(&text_of("/etc/ld.so.preload")),
        mounts: telling.take(ENTRIES_MAX).cloned().collect(),
        libraries,
        maps_read: !maps.is_empty(),
        all_mounts,
    }
}

/// Whether it is known that no file of this library's name is mapped.
pub(super) fn lacks(process: &ProcessView, library: &str) -> bool {
    process.maps_read && !process.libraries.iter().any(|it| is_version_of(&it.path, library))
}

/// CUDA_VISIBLE_DEVICES, if it is set: as this process was started with it, or, if
/// /proc is not there, as it has it now.
pub(super) fn cuda_visible_devices() -> Option<String> {
    const NAME: &str = "CUDA_VISIBLE_DEVICES";
    let environment = bytes_of("/proc/self/environ");
    if environment.is_empty() {
        return std::env::var_os(NAME).map(|value| value.to_string_lossy().into_owned());
    }
    set_variable(&environment, NAME)
}

/// A file that may not be there, up to a bound.
fn bytes_of(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is still worth looking at.
        let _ = file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

fn text_of(path: &str) -> String {
    String::from_utf8_lossy(&bytes_of(path)).into_owned()
}

/// A variable that is set and not empty, in an environment as /proc has it: a
/// preloaded library that unsets its own variable doesn't change this copy.
fn variable(environment: &[u8], name: &str) -> Option<String> {
    set_variable(environment, name).filter(|value| !value.is_empty())
}

/// A variable that is set, if only to nothing.
fn set_variable(environment: &[u8], name: &str) -> Option<String> {
    let value = environment
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).chars().take(VALUE_CHARS_MAX).collect())
}

/// The names in /etc/ld.so.preload: separated by blanks or colons, # starts a
/// comment.
fn preload_entries(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .flat_map(|line| line.split([' ', '\t', ':']))
        .filter(|entry| !entry.is_empty())
        .take(ENTRIES_MAX)
        .map(|entry| entry.chars().take(VALUE_CHARS_MAX).collect())
        .collect()
}

/// The driver libraries in a text in the form of /proc/self/maps, once each.
fn driver_libraries(maps: &str) -> Vec<(String, FileState)> {
    let mut found: Vec<(String, FileState)> = Vec::new();
    for line in maps.lines() {
        // "7f00-7f01 r-xp 00000000 fd:01 1234    /usr/lib/libcuda.so.580.82.07"
        let Some(at) = line.find('/') else { continue };
        let (path, file) = match line[at..].strip_suffix(" (deleted)") {
            Some(path) => (path, FileState::Deleted),
            None => (&line[at..], FileState::Present),
        };
        let is_driver = [CUDA_LIBRARY, NVML_LIBRARY].iter().any(|name| is_version_of(path, name));
        if is_driver && found.len() < ENTRIES_MAX && !found.iter().any(|(known, _)| known == path) {
            found.push((path.to_owned(), file));
        }
    }
    found
}

/// Whether a path ends in this library's name, with or without a version.
fn is_version_of(path: &str, library: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// SHA-256 of a file that is not too long.
fn digest_of(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = file.take(LIBRARY_BYTES_MAX + 1);
    let mut hasher = Sha256::new();
    let mut read_bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        read_bytes += count as u64;
        if read_bytes > LIBRARY_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hasher.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_the_environment_that_the_process_started_with() {
        let environment = b"A=1\0LD_PRELOAD=/a.so:/b.so\0LD_PRELOAD_X=2\0LD_AUDIT=\0";
        assert_eq!(variable(environment, "LD_PRELOAD").as_deref(), Some("/a.so:/b.so"));
        assert_eq!(variable(environment, "LD_AUDIT"), None, "empty is unset");
        assert_eq!(set_variable(environment, "LD_AUDIT").as_deref(), Some(""));
        assert_eq!(variable(environment, "LD_LIBRARY_PATH"), None);
        let long = [b"LD_AUDIT=".as_slice(), &[b'x'; 2 * VALUE_CHARS_MAX]].concat();
        assert_eq!(variable(&long, "LD_AUDIT").unwrap().len(), VALUE_CHARS_MAX);
    }

    #[test]
    fn the_preload_file_is_read_as_the_loader_reads_it() {
        let text = "# /not.so\n/a.so /b.so:/c.so # why\n\n\t/d.so";
        assert_eq!(preload_entries(text), ["/a.so", "/b.so", "/c.so", "/d.so"]);
        assert!(preload_entries("").is_empty());
    }

    #[test]
    fn driver_libraries_are_found_once_each() {
        let maps = "\
7f00-7f01 r--p 00000000 fd:01 12  /usr/lib/x86_64-linux-gnu/libcuda.so.580.82.07
7f01-7f02 r-xp 00001000 fd:01 12  /usr/lib/x86_64-linux-gnu/libcuda.so.580.82.07
7f02-7f03 r-xp 00000000 fd:01 13  /tmp/a b/libnvidia-ml.so.1 (deleted)
7f03-7f04 r-xp 00000000 fd:01 14  /usr/lib/libcudadebugger.so.1
7f04-7f05 rw-p 00000000 00:00 0   [heap]
7f05-7f06 rw-p 00000000 00:00 0";
        let expected = [
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.580.82.07".to_owned(), FileState::Present),
            ("/tmp/a b/libnvidia-ml.so.1".to_owned(), FileState::Deleted),
        ];
        assert_eq!(driver_libraries(maps), expected);
    }

    #[test]
    fn digests_are_of_whole_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libcuda.so.1");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(&path).unwrap(), abc);
        // A device file never ends.
        assert!(digest_of(Path::new("/dev/zero")).is_err());
        assert!(digest_of(&folder.path().join("none")).is_err());
    }
}
