//! Files and streams: whole or not at all, and never more than was asked for.
//!
//! A written file appears under its name complete or not at all; a reader gets
//! an error, not a truncated text, where the source is longer than its limit.
//! What was read is not interpreted here.

use crate::streams;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where text comes from: `-` is standard input, `@FILE` a file, all else the
/// text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Inline(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Source {
    /// Reads `-`, `@FILE` or the text itself.
    pub fn of_text(typed: &str) -> Self {
        match typed.strip_prefix('@') {
            _ if typed == "-" => Self::Stdin,
            Some(path) => Self::File(path.into()),
            None => Self::Inline(typed.to_owned()),
        }
    }

    /// Reads `-` or the path of a file, with or without a leading `@`.
    pub fn of_path(typed: &str) -> Self {
        match typed {
            "-" => Self::Stdin,
            path => Self::File(path.strip_prefix('@').unwrap_or(path).into()),
        }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Inline(_) | Self::Stdin => None,
        }
    }

    /// The source in an error message.
    pub fn name(&self) -> String {
        match self {
            Self::Inline(_) => "the command line".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// Opens the source for reading; nothing is read yet.
    ///
    /// # Errors
    /// [`ReadError::Open`].
    pub fn open(&self) -> Result<Box<dyn Read + '_>, ReadError> {
        let failed = |cause| ReadError::Open { name: self.name(), cause };
        Ok(match self {
            Self::Inline(text) => Box::new(text.as_bytes()),
            Self::Stdin => Box::new(BufReader::new(streams::stdin())),
            Self::File(path) => {
                let file = File::open(path).map_err(failed)?;
                if file.metadata().map_err(failed)?.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                Box::new(file)
            }
        })
    }

    /// Reads UTF-8 text of at most `limit_bytes` bytes.
    ///
    /// # Errors
    /// [`ReadError`]; a longer source is an error after `limit_bytes` + 1 bytes.
    pub fn read_text(&self, limit_bytes: u64) -> Result<String, ReadError> {
        let name = || self.name();
        let mut bytes = Vec::new();
        self.open()?
            .take(limit_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|cause| ReadError::Open { name: name(), cause })?;
        if bytes.len() as u64 > limit_bytes {
            return Err(ReadError::TooLong { name: name(), limit_bytes });
        }
        String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 {
            name: name(),
            valid_up_to: error.utf8_error().valid_up_to(),
        })
    }
}

/// Why a source gave no text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened or read.
    #[error("cannot read {name}: {cause}\nCheck the path, or give - to read standard input.")]
    Open {
        /// Which source.
        name: String,
        /// The system's words.
        cause: io::Error,
    },
    /// It is longer than its kind can be.
    #[error(
        "{name} holds more than {limit_bytes} bytes, the most that this can be\n\
         Check that it is the file that was meant."
    )]
    TooLong {
        /// Which source.
        name: String,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It is not UTF-8.
    #[error(
        "{name} is not UTF-8 text: the bytes are invalid from offset {valid_up_to}\nCheck that it is the file that was meant."
    )]
    NotUtf8 {
        /// Which source.
        name: String,
        /// Offset of the first invalid byte.
        valid_up_to: usize,
    },
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {cause}\nNothing was left behind: check the folder, its permissions and free space.", path = path.display())]
pub struct WriteError {
    /// Which file.
    pub path: PathBuf,
    /// The system's words.
    pub cause: io::Error,
}

/// A file that a command would write over something that it needs.
#[derive(Debug, thiserror::Error)]
#[error("{output} and {other} name the same file, {path}\nName another file with {output}.", path = path.display())]
pub struct SameFile {
    /// The option that names what is written.
    pub output: String,
    /// The option that names it, too.
    pub other: String,
    /// The file, as `output` has it.
    pub path: PathBuf,
}

