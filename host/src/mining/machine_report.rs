//! Asking the processor to sign a quote of this virtual machine, for a finished run.
//!
//! Guarantees: a kernel that does not answer costs the quote and nothing else; nobody waits
//! longer than [`PATIENCE`] for it.
//! Deliberately lacks: retries.

use crate::evidence::{Quote, Tsm};
use crate::protocol::device_report::Bytes;
use crate::protocol::machine_report::MachineReport;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the kernel, and the host that it asks, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The quote that `tsm` gives for `report_data`, if it gives one.
pub(super) fn collect(tsm: Tsm, report_data: [u8; 64]) -> Option<MachineReport> {
    collect_within(PATIENCE, tsm, report_data)
}

fn collect_within(patience: Duration, tsm: Tsm, report_data: [u8; 64]) -> Option<MachineReport> {
    let (send, receive) = mpsc::channel();
    // It is left behind if the kernel never answers.
    let asking = thread::Builder::new().name("machine report".to_owned()).spawn(move || {
        let _ = send.send(tsm.ask(&report_data));
    });
    let failed = |reason: &dyn std::fmt::Display| {
        tracing::warn!("no quote of this machine: {reason}");
        None
    };
    match asking.map(|_| receive.recv_timeout(patience)) {
        Ok(Ok(Ok(Quote { kind, quote, auxiliary }))) => Some(MachineReport {
            kind,
            quote: Bytes::new(quote)?,
            auxiliary: Bytes::new(auxiliary)?,
        }),
        Ok(Ok(Err(reason))) => failed(&reason),
        Ok(Err(error)) => failed(&format_args!("the kernel did not answer: {error}")),
        Err(error) => failed(&format_args!("no thread: {error}")),
    }
}

#[cfg(test)]
#[path = "machine_report_tests.rs"]
mod tests;
