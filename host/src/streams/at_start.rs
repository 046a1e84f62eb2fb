//! Which standard streams were closed when the program started.
//!
//! Rust's runtime opens the null device for each of them before `main`, and from then
//! on nobody can tell `>&-` from `>/dev/null`. So this is looked up before it, by a
//! function in `.init_array`.

use std::sync::atomic::{AtomicBool, Ordering};

static STDIN_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard input was closed.
pub(super) fn is_stdin_closed() -> bool {
    STDIN_CLOSED.load(Ordering::Relaxed)
}

/// Whether standard output was closed.
pub(super) fn is_stdout_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

// SAFETY: the linker puts the pointer into the table of functions that libc calls, with
// the C calling convention, once, before `main` and before any other thread. The
// function does two system calls and two stores: it needs nothing of Rust's runtime,
// which is not there yet, and does not unwind.
#[allow(unsafe_code, reason = "nothing else runs before the runtime opens the streams")]
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[cfg(target_os = "linux")]
extern "C" fn look() {
    use rustix::io::{Errno, fcntl_getfd};
    let closed = |fd| matches!(fcntl_getfd(fd), Err(Errno::BADF));
    STDIN_CLOSED.store(closed(rustix::stdio::stdin()), Ordering::Relaxed);
    STDOUT_CLOSED.store(closed(rustix::stdio::stdout()), Ordering::Relaxed);
}
