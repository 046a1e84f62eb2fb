//! Threads that nobody waits for any more, because a driver does not return.
//!
//! Guarantees: whoever waits with `within` goes on in time; whoever ends the
//! process can know that there are such threads, and end it in spite of them.

use crate::files;
use std::io::{self, Write as _};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Of this process, which has one driver.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether a thread was left in a call that did not return in time. Then the
/// process has to end with [`exit`].
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// Notes that a thread is left to itself.
pub(crate) fn note() {
    ANY.store(true, Ordering::Relaxed);
}

/// Ends the process, after any write of a file under way, without libc's
/// handlers: the driver's is among them, and waits for the thread that hangs or
/// takes away what it uses.
pub fn exit(code: u8) -> ! {
    let _guard = files::no_write_under_way();
    // Standard error has no buffer.
    let _ = io::stdout().flush();
    signal_hook::low_level::exit(code.into())
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It did not return in time.
    Hangs,
    /// The system gives no thread to ask on.
    NoThread(io::Error),
}

/// What `work` returns, on a thread of its own. A panic goes on here.
///
/// # Errors
/// [`NoAnswer`]: that takes longer than `limit`, or there is no thread.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let (sender, done) = mpsc::channel();
    let asking = move || {
        // The receiver is gone only if the thread was given up.
        let _ = sender.send(work());
    };
    let thread = std::thread::Builder::new().spawn(asking).map_err(NoAnswer::NoThread)?;
    match done.recv_timeout(limit) {
        Ok(done) => Ok(done),
        Err(RecvTimeoutError::Timeout) => {
            note();
            Err(NoAnswer::Hangs)
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => Err(NoAnswer::Hangs),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_return_is_given_up_and_noted() {
        assert_eq!(within(Duration::from_secs(60), || 7).ok(), Some(7));
        let hung = within(Duration::from_millis(20), || {
            loop {
                std::thread::park();
            }
        });
        assert!(matches!(hung, Err::<u8, _>(NoAnswer::Hangs)));
        assert!(any());
    }

    #[test]
    #[should_panic = "an index was out of range"]
    fn a_panic_goes_on_where_it_was_waited_for() {
        let _ = within(Duration::from_secs(60), || panic!("an index was out of range"));
    }
}
