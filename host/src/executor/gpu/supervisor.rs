//! How long a device may take: what it was asked to do, since when, and when that
//! is too long.
//!
//! ```text
//! the thread that uses the device      begin ─ launched … ─ completed ─ end
//! whoever called `supervised`          looks ten times a second ─ overdue: the error
//! ```
//!
//! Guarantees: whoever calls [`supervised`] goes on in time, whichever call of the
//! driver does not return, and is told which kernel the device is at.
//! Deliberately lacks: an end for the kernel. Only the end of the process takes the
//! device from it; its thread is left to itself ([`abandoned`]).

use super::driver::Trail;
use crate::executor::{ExecError, abandoned};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a device may take beyond what its work does at 10¹⁰ units a second, unless
/// the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// For the driver's own work when it compiles kernels, too.
const OPENING_LIMIT: Duration = Duration::from_secs(600);
/// Units of work, a multiply-add each, that the slowest device that anybody would
/// use does in a second. Lanes have the same figure.
const UNITS_PER_S: u64 = 10_000_000_000;
/// How often a supervisor looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the driver may take to say which kernel a device is at.
const QUERY_LIMIT: Duration = Duration::from_secs(5);

/// What the thread that uses a device tells of it, and whoever watches reads. Clones
/// are the same; the default one listens to nothing.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    patience: Duration,
    state: Mutex<State>,
    trail: Mutex<Trail>,
}

impl Supervisor {
    /// One that lets a device take `patience` longer than its work does on a slow one.
    pub fn new(patience: Duration) -> Self {
        let state = Mutex::new(State::new(Instant::now()));
        let trail = Mutex::new(Trail::default());
        Self { shared: Some(Arc::new(Shared { patience, state, trail })) }
    }

    /// Whether it listens.
    pub fn is_some(&self) -> bool {
        self.shared.is_some()
    }

    /// Names what all calls from here on are for, such as "n=128 m=1".
    pub fn set_task(&self, task: impl Into<String>) {
        self.with(|state, _| state.task = task.into());
    }

    /// Names the kernels that are launched from here on, such as "sm_80/gemm_fma".
    pub(super) fn set_variant(&self, variant: impl Into<String>) {
        self.with(|state, _| state.variant = variant.into());
    }

    /// The device is asked for `what`, until the guard goes.
    pub(super) fn begin(&self, what: impl Into<String>) -> Doing {
        let patience = self.shared.as_ref().map_or(PATIENCE, |shared| shared.patience);
        self.begin_within(patience, what)
    }

    /// As [`Supervisor::begin`], for what compiles kernels or loads libraries.
    pub(super) fn begin_loading(&self, what: impl Into<String>) -> Doing {
        let patience = self.shared.as_ref().map_or(PATIENCE, |shared| shared.patience);
        self.begin_within(patience.max(OPENING_LIMIT), what)
    }

    fn begin_within(&self, allowance: Duration, what: impl Into<String>) -> Doing {
        self.with(|state, now| state.begin(what.into(), allowance, now));
        Doing { supervisor: self.clone() }
    }

    /// This many units of work are recorded as part of a graph.
    pub(super) fn recorded(&self, work: u64) {
        self.with(|state, _| state.enqueued = state.enqueued.saturating_add(work));
    }

    /// A kernel with this many units of work is on its way. Returns its number.
    pub(super) fn launched(&self, kernel: &'static str, work: u64) -> u64 {
        self.with(|state, now| state.launched(kernel, work, now)).unwrap_or(0)
    }

    /// All work that is on its way or done, units.
    pub(super) fn enqueued(&self) -> u64 {
        self.with(|state, _| state.enqueued).unwrap_or(0)
    }

    /// What was enqueued since it was `before` was only recorded; returns it, units.
    pub(super) fn take_back(&self, before: u64) -> u64 {
        let taken = self.with(|state, _| {
            let taken = state.enqueued.saturating_sub(before);
            state.enqueued -= taken;
            taken
        });
        taken.unwrap_or(0)
    }

