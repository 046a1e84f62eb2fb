//! What a run hands out at sync points, so that it can be gone on with later.
//!
//! Guarantees: never more than one sync point is on its way, so a slow disk
//! makes them rarer and neither stalls the lanes nor fills the memory; what is
//! handed out belongs to one sync point of all lanes.
//! Deliberately lacks: files; whoever starts the [`Checkpointer`] writes them.

use crate::executor::SmTiles;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Root, State};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Everything since the last sync point that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The first iteration in it.
    pub first: u32,
    /// The last one, a sync point.
    pub last: u32,
    /// How long the lanes had run by then, earlier processes included.
    pub elapsed: Duration,
    /// In lane order.
    pub lanes: Vec<KeptLane>,
}

/// One lane's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLane {
    /// s(g, last).
    pub state: State,
    /// D(g, first) … D(g, last).
    pub roots: Vec<Root>,
    /// Their tiles' roots, iteration after iteration.
    pub tile_roots: Vec<Digest>,
    /// Tiles per SM of all iterations up to `last`.
    pub sm_tiles: SmTiles,
}

/// Decides which sync points are kept, and takes them to a thread of its own.
pub struct Checkpointer {
    interval: Duration,
    gathering: Mutex<Gathering>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Gathering {
    last_kept: Instant,
    parts: Vec<Option<KeptLane>>,
    sender: Option<SyncSender<Kept>>,
}

impl Checkpointer {
    /// Keeps a sync point when `interval` has passed since the last one. `keep`
    /// runs on a thread of its own; if it says that it could not, nothing
    /// more is kept.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        lanes: usize,
        interval: Duration,
        mut keep: impl FnMut(&Kept) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Kept>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&busy);
        let work = move || {
            for kept in receiver {
                if !keep(&kept) {
                    // It stays busy: no sync point is due any more.
                    return;
                }
                shared.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work)?;
        let gathering =
            Gathering { last_kept: Instant::now(), parts: vec![None; lanes], sender: Some(sender) };
        Ok(Self { interval, gathering: Mutex::new(gathering), busy, thread: Some(thread) })
    }

    /// The least time between two sync points kept.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether the sync point that all lanes have just come to is kept. A yes
    /// has to be followed by every lane's [`Self::bring`].
    pub(super) fn due(&self) -> bool {
        !self.busy.load(Ordering::Acquire) && {
            let due = self.lock().last_kept.elapsed() >= self.interval;
            if due {
                self.busy.store(true, Ordering::Release);
            }
            due
        }
    }

    /// A lane's part; with the last one, the sync point is on its way.
    pub(super) fn bring(
        &self,
        lane: usize,
        (first, last): (u32, u32),
        elapsed: Duration,
        part: KeptLane,
    ) {
        let mut gathering = self.lock();
        gathering.parts[lane] = Some(part);
        if gathering.parts.iter().all(Option::is_some) {
            gathering.last_kept = Instant::now();
            let lanes = gathering.parts.iter_mut().filter_map(Option::take).collect();
            if let Some(sender) = &gathering.sender {
                // There is room: the thread is idle, or `due` had said no. It
                // has ended if it could not keep, which it has said.
                let _ = sender.send(Kept { first, last, elapsed, lanes });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Checkpointer {
    /// Waits for the sync point that is on its way.
    fn drop(&mut self) {
        self.lock().sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer").field("interval", &self.interval).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn part(byte: u8) -> KeptLane {
        KeptLane {
            state: State([byte; 32]),
            roots: vec![Root([byte; 32])],
            tile_roots: Vec::new(),
            sm_tiles: SmTiles::NotApplicable,
        }
    }

    #[test]
    fn a_sync_point_goes_out_with_its_last_lane() {
        let (sender, kept) = mpsc::channel();
        let keep = move |kept: &Kept| sender.send(kept.clone()).is_ok();
        let checkpointer = Checkpointer::start(2, Duration::ZERO, keep).unwrap();
        assert!(checkpointer.due());
        assert!(!checkpointer.due(), "one at a time");
        checkpointer.bring(1, (1, 3), Duration::ZERO, part(1));
        checkpointer.bring(0, (1, 3), Duration::ZERO, part(0));
        let Kept { first, last, lanes, .. } = kept.recv().unwrap();
        assert_eq!((first, last, lanes), (1, 3, vec![part(0), part(1)]));
    }

    #[test]
    fn after_a_failure_nothing_is_due() {
        let checkpointer = Checkpointer::start(1, Duration::ZERO, |_: &Kept| false).unwrap();
        assert!(checkpointer.due());
        checkpointer.bring(0, (1, 1), Duration::ZERO, part(0));
        // While it is at work nothing is due anyhow.
        while !checkpointer.thread.as_ref().expect("it was started").is_finished() {
            std::thread::yield_now();
        }
        assert!(!checkpointer.due());
    }

    #[test]
    fn before_its_time_nothing_is_due() {
        let checkpointer =
            Checkpointer::start(1, Duration::from_secs(3600), |_: &Kept| true).unwrap();
        assert!(!checkpointer.due());
    }
}
