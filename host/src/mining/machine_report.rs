//! Asking the processor to sign a quote of this virtual machine, for a finished run.
//!
//! Guarantees: a kernel that does not answer costs the quote and nothing else; nobody waits
//! longer than [`PATIENCE`] for it.
//! Deliberately lacks: retries.

use crate::evidence::{Quote, Tsm, answer};
use crate::protocol::device_report::Bytes;
use crate::protocol::machine_report::MachineReport;
use std::time::Duration;

/// How long the kernel, and the host that it asks, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The quote that `tsm` gives for `report_data`, if it gives one.
pub(super) fn collect(tsm: Tsm, report_data: [u8; 64]) -> Option<MachineReport> {
    collect_within(PATIENCE, tsm, report_data)
}

fn collect_within(patience: Duration, tsm: Tsm, report_data: [u8; 64]) -> Option<MachineReport> {
    let asking = answer("machine report", move || tsm.ask(&report_data));
    let failed = |reason: &dyn std::fmt::Display| {
        tracing::warn!("no quote of this machine: {reason}");
        None
    };
    match asking.recv_timeout(patience) {
        Ok(Ok(Quote { kind, quote, auxiliary })) => Some(MachineReport {
            kind,
            quote: Bytes::new(quote)?,
            auxiliary: Bytes::new(auxiliary)?,
        }),
        Ok(Err(reason)) => failed(&reason),
        Err(error) => failed(&format_args!("the kernel did not answer: {error}")),
    }
}

#[cfg(test)]
#[path = "machine_report_tests.rs"]
mod tests;
