//! What the device did while a side ran: power, clock, temperature and why the
//! clock was held down, sampled through NVML by a thread of its own.
//!
//! Guarantees: NVML's absence is a value; the thread ends with its owner; the
//! CPU time that it took is known, so that it is not counted as the run's.

use super::{cpu_time, median};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::{Device, Nvml};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between samples.
const PERIOD: Duration = Duration::from_millis(50);
/// Power is energy over time where at least so much time was seen: the
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

/// What NVML said at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    power_mw: Option<u32>,
    energy_mj: Option<u64>,
    sm_clock_mhz: Option<u32>,
    temperature_c: Option<u32>,
    throttle: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
    cpu_ns: AtomicU64,
}

impl Shared {
    fn samples(&self) -> MutexGuard<'_, Vec<Sample>> {
        // A sample is pushed whole or not at all.
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sampling thread, or why there is none.
#[derive(Debug)]
pub struct Telemetry {
    shared: Arc<Shared>,
    thread: Result<JoinHandle<()>, String>,
}

impl Telemetry {
    /// Starts sampling the device at a PCI id.
    pub fn start(pci_id: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Nvml::init().map_err(|error| told(&error)).and_then(|nvml| {
            // Asked once here, so that the reason is known if it fails.
            nvml.device_by_pci_bus_id(pci_id).map_err(|error| told(&error))?;
            let (shared, pci_id) = (Arc::clone(&shared), pci_id.to_owned());
            let sample = move || {
                if let Ok(device) = nvml.device_by_pci_bus_id(pci_id) {
                    sample_until_stopped(&device, &shared);
                }
            };
            let named = std::thread::Builder::new().name("nvml".to_owned());
            named.spawn(sample).map_err(|error| error.to_string())
        });
        Self { shared, thread }
    }

    /// Why nothing is sampled.
    pub fn absent(&self) -> Option<&str> {
        self.thread.as_ref().err().map(String::as_str)
    }

    /// CPU time that sampling has taken.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.shared.cpu_ns.load(Ordering::Relaxed))
    }

    /// The device over `windows`; `None` without a sample.
    pub fn over(&self, windows: &[Window]) -> Option<Conditions> {
        conditions(&self.shared.samples(), windows)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Ok(thread) = std::mem::replace(&mut self.thread, Err(String::new())) {
            thread.thread().unpark();
            // It cannot panic with anything worth telling.
            let _ = thread.join();
        }
    }
}

/// The innermost cause: the loader's own words.
fn told(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(cause) = reason.source() {
        reason = cause;
    }
    reason.to_string()
}

fn sample_until_stopped(device: &Device<'_>, shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        let sample = Sample {
            power_mw: device.power_usage().ok(),
            energy_mj: device.total_energy_consumption().ok(),
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            throttle: device.current_throttle_reasons().ok().map(|reasons| reasons.bits()),
            at: Instant::now(),
        };
        shared.samples().push(sample);
        if let Some(time) = cpu_time::of_this_thread() {
            shared.cpu_ns.store(time.as_nanos() as u64, Ordering::Relaxed);
        }
        std::thread::park_timeout(PERIOD);
    }
}

/// What the samples inside `windows` say together.
fn conditions(samples: &[Sample], windows: &[Window]) -> Option<Conditions> {
    let of_window = |&(from, to): &Window| -> Vec<Sample> {
        samples.iter().copied().filter(|sample| from <= sample.at && sample.at <= to).collect()
    };
    let per_window: Vec<Vec<Sample>> = windows.iter().map(of_window).collect();
    let all: Vec<Sample> = per_window.concat();
    if all.is_empty() {
        return None;
    }
    let clocks: Vec<u32> = all.iter().filter_map(|sample| sample.sm_clock_mhz).collect();
    let throttle = all.iter().filter_map(|sample| sample.throttle).fold(0, |a, b| a | b);
    let held = ThrottleReasons::from_bits_truncate(throttle) - ThrottleReasons::GPU_IDLE;
    Some(Conditions {
        power_w: power_by_energy(&per_window).or_else(|| power_by_readings(&per_window)),
        sm_clock_mhz: median(clocks.iter().copied().map(f64::from).collect()),
        sm_clock_min_mhz: clocks.iter().copied().min(),
        temperature_c: all.iter().filter_map(|sample| sample.temperature_c).max(),
        throttle_reasons: held.iter_names().map(|(name, _)| name.to_owned()).collect(),
        samples: all.len(),
    })
}

/// Energy over time between the first and the last sample of each window.
fn power_by_energy(windows: &[Vec<Sample>]) -> Option<f64> {
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
fn power_by_readings(windows: &[Vec<Sample>]) -> Option<f64> {
    let late = windows.iter().flat_map(|samples| &samples[samples.len() / 2..]);
    median(late.filter_map(|sample| sample.power_mw).map(|mw| f64::from(mw) / 1e3).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64, power_w: u32, energy_j: Option<u64>) -> Sample {
        Sample {
            at: start + Duration::from_millis(ms),
            power_mw: Some(power_w * 1000),
            energy_mj: energy_j.map(|joules| joules * 1000),
            sm_clock_mhz: Some(1000 + ms as u32 / 10),
            temperature_c: Some(50),
            throttle: Some(if ms < 1000 { 0 } else { ThrottleReasons::SW_POWER_CAP.bits() }),
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
