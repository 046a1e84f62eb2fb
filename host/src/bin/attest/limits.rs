//! Whether the system gives this process what a command needs: threads and descriptors.
//!
//! Guarantees: asked before a device is opened or a nonce is spent; what is taken is given
//! back, but for the threads that compute, which stay.
//! Deliberately lacks: a promise. Others may take what is left a moment later; if a
//! thread is missing then, that is an error of its own.

use crate::args::Command;
use anyhow::{Result, anyhow};
use attest::executor::NO_THREAD;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Descriptors that any command may have open at a time: a ledger has several files.
const DESCRIPTORS: usize = 12;
/// Those of a command that looks at devices, holds sessions or serves pages: without them a library
/// that is there does not load, and its GPUs would seem to be absent.
const DESCRIPTORS_OF_WORK: usize = 40;
/// Threads beside those that compute: signals, lanes, telemetry, progress, blocking calls.
const THREADS: usize = 16;

/// Checks that `command` can have what it needs, and starts the threads that compute.
///
/// # Errors
/// It cannot.
pub fn check(command: &Command) -> Result<()> {
    let (computes, works) = match command {
        Command::Run(_)
        | Command::Verify(_)
        | Command::Report(_)
        | Command::Validate(_)
        | Command::Respond(_)
        | Command::Agent(_)
        | Command::Fleet(_)
        | Command::Selftest(_)
        | Command::Bench(_)
        | Command::Demo(_) => (true, true),
        Command::Detect(_) | Command::Dashboard(_) => (false, true),
        // It says by itself what is missing.
        Command::Doctor(_)
        | Command::Challenge(_)
        | Command::DeviceReport(_)
        | Command::MachineReport(_)
        | Command::Ledger(_)
        | Command::Inspect(_)
        | Command::Key(_)
        | Command::Export(_)
        | Command::Policy(_)
        | Command::Schema(_)
        | Command::Completions { .. }
        | Command::Man(_) => (false, false),
    };
    let count = if works { DESCRIPTORS_OF_WORK } else { DESCRIPTORS };
    descriptors(count).map_err(|error| {
        anyhow!(
            "this process gets no {count} descriptors: {error}\n\
             Raise the limit (ulimit -n), or close files that it inherits."
        )
    })?;
    let no_threads = |error: &dyn std::fmt::Display| {
        anyhow!("this process gets no threads: {error}\n{NO_THREAD}")
    };
    if computes {
        // By itself it would be started where it is first used, and a failure be a panic.
        rayon::ThreadPoolBuilder::new().build_global().map_err(|error| no_threads(&error))?;
    }
    if works {
        // Live sessions have a runtime with a thread a core.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        threads(cores + THREADS).map_err(|error| no_threads(&error))?;
    }
    Ok(())
}

/// Has `count` descriptors open at once.
fn descriptors(count: usize) -> io::Result<()> {
    let open = |_| Ok(rustix::io::dup(rustix::stdio::stderr())?);
    let opened: io::Result<Vec<_>> = (0..count).map(open).collect();
    match opened {
        // It may be closed; then nothing can be doubled, and more is free than usual.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            Ok(())
        }
        opened => opened.map(drop),
    }
}

/// Has `count` threads at once.
fn threads(count: usize) -> io::Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let spawn = |_| {
        let over = Arc::clone(&over);
        std::thread::Builder::new().spawn(move || {
            while !over.load(Ordering::Acquire) {
                std::thread::park();
            }
        })
    };
    let (mut running, mut failure) = (Vec::with_capacity(count), None);
    for spawned in (0..count).map(spawn) {
        match spawned {
            Ok(thread) => running.push(thread),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    over.store(true, Ordering::Release);
    for thread in running {
        thread.thread().unpark();
        let _ = thread.join();
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_there_and_is_given_back() {
        for _ in 0..20 {
            descriptors(100).unwrap();
            threads(20).unwrap();
        }
        assert!(descriptors(1 << 24).is_err(), "no process has that many");
    }
}
