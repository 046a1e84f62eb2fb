//! The commands, one file each: resolve what was typed, call the library,
//! render what came back.

pub mod agent;
pub mod bench;
mod bench_live;
mod bench_tables;
pub mod challenge;
pub mod completions;
pub mod dashboard;
pub mod demo;
pub mod detect;
pub mod device_report;
pub mod doctor;
pub mod export;
pub mod fleet;
pub mod inspect;
pub mod key;
pub mod ledger;
pub mod machine_report;
mod makers;
pub mod man;
pub mod policy;
pub mod report;
pub mod respond;
pub mod run;
mod run_timing;
pub mod schema;
pub mod selftest;
mod stress;
mod summary;
pub mod validate;
pub mod verify;

/// What live sessions run on.
///
/// # Errors
/// The system gives no threads.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ends when a signal has come.
pub(crate) async fn stopped(stop: &crate::signals::Stop) {
    is_set(stop.flag()).await;
}

/// Ends when the flag is set.
async fn is_set(flag: &std::sync::atomic::AtomicBool) {
    while !flag.load(std::sync::atomic::Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
