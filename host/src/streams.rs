//! The standard streams, which wait until they are ready.
//!
//! A stream may have come non-blocking: O_NONBLOCK belongs to what is open, not to the
//! program, and ssh, Node.js or tmux leave it set for whoever shares it. There EAGAIN
//! means "not now". It is waited out with poll(2); the flag is left as it is, since
//! others rely on it.
//!
//! Guarantees: neither a read nor a write ends because a stream was not ready; a
//! standard stream that was closed when the program started is an error, not the null
//! device that Rust's runtime puts in its place.
//! Deliberately lacks: buffers (one reader of standard input takes nothing from the
//! next), and the terminal's progress bars, which may lose a picture.

mod at_start;
mod by_task;

pub use by_task::{TaskStdin, TaskStdout};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read, StderrLock, StdoutLock, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Pause if a stream was said to be ready and was not.
const PAUSE: Duration = Duration::from_millis(1);

/// Standard input.
#[derive(Debug)]
pub struct Stdin(io::Stdin);

/// Standard input, without a buffer.
pub fn stdin() -> Stdin {
    Stdin(io::stdin())
}

impl Read for Stdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if at_start::is_stdin_closed() {
            return Err(closed());
        }
        let fd = self.0.as_fd();
        when_ready(fd, PollFlags::IN, || rustix::io::read(fd, &mut *bytes))
    }
}

/// Standard output, held by one writer.
#[derive(Debug)]
pub struct Stdout(StdoutLock<'static>);

/// Standard output, without a buffer, held until it is dropped.
pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check_stdout()?;
        let fd = self.0.as_fd();
        when_ready(fd, PollFlags::OUT, || rustix::io::write(fd, bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether there is a standard output, for a command that has much to do before it
/// writes.
///
/// # Errors
/// It was closed when the program started.
pub fn check_stdout() -> io::Result<()> {
    if at_start::is_stdout_closed() { Err(closed()) } else { Ok(()) }
}

fn closed() -> io::Error {
    io::Error::other("it was closed when the program started")
}

/// Standard error, held by one writer.
#[derive(Debug)]
pub struct Stderr(StderrLock<'static>);

/// Standard error, without a buffer, held until it is dropped.
pub fn stderr() -> Stderr {
    Stderr(io::stderr().lock())
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.0.as_fd();
        when_ready(fd, PollFlags::OUT, || rustix::io::write(fd, bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to standard error before the process ends: past whoever holds it, and, if it
/// is not ready within a moment, not at all.
pub fn last_words(text: &str) {
    let stderr = io::stderr();
    let fd = stderr.as_fd();
    let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    if poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&moment)) == Ok(1) {
        let _ = rustix::io::write(fd, text.as_bytes());
    }
}

/// Does `call` until it is neither interrupted nor told to come again.
fn when_ready(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> io::Result<usize> {
    let mut tries = 0_u32;
    loop {
        match call() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if tries > 0 {
                    std::thread::sleep(PAUSE);
                }
                tries += 1;
                // Whatever poll says, the next try says it better.
                let _ = poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None);
            }
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    #[test]
    fn a_stream_that_is_not_ready_is_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        for fd in [reader.as_fd(), writer.as_fd()] {
            fcntl_setfl(fd, fcntl_getfl(fd).unwrap() | OFlags::NONBLOCK).unwrap();
        }
        let text = vec![b'x'; 300_000];
        let sent = text.clone();
        // Each side is now and then not ready: the pipe holds 64 KiB.
        let sending = std::thread::spawn(move || {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let fd = writer.as_fd();
                let written = when_ready(fd, PollFlags::OUT, || rustix::io::write(fd, rest));
                rest = &rest[written.unwrap()..];
            }
        });
        let (mut got, mut piece) = (Vec::new(), [0; 4096]);
        let fd = reader.as_fd();
        loop {
            match when_ready(fd, PollFlags::IN, || rustix::io::read(fd, &mut piece)).unwrap() {
                0 => break,
                length => got.extend_from_slice(&piece[..length]),
            }
        }
        sending.join().unwrap();
        assert!(got == text, "{} bytes of {}", got.len(), text.len());
    }
}