    /// The device has done what was enqueued up to `through`.
    pub(super) fn completed(&self, through: u64) {
        let idle = self.with(|state, now| state.completed(through, now));
        if idle == Some(true) {
            self.trail(Trail::recycle);
        }
    }

    /// Launches leave no marks until the guard goes, for the sake of their speed.
    pub(super) fn without_marks(&self) -> Unmarked {
        self.trail(|trail| trail.paused = true);
        Unmarked { supervisor: self.clone() }
    }

    /// Has `use_trail` look at the marks between launches, or set one.
    pub(super) fn trail<T>(&self, use_trail: impl FnOnce(&mut Trail) -> T) -> Option<T> {
        let shared = self.shared.as_ref()?;
        Some(use_trail(&mut shared.trail.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> Option<T> {
        let shared = self.shared.as_ref()?;
        Some(change(&mut shared.state(), Instant::now()))
    }

    /// What is overdue `now`, and since when it has been waited for.
    fn overdue(&self, now: Instant) -> Option<Overdue> {
        self.shared.as_ref()?.state().overdue(now)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that a device is asked for; it is over when this goes.
#[derive(Debug)]
#[must_use]
pub(super) struct Doing {
    supervisor: Supervisor,
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.supervisor.with(State::end);
    }
}

/// While it lives launches leave no marks.
#[derive(Debug)]
#[must_use]
pub(super) struct Unmarked {
    supervisor: Supervisor,
}

impl Drop for Unmarked {
    fn drop(&mut self) {
        self.supervisor.trail(|trail| trail.paused = false);
    }
}

/// What is known of a device. Pure: time comes as a value.
#[derive(Debug)]
struct State {
    task: String,
    variant: String,
    /// What is asked for and how long that may take besides its work, the outermost
    /// first; empty: nothing is.
    doing: Vec<(String, Duration)>,
    /// The last sign of life.
    since: Instant,
    /// Launches of what is asked for.
    launches: u64,
    enqueued: u64,
    done: u64,
    /// Kernels that were launched since the device was idle, each once.
    outstanding: Vec<&'static str>,
}

/// Something that takes too long.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overdue {
    task: String,
    variant: String,
    doing: String,
    /// One of these does not end; empty: no kernel is on its way.
    kernels: Vec<&'static str>,
    waited: Duration,
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            task: String::new(),
            variant: String::new(),
            doing: Vec::new(),
            since: now,
            launches: 0,
            enqueued: 0,
            done: 0,
            outstanding: Vec::new(),
        }
    }

    fn begin(&mut self, what: String, allowance: Duration, now: Instant) {
        self.doing.push((what, allowance));
        (self.since, self.launches) = (now, 0);
    }

    fn end(&mut self, now: Instant) {
        self.doing.pop();
        self.since = now;
    }

    fn launched(&mut self, kernel: &'static str, work: u64, now: Instant) -> u64 {
        self.since = now;
        self.launches += 1;
        self.enqueued = self.enqueued.saturating_add(work);
        if !self.outstanding.contains(&kernel) {
            self.outstanding.push(kernel);
        }
        self.launches
    }

    /// Returns whether the device is idle.
    fn completed(&mut self, through: u64, now: Instant) -> bool {
        self.since = now;
        self.done = self.done.max(through.min(self.enqueued));
        let idle = self.done == self.enqueued;
        if idle {
            self.outstanding.clear();
        }
        idle
    }

    fn overdue(&self, now: Instant) -> Option<Overdue> {
        let (doing, allowance) = self.doing.last()?;
        let work = self.enqueued.saturating_sub(self.done);
        let limit = *allowance + Duration::from_secs(work.div_ceil(UNITS_PER_S));
        let waited = now.saturating_duration_since(self.since);
        (waited > limit).then(|| Overdue {
            task: self.task.clone(),
            variant: self.variant.clone(),
            doing: doing.clone(),
            kernels: self.outstanding.clone(),
            waited,
        })
    }
}

impl Overdue {
    /// `at`: the number and name of the launch that the device is at, if it is known.
    fn error(&self, device: &str, at: Option<(u64, &'static str)>) -> ExecError {
        let (doing, of) = (&self.doing, &self.variant);
        let what = match (at, &self.kernels[..]) {
            (Some((launch, kernel)), _) => format!("{kernel} of {of} (launch {launch} of {doing})"),
            (None, []) => doing.clone(),
            (None, [kernel]) => format!("{kernel} of {of} ({doing})"),
            (None, kernels) => format!("one of {} of {of} ({doing})", kernels.join(", ")),
        };
        let task = if self.task.is_empty() { String::new() } else { format!("{}: ", self.task) };
        ExecError::Hung {
            what: task + &what,
            device: device.to_owned(),
            waited_ms: self.waited.as_millis() as u64,
        }
    }
}

/// What the thread sends that uses the device.
enum Sent<E, T> {
    Event(E),
    Done(T),
}

/// What `work` returns, on a thread of its own; `tell` hands what it is given to
/// `on_event`, here. `device` is how the error calls it. A panic goes on here.
///
/// # Errors
/// [`ExecError::Hung`] if the device, as `supervisor` is told of it, takes too long.
pub(crate) fn supervised<E: Send + 'static, T: Send + 'static>(
    supervisor: &Supervisor,
    device: &str,
    work: impl FnOnce(&dyn Fn(E)) -> T + Send + 'static,
    on_event: &mut dyn FnMut(E),
) -> Result<T, ExecError> {
    let (sender, sent) = mpsc::channel();
    let supervised = move || {
        // The receiver is gone only if the thread was given up.
        let done = work(&|event| drop(sender.send(Sent::Event(event))));
        let _ = sender.send(Sent::Done(done));
    };
    let thread = std::thread::Builder::new().spawn(supervised).map_err(|error| {
        ExecError::NoThread { device: device.to_owned(), cause: error.to_string() }
    })?;
    loop {
        match sent.recv_timeout(LOOK_INTERVAL) {
            Ok(Sent::Event(event)) => on_event(event),
            Ok(Sent::Done(done)) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(overdue) = supervisor.overdue(Instant::now()) {
                    abandoned::note();
                    return Err(overdue.error(device, launch_under_way(supervisor)));
                }
            }
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("it sends before it ends"),
            },
        }
    }
}

