//! The threads that verify.
//!
//! A process that Python forked (`multiprocessing` on Linux) has none of its parent's
//! threads: work that is handed to their pool would wait for ever. So each process has a
//! pool of its own.

use crate::error::Fault;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// This process's threads, as many as it has cores.
///
/// # Errors
/// The system gives no threads.
pub fn of_this_process() -> Result<Arc<ThreadPool>, Fault> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, pool)) = &*pool
        && *owner == process::id()
    {
        return Ok(Arc::clone(pool));
    }
    let built = ThreadPoolBuilder::new().build().map_err(|error| {
        Fault::input(
            "no-threads",
            format!("cannot start threads to verify on: {error}\nCheck the limit of processes (ulimit -u)."),
        )
    })?;
    let built = Arc::new(built);
    if let Some((_, parents)) = pool.replace((process::id(), Arc::clone(&built))) {
        // To drop it would be to wait for threads that are not here.
        std::mem::forget(parents);
    }
    Ok(built)
}
