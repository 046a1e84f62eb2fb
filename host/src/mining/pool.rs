//! Executors that are ready before a challenge comes, lent to one run after another.
//!
//! ```text
//! Pool::warm ─ opens, computes, measures     before a miner's hello
//! Pool::lend ─ the first of them, in order   for a challenge, if they can do it in time
//! Lent       ─ comes back when it is dropped, whatever the run came to
//! Loan       ─ over when the run is: what has not come back by then hangs
//! Pool::recover                              between sessions
//! ```
//!
//! Guarantees: whatever is lent has computed before, and its speed is known; what
//! failed or panicked is not lent again before it was opened anew, what hangs never.
//! Deliberately lacks: knowledge of sessions, and waiting for what is lent.

mod lent;
mod speed;

use super::devices::DeviceRules;
use super::executors::{Choice, ChooseError, Chosen, Lanes, Machine, open_from};
use crate::evidence::present_gpus;
use crate::executor::abandoned::{self, NoAnswer};
use crate::executor::cpu::{CpuExecutor, CpuOptions};
use crate::executor::gpu::{DeviceList, GpuExecutor, GpuOptions, NoGpu};
use crate::executor::{ExecError, Executor, LaneFacts};
use crate::protocol::challenge::{Challenge, LANES_MAX};
use crate::protocol::evidence::document::RunNotes;
use crate::protocol::quantity::about;
use lent::Lent;
use speed::warmed;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use speed::TOLERANCE;

/// Opens a GPU by its index.
pub type Open = dyn Fn(u32) -> Result<Box<dyn Executor>, ExecError> + Send + Sync;

/// Longest that a device may take to compute a little, or to give up its memory: a
/// driver that does not return is given up.
const DEVICE_LIMIT: Duration = Duration::from_secs(120);

/// Executors, ready or lent.
pub struct Pool {
    slots: Slots,
    notes: RunNotes,
    no_gpu: Option<NoGpu>,
    open: Arc<Open>,
    loans: AtomicU64,
}

type Slots = Arc<Mutex<Vec<Slot>>>;

/// Executors for one run, and the loan's end. Drop the executors first.
pub struct Lending {
    /// One a lane, in lane order.
    pub chosen: Chosen,
    /// Kept until the run is over.
    pub loan: Loan,
}

/// A run with executors of a pool. Dropped when the run is over: what has not come back
/// by then is in a driver that hangs, and is given up.
pub struct Loan {
    slots: Slots,
    number: u64,
}

impl Drop for Loan {
    fn drop(&mut self) {
        for slot in lock(&self.slots).iter_mut().filter(|slot| slot.is_out(self.number)) {
            tracing::warn!("{} did not come back and is not used any more", slot.facts.model);
            slot.place = Place::Gone;
        }
    }
}

struct Slot {
    facts: LaneFacts,
    /// A GPU's index; `None`: the CPU.
    index: Option<u32>,
    /// Multiply-adds a second, the most that were seen.
    rate: f64,
    place: Place,
}

enum Place {
    /// The executor, ready for a session.
    Ready(Box<dyn Executor>),
    /// Computing in the loan of this number, or on its way back.
    Out(u64),
    /// In hand: being made ready.
    InHand,
    /// It failed: to be opened anew.
    Lost,
    /// Its executor hangs and is not used any more.
    Gone,
}

/// Why nothing is lent. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum LendError {
    /// Fewer or more lanes than the challenge takes.
    #[error(transparent)]
    Lanes(#[from] ChooseError),
    /// The last run is not over: it ends with its iteration.
    #[error("the devices are still at work for a session that is over\nTry again later.")]
    AtWork,
    /// None is left.
    #[error("no device works any more\nSee this program's log, and start it again.")]
    NoneWorks,
    /// The work cannot be done in time.
    #[error(
        "the work takes about {needed} at the {} measured on the slowest device, \
         and {allowed} are allowed\n\
         Ask for less work, or allow more time.",
        about(1e12 * tflops, "FLOP/s")
    )]
    TooSlow {
        /// At the measured speed, with its unit.
        needed: String,
        /// The measured speed.
        tflops: f64,
        /// By the challenge and the session, with its unit.
        allowed: String,
    },
}

