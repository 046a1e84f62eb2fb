//! What was read and not taken yet, between the task that reads and the session.
//!
//! Guarantees: every piece has the time at which its last byte was read, and no line
//! break a later one than its own; reading pauses while more waits than the session
//! wants, in bytes or in pieces; neither side ever waits for the other while it holds
//! the lock.
//! Deliberately lacks: streams and clocks.

use super::clock::Now;
use super::limits::SMALL_BYTES_MAX;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most pieces that wait: of lines of no length each has its own.
const PIECES_MAX: usize = 1024;

/// Pieces that wait, the oldest first.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    came: Notify,
    left: Notify,
}

struct Waiting {
    pieces: VecDeque<Piece>,
    bytes: usize,
    wanted: u64,
    closed: Option<Now>,
    is_told: bool,
}

struct Piece {
    /// When its last byte was read.
    at: Now,
    bytes: Vec<u8>,
    has_line_break: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        let waiting = Waiting {
            pieces: VecDeque::new(),
            bytes: 0,
            wanted: SMALL_BYTES_MAX,
            closed: None,
            is_told: false,
        };
        Self { waiting: Mutex::new(waiting), came: Notify::new(), left: Notify::new() }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that panics is done under it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes may wait from now on.
    pub(super) fn want(&self, bytes: u64) {
        let mut waiting = self.lock();
        let is_more = bytes > waiting.wanted;
        waiting.wanted = bytes;
        drop(waiting);
        if is_more {
            self.left.notify_one();
        }
    }

    /// Returns when there is room.
    pub(super) async fn has_room(&self) {
        loop {
            {
                let waiting = self.lock();
                let is_full = waiting.bytes as u64 > waiting.wanted;
                if !is_full && waiting.pieces.len() < PIECES_MAX {
                    return;
                }
            }
            self.left.notified().await;
        }
    }

    /// Adds what was read at this time. A piece without a line break takes in what
    /// comes after it: until its end is there it is of no use.
    pub(super) fn put(&self, at: Now, bytes: &[u8]) {
        let mut waiting = self.lock();
        waiting.bytes += bytes.len();
        let has_line_break = bytes.contains(&b'\n');
        match waiting.pieces.back_mut().filter(|last| !last.has_line_break) {
            Some(last) => {
                last.bytes.extend_from_slice(bytes);
                (last.at, last.has_line_break) = (at, has_line_break);
            }
            None => {
                let bytes = bytes.to_vec();
                waiting.pieces.push_back(Piece { at, bytes, has_line_break });
            }
        }
        drop(waiting);
        self.came.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self, at: Now) {
        self.lock().closed = Some(at);
        self.came.notify_one();
    }

    /// The next piece and when it was read; once, after the last one, `None`.
    pub(super) async fn take(&self) -> (Now, Option<Vec<u8>>) {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(Piece { at, bytes, .. }) = waiting.pieces.pop_front() {
                    waiting.bytes -= bytes.len();
                    drop(waiting);
                    self.left.notify_one();
                    return (at, Some(bytes));
                }
                if let Some(at) = waiting.closed.filter(|_| !waiting.is_told) {
                    waiting.is_told = true;
                    return (at, None);
                }
            }
            self.came.notified().await;
        }
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    fn at(s: u64) -> Now {
        Now { since_start: Duration::from_secs(s), unix_ms: s }
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_line_has_the_time_of_its_end_and_no_later_one() {
        let inbox = Inbox::default();
        for (s, bytes) in [(1, "a"), (2, "b"), (3, "c\nd"), (4, "e\n"), (5, "f")] {
            inbox.put(at(s), bytes.as_bytes());
        }
        inbox.close(at(6));
        let mut taken = Vec::new();
        while let Some((at, Some(piece))) = now(inbox.take()) {
            taken.push((at.unix_ms, String::from_utf8(piece).unwrap()));
        }
        let expected = [(3, "abc\nd".to_owned()), (4, "e\n".to_owned()), (5, "f".to_owned())];
        assert_eq!(taken, expected);
        assert_eq!(now(inbox.take()), None, "the end is told once");
    }

    #[test]
    fn no_more_waits_than_is_wanted() {
        let inbox = Inbox::default();
        inbox.want(3);
        inbox.put(at(1), b"abc");
        assert!(now(inbox.has_room()).is_some());
        inbox.put(at(1), b"d");
        assert!(now(inbox.has_room()).is_none());
        inbox.want(4);
        assert!(now(inbox.has_room()).is_some());
        inbox.want(0);
        assert!(now(inbox.has_room()).is_none());
        assert!(now(inbox.take()).is_some());
        assert!(now(inbox.has_room()).is_some());
        // Lines of no length.
        inbox.want(1 << 20);
        for _ in 0..PIECES_MAX {
            assert!(now(inbox.has_room()).is_some());
            inbox.put(at(1), b"\n");
        }
        assert!(now(inbox.has_room()).is_none());
    }
}
