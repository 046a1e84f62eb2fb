//! A lane's readings over a run of any length, in bounded memory.
//!
//! Guarantees: least, greatest and last value are exact; the median and the
//! series are of evenly spaced readings, at most as many as asked for; what NVML
//! never told is absent.

use super::reading::throttle_names;
use super::{Reading, Said};
use crate::protocol::evidence::telemetry::{Health, LaneTelemetry, Sampled, Series, Spread};
use std::time::Instant;

/// Least, greatest and last so far.
#[derive(Clone, Copy, Debug, Default)]
struct Extremes(Option<(u64, u64, u64)>);

impl Extremes {
    fn take(&mut self, value: Option<u32>) {
        let Some(value) = value.map(u64::from) else { return };
        let (min, max, _) = self.0.unwrap_or((value, value, value));
        self.0 = Some((min.min(value), max.max(value), value));
    }

    fn spread(self, kept: &[Reading], of: impl Fn(&Reading) -> Option<u32>) -> Option<Spread> {
        let (min, max, last) = self.0?;
        let mut values: Vec<u32> = kept.iter().filter_map(of).collect();
        values.sort_unstable();
        // The upper of two middle ones: a value that was read.
        let median = values.get(values.len() / 2).map_or(last, |&value| u64::from(value));
        Some(Spread { min, median, max, last })
    }
}

/// What is kept of a lane.
#[derive(Debug)]
pub(super) struct Record {
    start: Instant,
    kept_max: usize,
    kept: Vec<Reading>,
    /// Every how many readings one is kept: a power of two.
    stride: u64,
    seen: u64,
    sm_clock: Extremes,
    memory_clock: Extremes,
    power: Extremes,
    temperature: Extremes,
    utilization: Extremes,
    memory_utilization: Extremes,
    energy_mj: Option<(u64, u64)>,
    throttle: Option<u64>,
    before: Health,
    after: Health,
    unknown: Option<String>,
}

impl Record {
    /// Keeps at most `kept_max` readings (at least 2).
    pub(super) fn new(start: Instant, kept_max: usize) -> Self {
        Self {
            start,
            kept_max: kept_max.max(2),
            kept: Vec::new(),
            stride: 1,
            seen: 0,
            sm_clock: Extremes::default(),
            memory_clock: Extremes::default(),
            power: Extremes::default(),
            temperature: Extremes::default(),
            utilization: Extremes::default(),
            memory_utilization: Extremes::default(),
            energy_mj: None,
            throttle: None,
            before: Health::default(),
            after: Health::default(),
            unknown: None,
        }
    }

    pub(super) fn take(&mut self, said: Said) {
        match said {
            Said::Before(health) => self.before = health,
            Said::After(health) => self.after = health,
            Said::Unknown(reason) => self.unknown = Some(reason),
            Said::Reading(reading) => self.read(reading),
        }
    }

