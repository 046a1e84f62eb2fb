//! Where an output goes: the folder that it is in, held open, and its name there.
//!
//! Guarantees: links are followed one by one, each read in a folder that is held, so
//! nobody can put another in its place; in a folder where anyone may write, a link,
//! pipe or file of somebody else's is refused, as the kernel does with
//! fs.protected_symlinks, protected_fifos and protected_regular, whether these are set
//! or not.
//! Deliberately lacks: a guard against whoever owns the folders on the way.

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// Links on the way to a file; more lead nowhere, for the system too.
const LINKS_MAX: usize = 40;
/// Names tried for a new file before something else must be wrong.
const TRIES_MAX: usize = 16;

/// What a path that is to be written names.
#[derive(Debug)]
pub(super) enum Target {
    /// A stream that is open already (/dev/stdout): who opened it may have written
    /// before, and goes on after.
    Stream(PathBuf),
    /// It exists and is not a file (/dev/null, a FIFO): no file can replace it.
    Special(Place),
    /// A file, there or not, behind all links.
    File {
        /// Its folder and name.
        place: Place,
        /// What is there.
        there: Option<Stat>,
    },
}

/// A name in a folder that is held.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
}

/// A link or file of somebody else's.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name:?} in a folder where anyone may write belongs to user {owner}, who may have put it \
     there to catch this output"
)]
struct NotOurs {
    name: OsString,
    owner: u32,
}

impl Target {
    /// Finds what `path` names, without opening it.
    ///
    /// # Errors
    /// A folder; a way that does not exist or goes through somebody else's link.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let ends_in_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if ends_in_folder || path.file_name().is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut way: Vec<OsString> = Vec::new();
        let mut links = 0;
        push(&mut way, path);
        // In words, to tell streams; relative until a link is absolute.
        let mut at = PathBuf::new();
        let mut folder = open_folder(fs::CWD, OsStr::new("."))?;
        while let Some(name) = way.pop() {
            if name == "/" || name == ".." {
                folder = open_folder(&folder, &name)?;
                at.push(&name);
                continue;
            }
            if is_stream(&at.join(&name)) {
                return Ok(Self::Stream(at.join(&name)));
            }
            let there = match fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(rustix::io::Errno::NOENT) if way.is_empty() => None,
                Err(error) => return Err(error.into()),
            };
            let kind = there.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
            match kind {
                Some(FileType::Symlink) => {
                    check_ours(&folder, &name, there.as_ref())?;
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(rustix::io::Errno::LOOP.into());
                    }
                    let behind = fs::readlinkat(&folder, &name, Vec::new())?;
                    push(&mut way, Path::new(&OsString::from_vec(behind.into_bytes())));
                }
                Some(FileType::Directory) if way.is_empty() => {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                _ if !way.is_empty() => {
                    folder = open_folder(&folder, &name)?;
                    at.push(&name);
                }
                None | Some(FileType::RegularFile) => {
                    check_ours(&folder, &name, there.as_ref())?;
                    return Ok(Self::File { place: Place { folder, name }, there });
                }
                Some(_) => {
                    check_ours(&folder, &name, there.as_ref())?;
                    return Ok(Self::Special(Place { folder, name }));
                }
            }
        }
        Err(io::ErrorKind::IsADirectory.into())
    }
}

/// Puts the parts of `path` before what is left of the way, the last one first.
fn push(way: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    way.extend(parts.rev().map(|part| part.as_os_str().to_owned()));
}

/// Opens a folder, not through a link.
fn open_folder(from: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    // Not for reading: passing through takes less of a permission.
    #[cfg(target_os = "linux")]
    let way = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let way = OFlags::RDONLY;
    let flags = way | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(from, name, flags, Mode::empty())?)
}

