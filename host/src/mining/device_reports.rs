//! Asking the devices of a finished run to sign what they are.
//!
//! Guarantees: a device that does not answer costs its report and nothing else; nobody waits
//! longer than [`PATIENCE`] for the driver.
//! Deliberately lacks: NVSwitches, whose reports NVML does not give.

use crate::evidence::{answer, device_report};
use crate::executor::LaneFacts;
use crate::protocol::device_report::{Bytes, DeviceReport, nonce};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use std::time::Duration;

/// How long the driver may take for all reports of a run.
const PATIENCE: Duration = Duration::from_secs(30);

/// A report of each lane whose device gives one; `last` has s(g,T) of every lane.
pub(super) fn collect(c: &Digest, lanes: &[&LaneFacts], last: &[State]) -> Vec<DeviceReport> {
    let asked = (0..).zip(lanes.iter().zip(last)).filter_map(|(lane, (facts, last))| {
        let pci_id = facts.details.pci_id.clone()?;
        Some((lane, pci_id, nonce(c, lane, last)))
    });
    let asked: Vec<(u32, String, [u8; 32])> = asked.collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let reports = answer("device reports", move || reports(&asked)).recv_timeout(PATIENCE);
    reports.unwrap_or_else(|error| {
        tracing::warn!("no device reports: the driver did not answer: {error}");
        Vec::new()
    })
}

fn reports(asked: &[(u32, String, [u8; 32])]) -> Vec<DeviceReport> {
    let one = |(lane, pci_id, nonce): &(u32, String, [u8; 32])| {
        match device_report::ask(pci_id, *nonce) {
            Ok(signed) => Some(DeviceReport {
                lane: *lane,
                report: Bytes::new(signed.report)?,
                certificates: Bytes::new(signed.certificates)?,
            }),
            // The evidence has the reason: it was asked for there, too.
            Err(reason) => {
                tracing::debug!("lane {lane}: no device report: {reason}");
                None
            }
        }
    };
    asked.iter().filter_map(one).collect()
}