impl Pool {
    /// Opens every executor that `choice` and `rules` allow, has each compute a
    /// little and measures its speed.
    ///
    /// # Errors
    /// As [`choose_with`](super::executors::choose_with), also for a device that does
    /// not compute.
    pub fn warm(choice: &Choice, rules: &DeviceRules) -> Result<Self, ChooseError> {
        let open = |index| {
            let gpu = GpuExecutor::open_in_time(index, GpuOptions::default())?;
            Ok(Box::new(gpu) as Box<dyn Executor>)
        };
        Self::warm_from(choice, rules, &present_gpus, Arc::new(open))
    }

    /// [`Pool::warm`] on another machine than this.
    ///
    /// # Errors
    /// As [`Pool::warm`].
    pub fn warm_from(
        choice: &Choice,
        rules: &DeviceRules,
        devices: &dyn Fn() -> Result<DeviceList, NoGpu>,
        open: Arc<Open>,
    ) -> Result<Self, ChooseError> {
        // Of those that opened and computed, in the order of the executors.
        let mut seen: Vec<(u32, f64)> = Vec::new();
        let mut open_warm = |index| {
            let (executor, rate) = warmed(open(index)?, DEVICE_LIMIT)?;
            seen.push((index, rate));
            Ok(executor)
        };
        let machine = Machine { cpu: CpuOptions::default(), devices, open: &mut open_warm };
        let Chosen { executors, no_gpu, notes } =
            open_from(choice, rules, Lanes::AtMost(LANES_MAX), machine)?;
        let mut slots = Vec::new();
        for (lane, executor) in executors.into_iter().enumerate() {
            let (executor, index, rate) = match seen.get(lane) {
                Some(&(index, rate)) => (executor, Some(index), rate),
                None => {
                    let (executor, rate) = warmed(executor, DEVICE_LIMIT)?;
                    (executor, None, rate)
                }
            };
            let facts = executor.facts().clone();
            slots.push(Slot { facts, index, rate, place: Place::Ready(executor) });
        }
        Ok(Self {
            slots: Arc::new(Mutex::new(slots)),
            notes,
            no_gpu,
            open,
            loans: AtomicU64::new(0),
        })
    }

    /// Why the CPU stands in for a GPU, if it does.
    pub fn no_gpu(&self) -> Option<&NoGpu> {
        self.no_gpu.as_ref()
    }

    /// What is ready, in lane order.
    ///
    /// # Errors
    /// [`LendError::AtWork`] and [`LendError::NoneWorks`].
    pub fn ready(&self) -> Result<Vec<LaneFacts>, LendError> {
        let slots = lock(&self.slots);
        Ok(ready_of(&slots)?.into_iter().map(|at| slots[at].facts.clone()).collect())
    }

    /// Multiply-adds a second of each that is ready, in lane order.
    pub fn rates(&self) -> Vec<f64> {
        let slots = lock(&self.slots);
        slots.iter().filter(|slot| slot.is_ready()).map(|slot| slot.rate).collect()
    }

