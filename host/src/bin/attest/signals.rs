//! SIGINT and SIGTERM: the run is asked to stop, and if that takes longer than
//! [`GRACE`], the process ends anyway. Either way the exit code is 130 or 143
//! and no file is left half-written.
//!
//! A second signal during the grace period changes nothing: there is less than
//! a second to wait.

use attest::files;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// How long the run has to end by itself. An iteration on a CPU can take longer.
const GRACE: Duration = Duration::from_millis(600);

/// Shared between the signal thread and the command that runs.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
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
                std::thread::sleep(GRACE);
                end_now(signal);
            }
        })?;
        Ok(stop)
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
    // does not inherit it. Where the system refuses it, all is as it was.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// Ends the process without unwinding: other threads may be deep in a product
/// or in the driver.
fn end_now(signal: i32) -> ! {
    let _guard = files::no_write_under_way();
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // The progress bar hides the cursor.
        let _ = write!(stderr, "\r\x1b[K\x1b[?25h");
    }
    let _ = writeln!(stderr, "stopped");
    signal_hook::low_level::exit(128 + signal)
}