/// The launch that the device is at, as far as the driver answers.
fn launch_under_way(supervisor: &Supervisor) -> Option<(u64, &'static str)> {
    let supervisor = supervisor.clone();
    let query = move || supervisor.trail(|trail| trail.first_not_done()).flatten();
    abandoned::within(QUERY_LIMIT, query).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn is_overdue(state: &State, now: Instant) -> bool {
        state.overdue(now).is_some()
    }

    #[test]
    fn the_deadline_is_what_is_granted_and_what_the_work_takes_on_a_slow_device() {
        let start = Instant::now();
        let mut state = State::new(start);
        assert!(!is_overdue(&state, start + 1000 * MINUTE), "nothing is asked for");
        state.begin("a run".to_owned(), MINUTE, start);
        assert!(!is_overdue(&state, start + MINUTE));
        let tick = Duration::from_millis(1);
        assert!(is_overdue(&state, start + MINUTE + tick));
        // Two launches of 5 s each, the second one a little later.
        state.launched("fill", 5 * UNITS_PER_S, start);
        state.launched("gemm_fma", 5 * UNITS_PER_S, start + tick);
        let limit = start + tick + MINUTE + Duration::from_secs(10);
        assert!(!is_overdue(&state, limit));
        let overdue = state.overdue(limit + tick).expect("too long");
        assert_eq!(overdue.kernels, ["fill", "gemm_fma"]);
        // What is done has its time no more, and is a sign of life.
        assert!(!state.completed(5 * UNITS_PER_S, limit));
        let limit = limit + MINUTE + Duration::from_secs(5);
        assert!(!is_overdue(&state, limit));
        assert!(is_overdue(&state, limit + tick));
        assert!(state.completed(10 * UNITS_PER_S, limit), "idle");
        state.end(limit);
        assert!(!is_overdue(&state, limit + 1000 * MINUTE), "nothing is asked for any more");
    }

    #[test]
    fn what_is_asked_for_inside_another_thing_has_its_own_deadline() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.begin("opening the device".to_owned(), 10 * MINUTE, start);
        state.begin("the exactness check".to_owned(), MINUTE, start);
        assert_eq!(state.overdue(start + 2 * MINUTE).expect("late").doing, "the exactness check");
        state.end(start + 2 * MINUTE);
        assert!(!is_overdue(&state, start + 12 * MINUTE));
        assert!(is_overdue(&state, start + 13 * MINUTE));
    }

    #[test]
    fn a_recording_is_no_work() {
        let supervisor = Supervisor::new(MINUTE);
        supervisor.launched("fill", 3);
        let before = supervisor.enqueued();
        supervisor.recorded(40);
        assert_eq!((supervisor.take_back(before), supervisor.enqueued()), (40, 3));
    }

    /// A kernel that never ends, as its thread sees it.
    fn hang(supervisor: &Supervisor) -> ! {
        let _doing = supervisor.begin("iterations 1 to 9");
        supervisor.launched("fill", 10);
        supervisor.launched("gemm_fma", 10);
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_hung_kernel_is_named_and_what_came_before_is_kept() {
        let supervisor = Supervisor::new(Duration::from_millis(20));
        supervisor.set_variant("x/gemm_fma");
        supervisor.set_task("n=128 m=1");
        let (own, mut events) = (supervisor.clone(), Vec::new());
        let ended = supervised(
            &supervisor,
            "GPU 3",
            move |tell| {
                tell("a row");
                hang(&own)
            },
            &mut |event| events.push(event),
        );
        let error: ExecError = match ended {
            Ok(()) => unreachable!("it hangs"),
            Err(error) => error,
        };
        let text = error.to_string();
        for part in ["GPU 3", "n=128 m=1", "x/gemm_fma", "one of fill, gemm_fma", "1 to 9", " s"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(matches!(error, ExecError::Hung { .. }));
        assert_eq!(events, ["a row"]);
        assert!(abandoned::any());
    }

    #[test]
    fn the_launch_that_the_device_is_at_is_named_by_number() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.variant = "sm_90a/gemm_m16n8k16".to_owned();
        state.begin("the exactness check".to_owned(), MINUTE, start);
        state.launched("fill", 1, start);
        state.launched("gemm_m16n8k16", 1, start);
        let overdue = state.overdue(start + 2 * MINUTE).expect("late");
        let text = overdue.error("GPU 0", Some((2, "gemm_m16n8k16"))).to_string();
        let expected = "gemm_m16n8k16 of sm_90a/gemm_m16n8k16 (launch 2 of the exactness check) \
                        hung on GPU 0: no end after 120 s";
        assert_eq!(text.lines().next(), Some(expected));
    }

    #[test]
    fn work_in_time_is_returned_and_slow_work_on_the_host_is_no_hang() {
        let supervisor = Supervisor::new(Duration::from_millis(1));
        let own = supervisor.clone();
        let work = move |_: &dyn Fn(())| {
            drop(own.begin("a run"));
            // Several looks of the watcher, and nothing asked of the device.
            std::thread::sleep(3 * LOOK_INTERVAL);
            7
        };
        assert_eq!(supervised(&supervisor, "GPU 0", work, &mut drop).expect("in time"), 7);
    }

    #[test]
    #[should_panic = "an index was out of range"]
    fn a_panic_goes_on_where_it_was_waited_for() {
        let supervisor = Supervisor::new(PATIENCE);
        let work = |_: &dyn Fn(())| panic!("an index was out of range");
        let _: Result<(), _> = supervised(&supervisor, "GPU 0", work, &mut drop);
    }
}
