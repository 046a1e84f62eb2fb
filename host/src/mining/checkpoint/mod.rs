//! The file from which a run goes on after its process was killed.
//!
//! ```text
//! open ─ a new file, or the sync points of an old one ─ lanes::Resumed
//!      └ lanes::Checkpointer, whose thread appends              record: bytes and checksums
//! ```
//!
//! Guarantees: a run whose arena would be lost is refused; a file of another challenge or of other devices is refused and
//! left as it is; what does not verify is cut off, back to the last sync point
//! that does; a record is on the disk before the next one is asked for; one
//! process at a time. The file has mode 0600.
//! Deliberately lacks: secrecy and protection against its owner: checksums find
//! accidents. A result made from a forged file is rejected like any other.

mod error;
mod record;

use crate::executor::LaneFacts;
use crate::executor::lanes::{Checkpointer, Kept, Resumed};
use crate::files;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::work::Work;
pub use error::CheckpointError;
use record::{Head, ReadError};
use std::fs::{File, TryLockError};
use std::io::{BufReader, BufWriter, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// The file. It need not exist.
    pub file: PathBuf,
    /// The least time between two sync points kept; zero: every sync point.
    pub interval: Duration,
}

/// What goes on, and what keeps it.
#[derive(Debug)]
pub struct Opened {
    /// What the file had.
    pub before: Resumed,
    /// Appends to it.
    pub checkpointer: Checkpointer,
}

/// Whether runs of this work can go on from a file: what they follow from has to be their
/// digests alone.
///
/// # Errors
/// [`CheckpointError::Arena`].
pub fn check_kind(work: Work) -> Result<(), CheckpointError> {
    match work {
        Work::Fp64Product(_) | Work::IntegerProduct(_) => Ok(()),
        Work::MemoryResidency(_) => {
            Err(CheckpointError::Arena { challenge_type: work.challenge_type() })
        }
    }
}

/// Opens the checkpoint of `challenge` on lanes of these facts, or begins one.
///
/// # Errors
/// [`CheckpointError`]; the file is as it was then.
pub fn open(
    options: &CheckpointOptions,
    challenge: &Challenge,
    facts: &[LaneFacts],
) -> Result<Opened, CheckpointError> {
    check_kind(challenge.work())?;
    let path = &options.file;
    let failed = |cause| CheckpointError::Io { path: path.clone(), cause };
    let uuids: Vec<Uuid> = facts.iter().map(|lane| lane.uuid).collect();
    let head = Head { challenge: challenge.digest(), uuids };
    files::check_ours(path).map_err(failed)?;
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => begin(path, &head).map_err(failed)?,
        other => other.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(CheckpointError::NotOne { path: path.clone() });
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(CheckpointError::InUse { path: path.clone() });
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    let sm_counts: Vec<u32> = facts.iter().map(|lane| lane.sm_count).collect();
    let (before, end, last_sum) = read(&file, path, challenge, &head, &sm_counts)?;
    let keep = appender(file, path.clone(), end, last_sum).map_err(failed)?;
    let checkpointer = Checkpointer::start(facts.len(), options.interval, keep).map_err(failed)?;
    Ok(Opened { before, checkpointer })
}

/// A file with a head and nothing else; it appears whole.
fn begin(path: &Path, head: &Head) -> std::io::Result<File> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Its mode is 0600.
    let mut new = tempfile::Builder::new()
        .prefix(".attest-")
        .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    new.write_all(&head.bytes())?;
    new.as_file().sync_all()?;
    let mut file = new.persist_noclobber(path).map_err(|error| error.error)?;
    file.rewind()?;
    Ok(file)
}

/// Everything that verifies; where it ends, and its last checksum.
fn read(
    file: &File,
    path: &Path,
    challenge: &Challenge,
    head: &Head,
    sm_counts: &[u32],
) -> Result<(Resumed, u64, Digest), CheckpointError> {
    let path = || path.to_owned();
    let failed = |cause| CheckpointError::Io { path: path(), cause };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut sum = head.compare(&mut reader).map_err(|found| found.at(path()))?;
    let mut before = Resumed::nothing(challenge, &head.uuids);
    loop {
        let end = reader.stream_position().map_err(failed)?;
        match record::read(&mut reader, challenge, before.through(), sm_counts, &sum) {
            Ok(None) => return Ok((before, end, sum)),
            Ok(Some((kept, next))) => {
                let refused = |what| CheckpointError::Damaged { path: path(), what };
                before.extend(challenge, kept).map_err(|what| refused(what.to_string()))?;
                sum = next;
            }
            Err(ReadError::Io(cause)) => return Err(failed(cause)),
            Err(ReadError::Torn) => {
                let length = file.metadata().map_err(failed)?.len();
                tracing::warn!(
                    "{}: the last {} bytes do not verify and are dropped; going on after \
                     iteration {}",
                    path().display(),
                    length.saturating_sub(end),
                    before.through()
                );
                return Ok((before, end, sum));
            }
        }
    }
}

/// What appends to the file from `end` on.
fn appender(
    mut file: File,
    path: PathBuf,
    end: u64,
    mut sum: Digest,
) -> std::io::Result<impl FnMut(&Kept) -> bool + Send + 'static> {
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(move |kept: &Kept| {
        let write = || -> std::io::Result<Digest> {
            let mut buffered = BufWriter::with_capacity(1 << 16, &file);
            let next = record::write(&mut buffered, kept, &sum)?;
            buffered.flush()?;
            drop(buffered);
            file.sync_data()?;
            Ok(next)
        };
        match write() {
            Ok(next) => {
                sum = next;
                tracing::debug!("{}: kept up to iteration {}", path.display(), kept.last);
                true
            }
            Err(error) => {
                tracing::warn!(
                    "{}: {error}; the run goes on, and would be resumed before iteration {}",
                    path.display(),
                    kept.first
                );
                false
            }
        }
    })
}

/// The UUIDs of the lanes that `file` was begun on, in lane order; `None` if
/// there is no file. Neither records nor the challenge are looked at.
///
/// # Errors
/// [`CheckpointError`].
pub fn uuids(path: &Path) -> Result<Option<Vec<Uuid>>, CheckpointError> {
    let opened = files::check_ours(path).and_then(|()| File::open(path));
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(CheckpointError::Io { path: path.to_owned(), cause }),
        Ok(file) => file,
    };
    match Head::read(&mut file) {
        Ok((head, _)) => Ok(Some(head.uuids)),
        Err(found) => Err(found.at(path.to_owned())),
    }
}

/// Removes a checkpoint that has served.
///
/// # Errors
/// [`CheckpointError::Io`]; a file that is gone already is not an error.
pub fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(CheckpointError::Io { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}