    /// The first executors that are ready, as many as `challenge` takes. They come
    /// back when they are dropped.
    ///
    /// # Errors
    /// [`LendError`]; [`LendError::TooSlow`] if the work takes more than
    /// [`TOLERANCE`] times `limit` at the highest speed that was seen.
    pub fn lend(&self, challenge: &Challenge, limit: Duration) -> Result<Lending, LendError> {
        let mut slots = lock(&self.slots);
        let lanes = Lanes::of(challenge);
        let mut ready = ready_of(&slots)?;
        ready.truncate(lanes.most() as usize);
        lanes.check(ready.len())?;
        let rate = ready.iter().map(|&at| slots[at].rate).fold(f64::INFINITY, f64::min);
        speed::check_time(challenge, rate, limit)?;
        let number = self.loans.fetch_add(1, Ordering::Relaxed);
        let mut executors: Vec<Box<dyn Executor>> = Vec::new();
        for at in ready {
            match std::mem::replace(&mut slots[at].place, Place::Out(number)) {
                Place::Ready(executor) => {
                    let slots = Arc::clone(&self.slots);
                    executors.push(Box::new(Lent::new(executor, at, number, slots)));
                }
                place => slots[at].place = place,
            }
        }
        let chosen = Chosen { executors, no_gpu: self.no_gpu.clone(), notes: self.notes.clone() };
        Ok(Lending { chosen, loan: Loan { slots: Arc::clone(&self.slots), number } })
    }

    /// Between two runs: has executors give up the memory of the last one, and opens
    /// again what failed. What does not open stays out, and is warned of.
    pub fn recover(&self) {
        let count = lock(&self.slots).len();
        for at in 0..count {
            let (place, facts, index) = {
                let mut slots = lock(&self.slots);
                let slot = &mut slots[at];
                if !matches!(slot.place, Place::Ready(_) | Place::Lost) {
                    continue;
                }
                let place = std::mem::replace(&mut slot.place, Place::InHand);
                (place, slot.facts.clone(), slot.index)
            };
            let place = match place {
                Place::Ready(executor) => rested(executor),
                _ => self.reopened(&facts, index),
            };
            lock(&self.slots)[at].place = place;
        }
    }

    fn reopened(&self, facts: &LaneFacts, index: Option<u32>) -> Place {
        let opened = match index {
            Some(index) => (self.open)(index),
            None => {
                let cpu = CpuExecutor::new(CpuOptions {
                    uuid: Some(facts.uuid),
                    ..CpuOptions::default()
                });
                Ok(Box::new(cpu) as Box<dyn Executor>)
            }
        };
        let warm = opened.and_then(|executor| warmed(executor, DEVICE_LIMIT));
        match warm {
            Ok((executor, _)) if executor.facts().uuid == facts.uuid => {
                tracing::info!("{} is open again", facts.model);
                Place::Ready(executor)
            }
            Ok((executor, _)) => {
                let now = executor.facts().uuid;
                tracing::warn!("{} is not used any more: its UUID is {now} now", facts.model);
                Place::Lost
            }
            Err(error) => {
                tracing::warn!("{} is not used for now: {error}", facts.model);
                Place::Lost
            }
        }
    }
}

/// `executor` without the memory of its last run.
fn rested(mut executor: Box<dyn Executor>) -> Place {
    let rested = abandoned::within(DEVICE_LIMIT, move || {
        let rested = catch_unwind(AssertUnwindSafe(|| executor.rest()));
        rested.map(|()| executor)
    });
    match rested {
        Ok(Ok(executor)) => Place::Ready(executor),
        // It was dropped, in its panic or for want of a thread.
        Ok(Err(_)) | Err(NoAnswer::NoThread(_)) => Place::Lost,
        Err(NoAnswer::Hangs) => Place::Gone,
    }
}

impl Slot {
    fn is_ready(&self) -> bool {
        matches!(self.place, Place::Ready(_))
    }

    fn is_out(&self, loan: u64) -> bool {
        matches!(self.place, Place::Out(number) if number == loan)
    }
}

/// The slots that are ready, while nothing is out.
fn ready_of(slots: &[Slot]) -> Result<Vec<usize>, LendError> {
    if slots.iter().any(|slot| matches!(slot.place, Place::Out(_) | Place::InHand)) {
        return Err(LendError::AtWork);
    }
    let ready: Vec<usize> = (0..slots.len()).filter(|&at| slots[at].is_ready()).collect();
    if ready.is_empty() { Err(LendError::NoneWorks) } else { Ok(ready) }
}

fn lock(slots: &Slots) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
