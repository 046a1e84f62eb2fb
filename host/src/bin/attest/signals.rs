//! SIGINT and SIGTERM: the run is asked to stop, and if that takes longer than
//! [`GRACE`], the process ends anyway. Either way the exit code is 130 or 143
//! and no file is left half-written.
//!
//! A second signal during that time changes nothing: there is less than a second to
//! wait. A command that has more to settle asks for more time; then a second signal
//! ends the process at once. One that drains, and is to finish what it has, is told of the
//! second signal too, and has [`URGENT`] from then on.

use attest::{files, streams};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the run has to end by itself. An iteration on a CPU can take longer.
const GRACE: Duration = Duration::from_millis(600);
/// How long a command that drains has after that: its peers are told.
const URGENT: Duration = Duration::from_secs(5);
/// How often a second signal is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Shared between the signal thread and the command that runs.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
    /// How long settling may take, ms; 0 if there is nothing to settle.
    settling_ms: Arc<AtomicU64>,
    /// Set by a second signal, if the command drains.
    urgent: Arc<AtomicBool>,
    /// Whether the command drains.
    drains: Arc<AtomicBool>,
}

impl Stop {
    /// Starts the thread that waits for signals.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn listen() -> std::io::Result<Self> {
        let stop = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let shared = stop.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                shared.signal.store(signal, Ordering::SeqCst);
                shared.flag.store(true, Ordering::SeqCst);
                shared.wait(&mut signals);
                end_now(signal);
            }
        })?;
        Ok(stop)
    }

    /// Gives the command so long to settle what is under way, from the first signal to a
    /// second one.
    pub fn settle_within(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.settling_ms.store(limit_ms, Ordering::SeqCst);
    }

    /// As [`Stop::settle_within`]; the flag that comes back is set by a second signal, or
    /// when the time is over, for what must then stop without being finished.
    pub fn drain_within(&self, limit: Duration) -> Arc<AtomicBool> {
        self.settle_within(limit);
        self.drains.store(true, Ordering::SeqCst);
        Arc::clone(&self.urgent)
    }

    /// Waits for as long as the command may take to end by itself.
    fn wait(&self, signals: &mut Signals) {
        let settling = Duration::from_millis(self.settling_ms.load(Ordering::SeqCst));
        if settling.is_zero() {
            return std::thread::sleep(GRACE);
        }
        let asked = Instant::now();
        while asked.elapsed() < settling && signals.pending().next().is_none() {
            std::thread::sleep(LOOK);
        }
        if self.drains.load(Ordering::SeqCst) {
            self.urgent.store(true, Ordering::SeqCst);
            std::thread::sleep(URGENT);
        }
    }

    /// True once a signal has come. Executors look at it between iterations.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    /// 128 + the signal, if one has come.
    pub fn exit_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(128 + signal as u8),
        }
    }
}

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error of that write,
/// which removes what it began; by default the process is killed.
pub fn survive_file_size_limit() {
    // A handler that does nothing: other than an ignored signal, a command that is started
    // does not inherit it. If the system refuses it, all is as it was.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// Ends the process without unwinding: other threads may be deep in a product
/// or in the driver.
fn end_now(signal: i32) -> ! {
    let _guard = files::no_write_under_way();
    // The progress bar hides the cursor.
    let cursor = if std::io::stderr().is_terminal() { "\r\x1b[K\x1b[?25h" } else { "" };
    streams::last_words(&format!("{cursor}stopped\n"));
    signal_hook::low_level::exit(128 + signal)
}