/// Whether this names what a process has open (/dev/stdout leads to one such name).
fn is_stream(path: &Path) -> bool {
    let Some(folder) = path.parent() else { return false };
    folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// Refuses what others put where everyone may: it is this user's, or the folder's owner's.
fn check_ours(folder: &OwnedFd, name: &OsStr, there: Option<&Stat>) -> io::Result<()> {
    let Some(there) = there else { return Ok(()) };
    let around = fs::fstat(folder)?;
    let is_shared = Mode::from_raw_mode(around.st_mode).contains(Mode::WOTH);
    let own = rustix::process::geteuid().as_raw();
    if !is_shared || there.st_uid == own || there.st_uid == around.st_uid {
        return Ok(());
    }
    let not_ours = NotOurs { name: name.to_owned(), owner: there.st_uid };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, not_ours))
}

impl Place {
    /// Opens what is there, and is no file, for appending.
    pub(super) fn open_special(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.folder, &self.name, flags, Mode::empty())?.into())
    }

    /// Device and inode of the folder, and the name: what makes two places one.
    pub(super) fn identity(&self) -> io::Result<(u64, u64, OsString)> {
        let folder = fs::fstat(&self.folder)?;
        Ok((folder.st_dev, folder.st_ino, self.name.clone()))
    }

    /// A new file beside the one that it will replace, whose mode and owner it takes
    /// over, as far as this process may: without that group, nothing is the group's.
    pub(super) fn new_file(&self, access: Access, there: Option<&Stat>) -> io::Result<NewFile<'_>> {
        let kept = there.filter(|_| access == Access::AsBefore);
        let mode = match (access, kept) {
            (Access::AsBefore, None) => 0o666,
            (Access::OwnerOnly, _) | (_, Some(_)) => 0o600,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES_MAX {
            let mut random = [0; 6];
            getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
            let name = OsString::from(format!(".attest-{}", hex::encode(random)));
            match fs::openat(&self.folder, &name, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => {
                    let file = NewFile { place: self, name: Some(name), file: file.into() };
                    kept.map_or(Ok(()), |kept| file.take_over(kept))?;
                    return Ok(file);
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Who may read and write a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever may with the file that it replaces; without one the umask says who.
    AsBefore,
    /// Its owner alone.
    OwnerOnly,
}

/// A file without its name yet. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct NewFile<'a> {
    place: &'a Place,
    /// What it is called meanwhile; `None` once it has its own name.
    name: Option<OsString>,
    file: File,
}

impl NewFile<'_> {
    fn take_over(&self, there: &Stat) -> io::Result<()> {
        use rustix::fs::{Gid, Uid};
        let mut mode = there.st_mode & 0o777;
        let now = fs::fstat(&self.file)?;
        if now.st_uid != there.st_uid {
            // Only root can give a file away; whoever replaces it otherwise owns it.
            let _ = fs::fchown(&self.file, Some(Uid::from_raw(there.st_uid)), None);
        }
        let group = Gid::from_raw(there.st_gid);
        if now.st_gid != there.st_gid && fs::fchown(&self.file, None, Some(group)).is_err() {
            mode &= !0o070;
        }
        Ok(fs::fchmod(&self.file, Mode::from_raw_mode(mode))?)
    }

    /// Flushes it to the disk and gives it its name, in place of what has it.
    pub(super) fn persist(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(name) = &self.name else { return Ok(()) };
        let folder = &self.place.folder;
        fs::renameat(folder, name, folder, &self.place.name)?;
        self.name = None;
        Ok(())
    }

    /// Flushes it to the disk and gives it its name, unless something has it.
    pub(super) fn persist_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(name) = &self.name else { return Ok(()) };
        let folder = &self.place.folder;
        // The other name goes when this is dropped.
        fs::linkat(folder, name, folder, &self.place.name, AtFlags::empty())?;
        // The new one outlives a power cut.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        File::from(fs::openat(folder, ".", flags, Mode::empty())?).sync_all()
    }
}

impl Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::unlinkat(&self.place.folder, name, AtFlags::empty());
        }
    }
}