/// Checks that none of `outputs` is one of `inputs` or another output, whatever their
/// paths look like; each comes with the option that names it. Devices, pipes and
/// streams may be named again and again.
///
/// # Errors
/// The first two that are one file.
pub fn check_apart(outputs: &[(&str, &Path)], inputs: &[(&str, &Path)]) -> Result<(), SameFile> {
    for (index, (output, path)) in outputs.iter().enumerate() {
        let Some(file) = identity(path) else { continue };
        let mut others = inputs.iter().chain(&outputs[..index]);
        if let Some((other, _)) = others.find(|(_, path)| identity(path).as_ref() == Some(&file)) {
            let (output, other) = ((*output).to_owned(), (*other).to_owned());
            return Err(SameFile { output, other, path: path.to_path_buf() });
        }
    }
    Ok(())
}

/// What makes two paths one file: what is there, or where it would be made.
#[derive(PartialEq, Eq)]
enum Identity {
    #[cfg(unix)]
    Inode(u64, u64),
    Path(PathBuf),
}

/// `None` where nothing can be overwritten, or nothing be made.
fn identity(path: &Path) -> Option<Identity> {
    let Ok(Target::File { path, folder }) = target(path) else { return None };
    #[cfg(unix)]
    if let Ok(meta) = path.metadata() {
        use std::os::unix::fs::MetadataExt as _;
        return Some(Identity::Inode(meta.dev(), meta.ino()));
    }
    Some(Identity::Path(folder.canonicalize().ok()?.join(path.file_name()?)))
}

static WRITING: Mutex<()> = Mutex::new(());

/// Holds off the start of a file write for as long as the guard lives, after
/// waiting for one under way. For whoever is about to end the process.
pub fn no_write_under_way() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether [`write_atomically`] could write `path` now, for whoever has hours of
/// work to do first. Leaves nothing behind.
///
/// # Errors
/// [`WriteError`], as it would be then.
pub fn check_writable(path: &Path) -> Result<(), WriteError> {
    let failed = |cause| WriteError { path: path.to_owned(), cause };
    match target(path).map_err(failed)? {
        Target::Special => Ok(()),
        Target::File { folder, .. } => {
            let _guard = no_write_under_way();
            new_file(&folder, 0o600).map(drop).map_err(failed)
        }
    }
}

/// What a path that is to be written names.
enum Target {
    /// It exists and is not a file (/dev/null, a FIFO), or is a stream that is open
    /// already (/dev/stdout): no file can replace it.
    Special,
    /// A file, there or not, behind all links, and the folder that it is in.
    File { path: PathBuf, folder: PathBuf },
}

fn target(path: &Path) -> io::Result<Target> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return Ok(Target::Special);
    }
    // A link keeps pointing where it points: the file behind it is replaced, or
    // made where there is none yet.
    let mut behind = path.to_owned();
    for _ in 0..LINKS_MAX {
        if is_stream(&behind) {
            return Ok(Target::Special);
        }
        let Ok(next) = behind.read_link() else { break };
        behind = behind.parent().unwrap_or(Path::new("/")).join(next);
    }
    let path = path.canonicalize().unwrap_or(behind);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(Target::File { path, folder })
}

/// Links that lead to one another; more lead nowhere, for the system too.
const LINKS_MAX: usize = 40;

/// Whether this names what a process has open (/dev/stdout leads to one such name):
/// who opened it may have written before, and goes on after.
fn is_stream(path: &Path) -> bool {
    let Some(folder) = path.parent() else { return false };
    folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// Writes `text` and a newline to `path`: into a new file in the same folder,
/// flushed to the disk, then renamed. A reader sees the old file or the new
/// one, and a failure leaves the old one. The new file has mode 0666 less the
/// umask, as any other.
///
/// # Errors
/// [`WriteError`] with the file system's words.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), WriteError> {
    write_with(path, 0o666, |out| writeln!(out, "{text}"))
}

/// Does the same with whatever `write` writes, for what should not be held in
/// memory as a whole, and for no eyes but the owner's: the new file has mode 0600.
/// An error of `write` leaves the old file.
///
/// # Errors
/// [`WriteError`] with the file system's words, or those of `write`.
pub fn write_privately_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    write_with(path, 0o600, write)
}

