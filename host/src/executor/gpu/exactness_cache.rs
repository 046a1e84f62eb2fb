//! Which devices have passed the exactness check: a small file in the user's
//! cache folder, so that the check runs once per device, driver and PTX.
//!
//! Only passes are remembered. A file that cannot be read counts as empty, one
//! that cannot be written is only warned of: the worst that happens is that the
//! check runs again.

use crate::protocol::digest::{Digest, Uuid};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What a pass holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedPair {
    /// The device.
    pub uuid: Uuid,
    /// The driver, as its kernel module names itself.
    pub driver: String,
    /// The driver's library, whose compiler makes the kernels of the PTX. In a
    /// container it may be another driver's.
    pub library: String,
    /// SHA-256 of the PTX text.
    pub ptx_digest: Digest,
    /// The product kernel.
    pub kernel: String,
}

impl CheckedPair {
    /// One line: the driver's names must not break it.
    fn line(&self) -> String {
        let word = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
        };
        let (driver, library) = (word(&self.driver), word(&self.library));
        format!("{} {driver} {library} {} {}", self.uuid, self.ptx_digest, self.kernel)
    }
}

/// The file of passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactnessCache {
    file: Option<PathBuf>,
}

/// The file's name.
const FILE: &str = "exactness-checks.txt";
/// Lines kept, the newest.
const LINES_MAX: usize = 256;
/// A longer file is not one of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl ExactnessCache {
    /// In the user's cache folder: $XDG_CACHE_HOME/attest, else
    /// $HOME/.cache/attest; nowhere if neither is set.
    pub fn of_user() -> Self {
        let absolute = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let cache =
            absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Self { file: cache.map(|cache| cache.join("attest").join(FILE)) }
    }

    /// In `folder`, which is made when first needed.
    pub fn in_folder(folder: &Path) -> Self {
        Self { file: Some(folder.join(FILE)) }
    }

    /// Whether `pair` passed before.
    pub fn has(&self, pair: &CheckedPair) -> bool {
        let line = pair.line();
        self.lines().contains(&line)
    }

    /// Remembers that `pair` passed.
    pub fn keep(&self, pair: &CheckedPair) {
        let Some(file) = &self.file else { return };
        let mut lines = self.lines();
        lines.retain(|known| *known != pair.line());
        lines.push(pair.line());
        let from = lines.len().saturating_sub(LINES_MAX);
        let text = lines[from..].join("\n") + "\n";
        if let Err(error) = write_atomically(file, &text) {
            tracing::warn!(
                "the exactness check will run again next time: {} cannot be written: {error}",
                file.display()
            );
        }
    }

    fn lines(&self) -> Vec<String> {
        let Some(file) = &self.file else { return Vec::new() };
        let mut text = String::new();
        let read = std::fs::File::open(file)
            .and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => text.lines().map(str::to_owned).collect(),
            Err(error) => {
                tracing::debug!("no exactness checks remembered: {}: {error}", file.display());
                Vec::new()
            }
        }
    }
}

/// Readers see the old file or the new one, never part of one.
fn write_atomically(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(driver: &str) -> CheckedPair {
        CheckedPair {
            uuid: Uuid([7; 16]),
            driver: driver.to_owned(),
            library: "cuda-13000 libcuda.so.580.82.07".to_owned(),
            ptx_digest: Digest([9; 32]),
            kernel: "gemm_m16n8k16".to_owned(),
        }
    }

    #[test]
    fn a_pass_is_remembered_for_exactly_its_pair() {
        let folder = tempfile::tempdir().unwrap();
        let memory = ExactnessCache::in_folder(&folder.path().join("made/when/needed"));
        assert!(!memory.has(&pair("580.82.07")));
        memory.keep(&pair("580.82.07"));
        assert!(memory.has(&pair("580.82.07")));
        // An updated driver may compile the PTX differently.
        assert!(!memory.has(&pair("580.95.05")));
        let other = CheckedPair { ptx_digest: Digest([8; 32]), ..pair("580.82.07") };
        assert!(!memory.has(&other), "other kernels");
        let library = "cuda-13000 libcuda.so.580.95.05".to_owned();
        let other = CheckedPair { library, ..pair("580.82.07") };
        assert!(!memory.has(&other), "another compiler beside the same kernel module");
        memory.keep(&pair("580.95.05"));
        assert!(memory.has(&pair("580.82.07")), "a second pass must not drop the first");
    }

    #[test]
    fn neither_a_broken_file_nor_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [0xff, 0xfe, 0]).unwrap();
        let memory = ExactnessCache::in_folder(folder.path());
        assert!(!memory.has(&pair("1")));
        memory.keep(&pair("1"));
        assert!(memory.has(&pair("1")));
        let nowhere = ExactnessCache { file: None };
        nowhere.keep(&pair("1"));
        assert!(!nowhere.has(&pair("1")));
        // A file where the folder should be: only a warning.
        let blocked = ExactnessCache::in_folder(&folder.path().join(FILE));
        blocked.keep(&pair("1"));
    }

    #[test]
    fn a_driver_name_cannot_forge_lines() {
        let line = pair("580\nforged line").line();
        assert_eq!(line.lines().count(), 1);
        assert_eq!(line.split(' ').count(), 5);
    }

    #[test]
    fn the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let memory = ExactnessCache::in_folder(folder.path());
        for driver in 0..LINES_MAX + 3 {
            memory.keep(&pair(&driver.to_string()));
        }
        assert_eq!(memory.lines().len(), LINES_MAX);
        assert!(!memory.has(&pair("0")) && memory.has(&pair("258")));
    }
}
