//! Asking the devices of a finished run to sign what they are.
//!
//! Guarantees: a device that does not answer costs its own report and nothing else; nobody
//! waits longer than [`PATIENCE`] for all of them.
//! Deliberately lacks: NVSwitches, whose reports NVML does not give.

use crate::evidence::answer;
use crate::evidence::device_report::{Signed, ask};
use crate::executor::LaneFacts;
use crate::protocol::device_report::{Bytes, DeviceReport, nonce};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How long the driver may take for the reports of a run: with the machine's quote less than
/// the 30 s that a validator waits for openings.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a device is asked with, and how.
type Ask = fn(&str, [u8; 32]) -> Result<Signed, String>;

/// A report of each lane whose device gives one; `last` has s(g,T) of every lane.
pub(super) fn collect(c: &Digest, lanes: &[&LaneFacts], last: &[State]) -> Vec<DeviceReport> {
    let asked = (0..).zip(lanes.iter().zip(last)).filter_map(|(lane, (facts, last))| {
        let pci_id = facts.details.pci_id.clone()?;
        Some((lane, pci_id, nonce(c, lane, last)))
    });
    collect_within(PATIENCE, asked.collect(), ask)
}

fn collect_within(
    patience: Duration,
    asked: Vec<(u32, String, [u8; 32])>,
    ask: Ask,
) -> Vec<DeviceReport> {
    let until = Instant::now() + patience;
    // All at once: the one that hangs keeps none of the others waiting.
    let asking: Vec<_> = asked
        .into_iter()
        .map(|(lane, pci_id, nonce)| (lane, answer("device report", move || ask(&pci_id, nonce))))
        .collect();
    let report = |(lane, asking): (u32, Receiver<_>)| {
        let left = until.saturating_duration_since(Instant::now());
        match asking.recv_timeout(left) {
            Ok(Ok(Signed { report, certificates })) => Some(DeviceReport {
                lane,
                report: Bytes::new(report)?,
                certificates: Bytes::new(certificates)?,
            }),
            // The evidence has the reason: it was asked for there, too.
            Ok(Err(reason)) => {
                tracing::debug!("lane {lane}: no device report: {reason}");
                None
            }
            Err(error) => {
                tracing::warn!("lane {lane}: no device report: the driver did not answer: {error}");
                None
            }
        }
    };
    asking.into_iter().filter_map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices of which one hangs, one refuses, one breaks down, and the others sign.
    fn devices(pci_id: &str, nonce: [u8; 32]) -> Result<Signed, String> {
        match pci_id {
            "hangs" => loop {
                std::thread::park();
            },
            "refuses" => Err("confidential computing is off".to_owned()),
            "breaks" => panic!("made to"),
            _ => Ok(Signed { report: nonce.to_vec(), certificates: pci_id.as_bytes().to_vec() }),
        }
    }

    #[test]
    fn a_device_without_an_answer_costs_no_other_its_report() {
        let ids = ["hangs", "signs", "refuses", "breaks", "signs, too"];
        let asked = (0..).zip(ids).map(|(lane, id)| (lane, id.to_owned(), [lane as u8; 32]));
        // As long as the others may need on a busy machine: the first one takes all of it.
        let reports = collect_within(Duration::from_secs(5), asked.collect(), devices);
        let lanes: Vec<_> = reports.iter().map(|report| report.lane).collect();
        assert_eq!(lanes, [1, 4]);
        assert_eq!(reports[0].report.as_slice(), [1; 32]);
        assert_eq!(reports[1].certificates.as_slice(), b"signs, too");
    }
}
