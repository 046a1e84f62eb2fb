//! What the device did while a side ran: power, clock, temperature and why the
//! clock was held down, from the samples of the bench's windows of time.

use super::median;
use crate::executor::gpu::telemetry::{Reading, Said, Sampler, throttle_names};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between samples.
const PERIOD: Duration = Duration::from_millis(50);
/// Power is energy over time if at least this much time was seen: the
/// energy counter moves in steps of up to a tenth of a second.
const ENERGY_SPAN_MIN: Duration = Duration::from_secs(1);

/// The device while a side ran. A fact that NVML does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// Mean power, W.
    pub power_w: Option<f64>,
    /// Median SM clock, MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Lowest SM clock, MHz.
    pub sm_clock_min_mhz: Option<u32>,
    /// Highest temperature, °C.
    pub temperature_c: Option<u32>,
    /// Every reason why the clock was held down at some time, NVML's names.
    pub throttle_reasons: Vec<String>,
    /// Samples that this is made of.
    pub samples: usize,
}

/// From when to when something ran.
pub type Window = (Instant, Instant);

/// Sampling under way, or why there is none.
#[derive(Debug)]
pub struct Telemetry {
    readings: Arc<Mutex<Vec<Reading>>>,
    sampler: Sampler,
}

impl Telemetry {
    /// Starts sampling the device at a PCI id.
    pub fn start(pci_id: &str) -> Self {
        let readings = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&readings);
        let sampler = Sampler::start(vec![pci_id.to_owned()], PERIOD, move |_, said| {
            if let Said::Reading(reading) = said {
                // A reading is pushed whole or not at all.
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
            }
        });
        Self { readings, sampler }
    }

    /// Why nothing is sampled.
    pub fn absent(&self) -> Option<&str> {
        self.sampler.absent()
    }

    /// CPU time that sampling has taken.
    pub fn cpu_time(&self) -> Duration {
        self.sampler.cpu_time()
    }

    /// The device over `windows`; `None` without a sample.
    pub fn over(&self, windows: &[Window]) -> Option<Conditions> {
        conditions(&self.readings.lock().unwrap_or_else(PoisonError::into_inner), windows)
    }
}

/// What the samples inside `windows` say together.
fn conditions(samples: &[Reading], windows: &[Window]) -> Option<Conditions> {
    let of_window = |&(from, to): &Window| -> Vec<Reading> {
        samples.iter().copied().filter(|sample| from <= sample.at && sample.at <= to).collect()
    };
    let per_window: Vec<Vec<Reading>> = windows.iter().map(of_window).collect();
    let all: Vec<Reading> = per_window.concat();
    if all.is_empty() {
        return None;
    }
    let clocks: Vec<u32> = all.iter().filter_map(|sample| sample.sm_clock_mhz).collect();
    let throttle = all.iter().filter_map(|sample| sample.throttle).fold(0, |a, b| a | b);
    Some(Conditions {
        power_w: power_by_energy(&per_window).or_else(|| power_by_readings(&per_window)),
        sm_clock_mhz: median(clocks.iter().copied().map(f64::from).collect()),
        sm_clock_min_mhz: clocks.iter().copied().min(),
        temperature_c: all.iter().filter_map(|sample| sample.temperature_c).max(),
        throttle_reasons: throttle_names(throttle),
        samples: all.len(),
    })
}

/// Energy over time between the first and the last sample of each window.
fn power_by_energy(windows: &[Vec<Reading>]) -> Option<f64> {
    let (mut energy_mj, mut span) = (0_u64, Duration::ZERO);
    for samples in windows {
        let known = || samples.iter().filter_map(|sample| Some((sample.at, sample.energy_mj?)));
        let (Some((from, before)), Some((to, after))) = (known().next(), known().next_back())
        else {
            continue;
        };
        // The counter starts anew when the driver is reloaded.
        energy_mj += after.checked_sub(before)?;
        span += to - from;
    }
    (span >= ENERGY_SPAN_MIN && energy_mj > 0).then(|| energy_mj as f64 / 1e3 / span.as_secs_f64())
}

/// The median reading of the windows' second halves: a reading is a mean over
/// up to a second before it.
fn power_by_readings(windows: &[Vec<Reading>]) -> Option<f64> {
    let late = windows.iter().flat_map(|samples| &samples[samples.len() / 2..]);
    median(late.filter_map(|sample| sample.power_mw).map(|mw| f64::from(mw) / 1e3).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64, power_w: u32, energy_j: Option<u64>) -> Reading {
        Reading {
            power_mw: Some(power_w * 1000),
            energy_mj: energy_j.map(|joules| joules * 1000),
            sm_clock_mhz: Some(1000 + ms as u32 / 10),
            temperature_c: Some(50),
            // SW_POWER_CAP.
            throttle: Some(if ms < 1000 { 0 } else { 4 }),
            ..Reading::silent(start + Duration::from_millis(ms))
        }
    }

    #[test]
    fn power_is_the_energy_of_the_windows_over_their_time() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        // 700 W for a second in the window, then a burst outside of it.
        let samples = [
            at(start, 0, 100, Some(0)),
            at(start, 1000, 100, Some(1000)),
            at(start, 2000, 100, Some(1700)),
            at(start, 3000, 100, Some(9999)),
        ];
        let found = conditions(&samples, &[(ms(900), ms(2100))]).unwrap();
        assert!((found.power_w.unwrap() - 700.0).abs() < 1e-9, "{found:?}");
        assert_eq!((found.samples, found.sm_clock_min_mhz), (2, Some(1100)));
        assert_eq!(found.sm_clock_mhz, Some(1150.0));
        assert_eq!(found.throttle_reasons, ["SW_POWER_CAP"]);
    }

    #[test]
    fn short_windows_and_missing_counters_fall_back_to_readings() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let early = [at(start, 0, 100, Some(5)), at(start, 500, 650, Some(50))];
        let found = conditions(&early, &[(ms(0), ms(500))]).unwrap();
        assert_eq!(found.power_w, Some(650.0), "the second half counts");
        assert!(found.throttle_reasons.is_empty());
        let without = [at(start, 0, 600, None), at(start, 2000, 640, None)];
        assert_eq!(conditions(&without, &[(ms(0), ms(2000))]).unwrap().power_w, Some(640.0));
        assert_eq!(conditions(&without, &[(ms(3000), ms(4000))]), None, "no sample inside");
        assert_eq!(conditions(&[], &[]), None);
    }

    #[test]
    fn without_nvml_there_is_a_reason_and_no_conditions() {
        let telemetry = Telemetry::start("0000:ff:00.0");
        if telemetry.absent().is_some() {
            assert_eq!(telemetry.over(&[(Instant::now(), Instant::now())]), None);
            assert_eq!(telemetry.cpu_time(), Duration::ZERO);
        }
    }
}
