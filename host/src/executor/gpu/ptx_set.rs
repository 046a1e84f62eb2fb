//! Several PTX files, named by files and folders, each with a short name of its own.

use super::ptx_file::{PtxFile, PtxFileError};
use gpu_kernels::target::Target;
use std::path::{Path, PathBuf};

/// Most files of a folder that are read.
pub const PTX_FILES_MAX: usize = 256;

impl PtxFile {
    /// The files at `paths`, unread; of a folder every `.ptx` file in it, by name.
    ///
    /// # Errors
    /// A folder without PTX files, with more than [`PTX_FILES_MAX`], or unreadable.
    pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, PtxFileError> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() { files.extend(in_folder(path)?) } else { files.push(path.clone()) }
        }
        Ok(files)
    }

    /// Reads the files at `paths`; of a folder every `.ptx` file in it, by name. What
    /// is named twice is read once. A file's name is its own without `.ptx`; if
    /// another file or an embedded target has that, with as many folders before it as
    /// tell them apart: "x", "mine/x".
    ///
    /// # Errors
    /// The first that is unreadable or cannot run an iteration; a folder without PTX
    /// files, or with more than [`PTX_FILES_MAX`].
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, PtxFileError> {
        let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
        for typed in Self::find(paths)? {
            let read = |cause| PtxFileError::Read { path: typed.clone(), cause };
            let whole = typed.canonicalize().map_err(read)?;
            if files.iter().all(|(_, known)| *known != whole) {
                files.push((typed, whole));
            }
        }
        let taken: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
        let whole: Vec<&Path> = files.iter().map(|(_, whole)| whole.as_path()).collect();
        let names = names(&whole, &taken);
        files.iter().zip(names).map(|((typed, _), name)| Self::read_as(typed, name)).collect()
    }
}

/// The `.ptx` files in `folder`, in the order of their names.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, PtxFileError> {
    let failed = |cause| PtxFileError::Read { path: folder.to_owned(), cause };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "ptx") && !path.is_dir() {
            files.push(path);
        }
        if files.len() > PTX_FILES_MAX {
            return Err(PtxFileError::TooManyFiles { path: folder.to_owned() });
        }
    }
    if files.is_empty() {
        return Err(PtxFileError::EmptyFolder { path: folder.to_owned() });
    }
    files.sort();
    Ok(files)
}

/// The last `parts` components of `path`, without `.ptx`.
fn tail(path: &Path, parts: usize) -> String {
    let all: Vec<String> =
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let name = all[all.len().saturating_sub(parts)..].join("/");
    let name = name.strip_suffix(".ptx").unwrap_or(&name);
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A name for each of `paths`, which differ: the shortest end that no other has, and
/// that is not among `taken`.
fn names(paths: &[&Path], taken: &[&str]) -> Vec<String> {
    let name = |at: usize| {
        let path = paths[at];
        let is_free = |parts: usize, name: &str| {
            let others = (paths.iter().enumerate()).filter(|(other, _)| *other != at);
            !taken.contains(&name)
                && others.into_iter().all(|(_, other)| tail(other, parts) != name)
        };
        let mut ends = (1..=path.components().count()).map(|parts| (parts, tail(path, parts)));
        let free = ends.find(|(parts, name)| is_free(*parts, name));
        // "x" beside "x.ptx": the whole path.
        free.map_or_else(|| path.display().to_string(), |(_, name)| name)
    };
    (0..paths.len()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn named(paths: &[&str]) -> Vec<String> {
        let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
        names(&paths, &["portable", "sm_80"])
    }

    #[test]
    fn names_are_as_short_as_they_can_be() {
        assert_eq!(named(&["/long/path/x.ptx"]), ["x"]);
        assert_eq!(named(&["/long/a/x.ptx", "/long/b/x.ptx", "/y.ptx"]), ["a/x", "b/x", "y"]);
        assert_eq!(named(&["/1/a/x.ptx", "/2/a/x.ptx"]), ["1/a/x", "2/a/x"]);
        assert_eq!(named(&["/mine/portable.ptx"]), ["mine/portable"], "an embedded target's");
        assert_eq!(named(&["/a/x.ptx", "/a/x"]), ["/a/x.ptx", "/a/x"]);
        assert_eq!(named(&["/a/\u{1b}[2Jx.ptx"]), ["\u{fffd}[2Jx"]);
    }

    #[test]
    fn a_folder_stands_for_its_ptx_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["sm_80.ptx", "b.ptx", "a.ptx"] {
            fs::write(at(name), Target::Portable.ptx()).unwrap();
        }
        fs::write(at("manifest.json"), "{}").unwrap();
        fs::create_dir(at("more.ptx")).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<&str> {
            PtxFile::read_all(paths).unwrap().into_iter().map(PtxFile::name).collect()
        };
        let own = folder.path().file_name().unwrap().to_str().unwrap();
        let all = ["a".to_owned(), "b".to_owned(), format!("{own}/sm_80")];
        assert_eq!(names(&[folder.path().to_owned()]), all);
        assert_eq!(names(&[at("b.ptx"), folder.path().to_owned()])[..2], ["b", "a"], "once each");
    }

    #[test]
    fn a_folder_that_cannot_serve_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let read = || PtxFile::read_all(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(read().contains("no .ptx file"), "{}", read());
        for at in 0..=PTX_FILES_MAX {
            fs::write(folder.path().join(format!("{at}.ptx")), "").unwrap();
        }
        assert!(read().contains("more than 256 "), "{}", read());
        assert_eq!(read().lines().count(), 2);
    }
}