fn write_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let failed = |cause| WriteError { path: path.to_owned(), cause };
    let Target::File { path: file_path, folder } = target(path).map_err(failed)? else {
        // Behind a stream (`>> FILE`) may be a file that has a beginning.
        let mut special = File::options().append(true).open(path).map_err(failed)?;
        return write(&mut special).map_err(failed);
    };
    let _guard = no_write_under_way();
    let mut file = BufWriter::new(new_file(&folder, mode).map_err(failed)?);
    write(&mut file).map_err(failed)?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(file_path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(unix)]
fn new_file(folder: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(mode);
    tempfile::Builder::new().prefix(".attest-").permissions(mode).tempfile_in(folder)
}

#[cfg(not(unix))]
fn new_file(folder: &Path, _: u32) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".attest-").tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(Source::of_text("-"), Source::Stdin);
        assert_eq!(Source::of_text("@a/b"), Source::File("a/b".into()));
        assert_eq!(Source::of_text("eyJ2"), Source::Inline("eyJ2".into()));
        assert_eq!(Source::of_path("a.json"), Source::File("a.json".into()));
        assert_eq!(Source::of_path("@a.json"), Source::File("a.json".into()));
    }

    #[test]
    fn reads_stop_at_the_limit() {
        let source = Source::Inline("12345".into());
        assert_eq!(source.read_text(5).unwrap(), "12345");
        assert!(matches!(source.read_text(4), Err(ReadError::TooLong { limit_bytes: 4, .. })));
    }

    #[test]
    fn endless_file_is_an_error_not_a_hang() {
        let source = Source::File("/dev/zero".into());
        assert!(matches!(source.read_text(100), Err(ReadError::TooLong { .. })));
    }

    #[test]
    fn folder_is_no_source() {
        assert!(matches!(Source::of_path("/").read_text(9), Err(ReadError::Open { .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        write_atomically(&path, "old").unwrap();
        let missing = folder.path().join("missing/out.json");
        let error = write_atomically(&missing, "new").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(write_atomically(folder.path(), "new").is_err());
        assert!(check_writable(&missing).is_err() && check_writable(folder.path()).is_err());
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\n");
        write_atomically(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        for text in ["made", "replaced"] {
            write_atomically(&link, text).unwrap();
            assert!(link.is_symlink());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{text}\n"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("second", path("first")).unwrap();
        std::os::unix::fs::symlink("file", path("second")).unwrap();
        write_atomically(&path("first"), "made").unwrap();
        assert!(path("first").is_symlink() && path("second").is_symlink());
        assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "made\n");
        std::os::unix::fs::symlink("round", path("round")).unwrap();
        assert!(check_writable(&path("round")).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stream_is_appended_to() {
        use std::os::fd::AsRawFd as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"before\n").unwrap();
        let stream = PathBuf::from(format!("/proc/self/fd/{}", file.as_file().as_raw_fd()));
        write_atomically(&stream, "after").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "before\nafter\n");
    }

    #[cfg(unix)]
    #[test]
    fn one_file_under_two_names_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("there", path("link")).unwrap();
        std::os::unix::fs::symlink("absent", path("dangling")).unwrap();
        for (a, b, one) in [
            ("there", "there", true),
            ("there", "link", true),
            ("there", "folder/../there", true),
            ("absent", "folder/../absent", true),
            ("absent", "dangling", true),
            ("there", "absent", false),
            ("absent", "other", false),
        ] {
            let (a, b) = (path(a), path(b));
            let of = |name, path| [(name, path)];
            for (a, b) in [(&*a, &*b), (&b, &a)] {
                assert_eq!(check_apart(&of("--out", a), &of("--key", b)).is_err(), one);
                assert_eq!(check_apart(&[("--out", a), ("--too", b)], &[]).is_err(), one);
            }
        }
        let null = ("--out", Path::new("/dev/null"));
        check_apart(&[null, null], &[null]).unwrap();
    }
}