    fn read(&mut self, reading: Reading) {
        self.sm_clock.take(reading.sm_clock_mhz);
        self.memory_clock.take(reading.memory_clock_mhz);
        self.power.take(reading.power_mw);
        self.temperature.take(reading.temperature_c);
        self.utilization.take(reading.utilization_percent);
        self.memory_utilization.take(reading.memory_utilization_percent);
        if let Some(now) = reading.energy_mj {
            let (first, _) = self.energy_mj.unwrap_or((now, now));
            self.energy_mj = Some((first, now));
        }
        if let Some(bits) = reading.throttle {
            self.throttle = Some(self.throttle.unwrap_or(0) | bits);
        }
        if self.seen.is_multiple_of(self.stride) {
            if self.kept.len() == self.kept_max {
                // Every second one goes; what follows is as far apart.
                let mut at = 0_u64;
                self.kept.retain(|_| {
                    at += 1;
                    !at.is_multiple_of(2)
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(reading);
            }
        }
        self.seen += 1;
    }

    /// What there is to say; `absent` is why nothing was sampled at all.
    pub(super) fn report(self, absent: Option<&str>, cpu_ms: Option<u64>) -> LaneTelemetry {
        if self.seen == 0 {
            let reason = self.unknown.as_deref().or(absent);
            let unknown = reason.unwrap_or("NVML gave no reading in time").to_owned();
            return LaneTelemetry::Unknown { unknown };
        }
        let kept = &self.kept;
        LaneTelemetry::Sampled(Box::new(Sampled {
            samples: self.seen,
            cpu_ms,
            sm_clock_mhz: self.sm_clock.spread(kept, |r| r.sm_clock_mhz),
            memory_clock_mhz: self.memory_clock.spread(kept, |r| r.memory_clock_mhz),
            power_mw: self.power.spread(kept, |r| r.power_mw),
            temperature_c: self.temperature.spread(kept, |r| r.temperature_c),
            utilization_percent: self.utilization.spread(kept, |r| r.utilization_percent),
            memory_utilization_percent: self
                .memory_utilization
                .spread(kept, |r| r.memory_utilization_percent),
            // The counter starts anew when the driver is reloaded.
            energy_mj: self.energy_mj.and_then(|(first, last)| last.checked_sub(first)),
            throttle_reasons: self.throttle.map(throttle_names),
            series: series(kept, self.start),
            before: self.before,
            after: self.after,
        }))
    }
}

fn series(kept: &[Reading], start: Instant) -> Series {
    let all = |of: fn(&Reading) -> Option<u32>| -> Vec<u32> {
        kept.iter().map(of).collect::<Option<_>>().unwrap_or_default()
    };
    let at_ms = |reading: &Reading| reading.at.saturating_duration_since(start).as_millis() as u64;
    Series {
        at_ms: kept.iter().map(at_ms).collect(),
        sm_clock_mhz: all(|reading| reading.sm_clock_mhz),
        power_mw: all(|reading| reading.power_mw),
        temperature_c: all(|reading| reading.temperature_c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn reading(start: Instant, ms: u64) -> Reading {
        Reading {
            sm_clock_mhz: Some(1000 + ms as u32),
            power_mw: (ms != 3).then_some(700_000),
            energy_mj: Some(ms * 700),
            throttle: Some(if ms == 5 { 4 } else { 1 }),
            ..Reading::silent(start + Duration::from_millis(ms))
        }
    }

    fn sampled(kept_max: usize, readings: u64) -> (Sampled, serde_json::Value) {
        let start = Instant::now();
        let mut record = Record::new(start, kept_max);
        (0..readings).for_each(|ms| record.take(Said::Reading(reading(start, ms))));
        let report = record.report(None, Some(3));
        let json = serde_json::to_value(&report).unwrap();
        let LaneTelemetry::Sampled(sampled) = report else { panic!("there were readings") };
        (*sampled, json)
    }

    #[test]
    fn a_long_run_takes_no_more_memory_than_a_short_one() {
        for readings in [1, 2, 119, 120, 121, 240, 100_000] {
            let (seen, _) = sampled(120, readings);
            let series = &seen.series.at_ms;
            assert!(series.len() <= 120 && (readings < 120 || series.len() >= 60), "{readings}");
            let steps: Vec<u64> = series.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(steps.windows(2).all(|pair| pair[0] == pair[1]), "{readings}: {steps:?}");
            assert_eq!((seen.samples, series[0]), (readings, 0));
            let clock = seen.sm_clock_mhz.unwrap();
            assert_eq!((clock.min, clock.max), (1000, 999 + readings), "exact in spite of it");
            assert_eq!(clock.last, clock.max);
            let middle = 1000 + readings / 2;
            assert!(clock.median.abs_diff(middle) <= 1 + readings / 50, "{clock:?}");
        }
    }

    #[test]
    fn what_was_never_told_is_absent_and_what_was_missing_once_has_no_series() {
        let (seen, json) = sampled(120, 10);
        assert_eq!(seen.series.sm_clock_mhz.len(), 10);
        assert!(seen.series.power_mw.is_empty(), "the fourth reading lacks it");
        assert_eq!(seen.power_mw.unwrap().median, 700_000);
        assert_eq!((seen.energy_mj, seen.memory_clock_mhz), (Some(9 * 700), None));
        assert_eq!(seen.throttle_reasons.unwrap(), ["SW_POWER_CAP"]);
        for absent in ["temperature_c", "memory_clock_mhz", "before", "after"] {
            assert!(json.get(absent).is_none(), "{absent}");
        }
        assert_eq!(json["sm_clock_mhz"]["last"], 1009);
    }

    #[test]
    fn nothing_sampled_has_a_reason() {
        let record = || Record::new(Instant::now(), 120);
        let unknown = |report| match report {
            LaneTelemetry::Unknown { unknown } => unknown,
            LaneTelemetry::Sampled(_) => panic!("nothing was sampled"),
        };
        assert_eq!(unknown(record().report(Some("no library"), None)), "no library");
        let mut lost = record();
        lost.take(Said::Unknown("no such device".to_owned()));
        assert_eq!(unknown(lost.report(Some("no library"), None)), "no such device");
        assert!(unknown(record().report(None, None)).contains("in time"));
    }
}
