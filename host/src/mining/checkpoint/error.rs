//! Why a run cannot go on from a checkpoint.

use crate::files::shown_path;
use std::path::PathBuf;

/// Why a checkpoint was not opened. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system's answer.
    #[error(
        "cannot use the checkpoint {}: {cause}\nCheck the path, its permissions and free space.",
        shown_path(path)
    )]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A run whose state is more than digests.
    #[error(
        "a run of {challenge_type} takes no checkpoint: its arena cannot be kept in a file\n\
         Leave the checkpoint out; such a run begins anew if it is stopped."
    )]
    Arena {
        /// The kind of work.
        challenge_type: &'static str,
    },
    /// Some other file.
    #[error(
        "{} is not a checkpoint of this program\nName a file that does not exist yet, or the right one.",
        shown_path(path)
    )]
    NotOne {
        /// Which file.
        path: PathBuf,
    },
    /// It was begun for another challenge.
    #[error(
        "{} belongs to another challenge, {got}\n\
         Give the challenge that it was begun with, or another file.",
        shown_path(path)
    )]
    OtherChallenge {
        /// Which file.
        path: PathBuf,
        /// Digest of the challenge in it.
        got: crate::protocol::digest::Digest,
    },
    /// It was begun on other devices, or on the same in another order.
    #[error(
        "{} was begun on other lanes: lane {lane} is {expected} there and {got} now\n\
         Run on the same devices in the same order (--devices), or begin a new file.",
        shown_path(path)
    )]
    OtherLanes {
        /// Which file.
        path: PathBuf,
        /// The first lane that differs.
        lane: usize,
        /// The UUID in the file, or "absent".
        expected: String,
        /// The UUID now, or "absent".
        got: String,
    },
    /// Another process runs with it.
    #[error(
        "{} is in use by another process\nWait for it, or name another file.",
        shown_path(path)
    )]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// Its head does not verify, or what verifies contradicts the chain.
    #[error("the checkpoint {} is damaged: {what}\nRemove it and begin again.", shown_path(path))]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
}
