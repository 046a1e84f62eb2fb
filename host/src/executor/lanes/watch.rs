//! The caller's thread while the lanes run: hung lanes, the stop flag, progress.

use super::lane::{Failure, Heartbeat, Shared};
use super::{Finished, Patience, Progress, RunError};
use crate::executor::{Kind, LaneFacts, abandoned};
use crate::protocol::work::{Cost, Unit, Work};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often it looks around.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// A lane's last word.
type Report = (usize, Result<Finished, Failure>);

/// The caller's thread while the lanes run.
pub(super) struct Watch<'a> {
    pub(super) shared: &'a Shared,
    pub(super) facts: &'a [LaneFacts],
    pub(super) patience: Patience,
    pub(super) work: Work,
}

impl Watch<'_> {
    /// Waits for every lane that still lives; the first failure is the run's.
    pub(super) fn wait(
        &self,
        reports: &Receiver<Report>,
        progress: &Progress<'_>,
    ) -> Result<Vec<Finished>, RunError> {
        let lanes = self.facts.len();
        let mut finished: Vec<Option<Finished>> = (0..lanes).map(|_| None).collect();
        let mut ended = vec![false; lanes];
        let mut failure = None;
        while ended.contains(&false) {
            match reports.recv_timeout(WATCH_INTERVAL) {
                Ok((lane, Ok(done))) => {
                    ended[lane] = true;
                    finished[lane] = Some(done);
                }
                Ok((lane, Err(cause))) => {
                    ended[lane] = true;
                    self.shared.abort();
                    // Lanes that end because another did have nothing to say.
                    if let Some(error) = self.explain(lane, cause) {
                        failure.get_or_insert(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.shared.stop.load(Ordering::Relaxed) {
                        self.shared.abort();
                    }
                    for (lane, silent) in self.hung(&ended) {
                        ended[lane] = true;
                        abandoned::note();
                        self.shared.abort();
                        failure.get_or_insert(RunError::Hung {
                            lane: lane as u32,
                            device: self.facts[lane].model.clone(),
                            iteration: self.shared.heartbeats[lane].iteration(),
                            silent_ms: silent.as_millis() as u64,
                        });
                    }
                }
                // Every lane sends a report, even one that panics.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress(&self.done());
        }
        match finished.into_iter().collect::<Option<Vec<_>>>() {
            Some(finished) if failure.is_none() => Ok(finished),
            _ => Err(failure.unwrap_or_else(|| RunError::Stopped {
                iterations: self.done().into_iter().min().unwrap_or(0),
            })),
        }
    }

    fn done(&self) -> Vec<u32> {
        self.shared.heartbeats.iter().map(Heartbeat::done).collect()
    }

    /// Lanes that have been silent too long, and for how long.
    fn hung(&self, ended: &[bool]) -> Vec<(usize, Duration)> {
        let heartbeats = self.shared.heartbeats.iter();
        let longest = heartbeats.clone().map(Heartbeat::longest_gap).max().unwrap_or_default();
        let limit = |lane: usize| match self.patience {
            Patience::Fixed(limit) => limit,
            Patience::Observed if longest.is_zero() => {
                before_the_first_sign(self.facts[lane].kind, self.work)
            }
            Patience::Observed => Duration::from_secs(60) + 20 * longest,
        };
        let now = self.shared.now();
        (heartbeats.enumerate().filter(|(lane, _)| !ended[*lane]))
            .filter_map(|(lane, heartbeat)| Some((lane, heartbeat.silence(now)?)))
            .filter(|(lane, silent)| *silent > limit(*lane))
            .collect()
    }

    /// `None` for a lane that ended only because the run had.
    fn explain(&self, lane: usize, cause: Failure) -> Option<RunError> {
        let device = self.facts[lane].model.clone();
        let iteration = self.shared.heartbeats[lane].iteration();
        let lane = lane as u32;
        match cause {
            Failure::Aborted => None,
            Failure::Executor(error) => {
                let source = Box::new(error);
                Some(RunError::Lane { lane, device, iteration, source })
            }
            Failure::Broken(cause) => Some(RunError::Broken { lane, device, iteration, cause }),
        }
    }
}

/// How long a lane may take to its first iteration: ten minutes more than the
/// slowest machine of its kind that anybody would use takes to compute it.
fn before_the_first_sign(kind: Kind, work: Work) -> Duration {
    let Cost { amount, unit } = work.cost();
    Duration::from_secs(600 + amount / slow_rate(kind, unit))
}

/// So much a second is done by the slowest machine that anybody would use.
pub(super) fn slow_rate(kind: Kind, unit: Unit) -> u64 {
    match (unit, kind) {
        (Unit::Flop, Kind::Cpu) => 200_000_000,
        (Unit::Flop, Kind::Gpu) => 20_000_000_000,
        (Unit::Bytes, Kind::Cpu) => 100_000_000,
        (Unit::Bytes, Kind::Gpu) => 1_000_000_000,
        (Unit::Operations, Kind::Cpu) => 200_000_000,
        (Unit::Operations, Kind::Gpu) => 100_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::work::fp64_product::Fp64Product;

    #[test]
    fn a_gpu_that_hangs_in_its_first_iteration_is_not_waited_for_by_the_hour() {
        let usual = Fp64Product { dim: 4096, products: 8 }.into();
        assert_eq!(before_the_first_sign(Kind::Gpu, usual), Duration::from_secs(600 + 54));
        assert_eq!(before_the_first_sign(Kind::Cpu, usual), Duration::from_secs(600 + 5497));
    }
}
