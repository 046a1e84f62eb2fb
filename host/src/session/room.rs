//! How much of a validator's machine its sessions may use at once, all together.
//!
//! Guarantees: what is parsed at any moment takes no more than [`READING_BYTES_MAX`],
//! and no more threads than all cores but one; no more verifications at once than there
//! are cores. Everyone waits in the order of coming.
//! Deliberately lacks: a bound on lines that are still coming. Theirs is the challenge's;
//! to let one miner's slow line hold up another's would be worse.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Most bytes that lines being read, and what becomes of them, take together.
pub const READING_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes of one permit.
const UNIT_BYTES: u64 = 64 * 1024;
const UNITS: u32 = (READING_BYTES_MAX / UNIT_BYTES) as u32;

/// What sessions share.
pub(super) struct Room {
    readers: Semaphore,
    reading: Semaphore,
    judging: Semaphore,
}

/// A place in it, until it is dropped.
pub(super) struct Place<'a> {
    _reader: Option<SemaphorePermit<'a>>,
    _bytes: Option<SemaphorePermit<'a>>,
}

impl Default for Room {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            // One core is left to those who read and stamp what comes.
            readers: Semaphore::new((cores - 1).max(1)),
            reading: Semaphore::new(UNITS as usize),
            judging: Semaphore::new(cores),
        }
    }
}

impl Room {
    /// Waits for a place to parse what takes `bytes`; what takes more than there is gets
    /// all of it.
    pub(super) async fn for_reading(&self, bytes: u64) -> Place<'_> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS).min(UNITS);
        // None of them is ever closed.
        let _bytes = self.reading.acquire_many(units).await.ok();
        let _reader = self.readers.acquire().await.ok();
        Place { _reader, _bytes }
    }

    /// Waits for a turn to verify.
    pub(super) async fn for_judging(&self) -> Place<'_> {
        Place { _reader: self.judging.acquire().await.ok(), _bytes: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_parsed_at_once_is_bounded_in_bytes() {
        let room = Room { readers: Semaphore::new(100), ..Room::default() };
        let half = READING_BYTES_MAX / 2;
        let first = now(room.for_reading(half)).expect("room");
        let second = now(room.for_reading(half)).expect("room");
        assert!(now(room.for_reading(1)).is_none());
        drop(first);
        let small = now(room.for_reading(1)).expect("room");
        assert!(now(room.for_reading(u64::MAX)).is_none());
        drop((second, small));
        assert!(now(room.for_reading(u64::MAX)).is_some(), "alone it has all there is");
    }

    #[test]
    fn no_more_is_parsed_at_once_than_there_are_threads_for() {
        let room = Room { readers: Semaphore::new(2), ..Room::default() };
        let places = [1, 1].map(|bytes| now(room.for_reading(bytes)).expect("a place"));
        assert!(now(room.for_reading(1)).is_none());
        drop(places);
        assert!(now(room.for_reading(1)).is_some());
    }
}
