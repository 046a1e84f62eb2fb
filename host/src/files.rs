//! Files and streams: whole or not at all, and never more than was asked for.
//!
//! A written file appears under its name complete or not at all; a reader gets
//! an error, not a truncated text, if the source is longer than its limit. An output
//! keeps the permissions of the file that it replaces, and goes through no link that
//! somebody else put where everyone may (`target`).
//! What was read is not interpreted here.

mod target;

use crate::protocol::json::is_shown;
use crate::streams;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use target::{Access, Target};

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
    pub fn of_text(typed: impl AsRef<OsStr>) -> Self {
        let typed = typed.as_ref();
        match typed.as_bytes().strip_prefix(b"@") {
            _ if typed == "-" => Self::Stdin,
            Some(path) => Self::File(OsStr::from_bytes(path).into()),
            None => Self::Inline(typed.to_string_lossy().into_owned()),
        }
    }

    /// Reads `-` or the path of a file, with or without a leading `@`.
    pub fn of_path(typed: impl AsRef<OsStr>) -> Self {
        let typed = typed.as_ref();
        match typed.as_bytes().strip_prefix(b"@") {
            _ if typed == "-" => Self::Stdin,
            Some(path) => Self::File(OsStr::from_bytes(path).into()),
            None => Self::File(typed.into()),
        }
    }

    /// The file, if it is one.
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
            Self::File(path) => shown_path(path),
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
        /// The source, for people.
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
        /// The source, for people.
        name: String,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It is not UTF-8.
    #[error(
        "{name} is not UTF-8 text: the bytes are invalid from offset {valid_up_to}\nCheck that it is the file that was meant."
    )]
    NotUtf8 {
        /// The source, for people.
        name: String,
        /// Offset of the first invalid byte.
        valid_up_to: usize,
    },
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {cause}\nNothing was left behind: check the folder, its permissions and free space.", path = shown_path(path))]
pub struct WriteError {
    /// Which file.
    pub path: PathBuf,
    /// The system's words.
    pub cause: io::Error,
}

/// A file that a command would write over something that it needs.
#[derive(Debug, thiserror::Error)]
#[error("{output} and {other} name the same file, {path}\nName another file with {output}.", path = shown_path(path))]
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
    Inode(u64, u64),
    Place(u64, u64, OsString),
}

/// `None` if nothing can be overwritten, or nothing be made.
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    match Target::of(path) {
        Ok(Target::File { there: Some(there), .. }) => {
            Some(Identity::Inode(there.st_dev, there.st_ino))
        }
        Ok(Target::File { place, there: None }) => {
            let (device, inode, name) = place.identity().ok()?;
            Some(Identity::Place(device, inode, name))
        }
        Ok(Target::Stream(_) | Target::Special(_)) => None,
        // What can't be written may be read.
        Err(_) => {
            let meta = path.metadata().ok().filter(Metadata::is_file)?;
            Some(Identity::Inode(meta.dev(), meta.ino()))
        }
    }
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
    match Target::of(path).map_err(failed)? {
        Target::Stream(_) | Target::Special(_) => Ok(()),
        Target::File { place, .. } => {
            let _guard = no_write_under_way();
            place.new_file(Access::OwnerOnly, None).map(drop).map_err(failed)
        }
    }
}

/// Whether `path` may be written where others may write, too: for files that are kept
/// open and written in place. What is opened afterwards is opened by its path; a folder
/// that anyone may write to and nobody's sticky bit guards can change in between.
///
/// # Errors
/// Somebody else's file or link in such a folder; a folder, or a way that does not exist.
pub fn check_ours(path: &Path) -> io::Result<()> {
    Target::of(path).map(drop)
}

/// Writes `text` and a newline to `path`: into a new file in the same folder,
/// flushed to the disk, then renamed. A reader sees the old file or the new
/// one, and a failure leaves the old one. The new file has the old one's permissions,
/// group and owner, as far as this process may give them; without an old one mode 0666
/// less the umask. Access control lists and extended attributes are not kept.
///
/// # Errors
/// [`WriteError`] with the file system's words.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), WriteError> {
    write_with(path, Access::AsBefore, |out| writeln!(out, "{text}"))
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
    write_with(path, Access::OwnerOnly, write)
}

/// Writes `bytes` to a file of mode 0600 that does not exist yet, whole or not at all.
///
/// # Errors
/// The file system's; `AlreadyExists` if anything has that name, also a link.
pub fn write_new_privately(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let Target::File { place, there: None } = Target::of(path)? else {
        return Err(io::ErrorKind::AlreadyExists.into());
    };
    let _guard = no_write_under_way();
    let mut file = place.new_file(Access::OwnerOnly, None)?;
    file.write_all(bytes)?;
    file.persist_new()
}

fn write_with(
    path: &Path,
    access: Access,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let failed = |cause| WriteError { path: path.to_owned(), cause };
    let append = |path: &Path| File::options().append(true).open(path);
    let (place, there) = match Target::of(path).map_err(failed)? {
        Target::File { place, there } => (place, there),
        // Behind a stream (`>> FILE`) may be a file that has a beginning.
        Target::Stream(stream) => {
            return append(&stream).and_then(|mut out| write(&mut out)).map_err(failed);
        }
        Target::Special(place) => {
            return place.open_special().and_then(|mut out| write(&mut out)).map_err(failed);
        }
    };
    let _guard = no_write_under_way();
    let file = place.new_file(access, there.as_ref()).map_err(failed)?;
    let mut file = BufWriter::new(file);
    write(&mut file).map_err(failed)?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.persist().map_err(failed)
}

/// A path in a message: what a terminal would not show as itself is escaped, bytes that
/// are not UTF-8 too.
pub fn shown_path(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.extend(chunk.valid().chars().flat_map(|c| {
            let escaped = (!is_shown(c)).then(|| c.escape_default());
            let itself = is_shown(c).then_some(c);
            itself.into_iter().chain(escaped.into_iter().flatten())
        }));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
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
        assert!(check_writable(&path("round")).is_err());
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
