//! Where things are in the workspace, and files written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace's root").to_path_buf()
}

/// SHA-256 as lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Every file below `folder`, sorted, so that the order is the same everywhere.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Writes all `files` (name, content) into `folder`: every one is complete
/// under a temporary name before the first takes its place, and they take
/// their places in the order given.
pub fn write_together(folder: &Path, files: &[(String, String)]) -> Result<()> {
    let context = || format!("writing into {}", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    let mut ready = Vec::new();
    for (name, content) in files {
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
        file.write_all(content.as_bytes()).with_context(context)?;
        file.as_file().sync_all().with_context(context)?;
        ready.push((name, file));
    }
    for (name, file) in ready {
        set_readable(file.path())?;
        file.persist(folder.join(name)).with_context(context)?;
    }
    Ok(())
}

/// Temporary files are private to their owner; what takes their place is not.
#[cfg(unix)]
pub fn set_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o644))?)
}

#[cfg(not(unix))]
pub fn set_readable(_: &Path) -> Result<()> {
    Ok(())
}

/// Takes files into a hash, by their names from `root` and what they hold.
///
/// # Errors
/// If a file can't be read.
pub fn hash_files(root: &Path, files: &[PathBuf], hash: &mut Sha256) -> Result<()> {
    for file in files {
        let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        hash_part(&name, &content, hash);
    }
    Ok(())
}

/// Takes a part with a name into a hash.
pub fn hash_part(name: &str, content: &[u8], hash: &mut Sha256) {
    // Lengths first: no two lists of parts run together to the same bytes.
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update((content.len() as u64).to_le_bytes());
    hash.update(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_sorted_from_every_level() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c", "b/z", "b/a", "a"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let found = files_below(folder.path()).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|f| f.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b/a", "b/z", "c"]);
    }

    #[test]
    fn written_files_replace_old_ones_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x"), "old").unwrap();
        let files = [("x".to_owned(), "new".to_owned()), ("y".to_owned(), String::new())];
        write_together(folder.path(), &files).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("x")).unwrap(), "new");
        assert_eq!(files_below(folder.path()).unwrap().len(), 2);
    }
}
