//! The sampling thread beside a run's lanes.

use super::record::Record;
use super::{SILENT, Sampler};
use crate::executor::{Kind, LaneFacts};
use crate::protocol::evidence::telemetry::LaneTelemetry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between readings, unless asked otherwise.
pub const PERIOD: Duration = Duration::from_millis(200);
/// Most readings of a lane that are kept one by one.
pub const KEPT_MAX: usize = 120;
/// And of all lanes together: they go into evidence of a bounded size.
const KEPT_TOTAL: usize = 16 * KEPT_MAX;

/// Sampling under way.
#[derive(Debug)]
pub struct RunTelemetry {
    records: Arc<Mutex<Vec<Record>>>,
    /// `None` if no lane is a GPU.
    sampler: Option<Sampler>,
    /// For each lane, its place among the sampled devices.
    places: Vec<Option<usize>>,
}

impl RunTelemetry {
    /// Starts reading the GPUs of these lanes about every `period`. Returns at
    /// once; what goes wrong is said by [`RunTelemetry::finish`].
    pub fn start(lanes: &[LaneFacts], period: Duration) -> Self {
        let mut pci_ids = Vec::new();
        let place = |lane: &LaneFacts| {
            let pci_id = lane.details.pci_id.as_ref().filter(|_| lane.kind == Kind::Gpu)?;
            pci_ids.push(pci_id.clone());
            Some(pci_ids.len() - 1)
        };
        let places: Vec<Option<usize>> = lanes.iter().map(place).collect();
        let kept_max = KEPT_MAX.min(KEPT_TOTAL / pci_ids.len().max(1));
        let now = Instant::now();
        let records: Vec<Record> = pci_ids.iter().map(|_| Record::new(now, kept_max)).collect();
        let records = Arc::new(Mutex::new(records));
        let kept = Arc::clone(&records);
        let sampler = (!pci_ids.is_empty()).then(|| {
            Sampler::start(pci_ids, period, move |at, said| {
                // A record is changed whole or not at all.
                kept.lock().unwrap_or_else(PoisonError::into_inner)[at].take(said);
            })
        });
        Self { records, sampler, places }
    }

    /// Ends sampling: for each lane what was seen, or `None` if it is no GPU.
    pub fn finish(self) -> Vec<Option<LaneTelemetry>> {
        let Some(mut sampler) = self.sampler else {
            return self.places.iter().map(|_| None).collect();
        };
        let in_time = sampler.stop();
        // If a call hangs, whether sampling ever began may still be open.
        let absent = if in_time { sampler.absent() } else { Some(SILENT) };
        let cpu_ms = Some(sampler.cpu_time()).filter(|time| !time.is_zero());
        let cpu_ms = cpu_ms.map(|time| time.as_millis() as u64);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let reports: Vec<LaneTelemetry> =
            records.drain(..).map(|record| record.report(absent, cpu_ms)).collect();
        self.places.iter().map(|place| place.map(|at| reports[at].clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::digest::Uuid;
    use crate::protocol::evidence::document::LaneDetails;

    fn lane(kind: Kind, pci_id: Option<&str>) -> LaneFacts {
        let details = LaneDetails { pci_id: pci_id.map(str::to_owned), ..LaneDetails::default() };
        let (uuid, model) = (Uuid([1; 16]), String::new());
        LaneFacts { kind, uuid, model, memory_bytes: 0, sm_count: 0, details }
    }

    #[test]
    fn a_cpu_is_not_sampled_and_a_gpu_that_cannot_be_has_a_reason() {
        let none = RunTelemetry::start(&[lane(Kind::Cpu, None)], PERIOD);
        assert_eq!(none.finish(), [None]);
        let lanes = [lane(Kind::Gpu, Some("0000:ff:1f.7")), lane(Kind::Cpu, Some("x"))];
        let seen = RunTelemetry::start(&lanes, PERIOD).finish();
        assert!(
            matches!(&seen[0], Some(LaneTelemetry::Unknown { unknown }) if !unknown.is_empty())
        );
        assert_eq!(seen[1], None);
    }
}
