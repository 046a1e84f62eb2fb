//! Devices while something runs: a thread of its own asks NVML again and again.
//!
//! ```text
//! reading   what NVML says at one time       record   a run's readings in bounded memory
//! health    error counts and remapped rows   run      the thread beside a run's lanes
//! ```
//!
//! Guarantees: NVML's absence is a value; asking takes at most a hundredth of a
//! core for each device, whatever a call costs; the CPU time that it took is known; nobody waits
//! long for a call that hangs.
//! Deliberately lacks: what becomes of the readings. Whoever starts it keeps them.

mod health;
mod reading;
mod record;
mod run;

pub(crate) use health::health;
pub use reading::{Reading, throttle_names};
pub use run::{KEPT_MAX, PERIOD, RunTelemetry};

use super::cpu_time;
use crate::protocol::evidence::telemetry::Health;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A round of questions that took a device this long on the CPU is followed by a
/// pause at least [`COST_SHARE`] times as long.
const COST_SHARE: u32 = 100;
/// Shortest pause.
const PERIOD_MIN: Duration = Duration::from_millis(1);
/// Longest waits for the thread: a call may hang in the driver.
const PATIENCE: Patience =
    Patience { opening: Duration::from_secs(30), end: Duration::from_secs(5) };
/// Time between looks whether NVML has opened.
const LOOK: Duration = Duration::from_millis(10);
/// Why nothing is sampled if a call hangs.
const SILENT: &str = "NVML does not answer";

/// How long the thread is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    opening: Duration,
    end: Duration,
}

/// What the thread found out about a device.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// Before the first reading.
    Before(Health),
    /// A reading.
    Reading(Reading),
    /// After the last one.
    After(Health),
    /// NVML does not know the device, and why.
    Unknown(String),
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    cpu_ns: AtomicU64,
    /// Whether at least one device is asked; set once.
    opened: OnceLock<Result<(), String>>,
}

/// Leaves a reason behind if the thread ends before it has one, so that
/// nobody waits for it forever.
struct Opening(Arc<Shared>);

impl Drop for Opening {
    fn drop(&mut self) {
        let _ = self.0.opened.set(Err("the sampling thread ended early".to_owned()));
    }
}

/// The sampling thread.
#[derive(Debug)]
pub(super) struct Sampler {
    shared: Arc<Shared>,
    thread: Option<std::thread::Thread>,
    ended: Receiver<()>,
    /// Whether the thread ended in time, once that was waited for.
    stopped: Option<bool>,
    patience: Patience,
}

impl Sampler {
    /// Starts asking the devices at these PCI ids about every `period`, and
    /// gives what it hears to `keep`, with the place of the id in the list.
    pub(super) fn start(
        pci_ids: Vec<String>,
        period: Duration,
        keep: impl FnMut(usize, Said) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (ending, ended) = mpsc::channel();
        let opening = Opening(Arc::clone(&shared));
        let sample = move || {
            sample(&pci_ids, period, &opening, keep);
            drop(opening);
            // The receiver is gone if nobody waited.
            let _ = ending.send(());
        };
        let spawned = std::thread::Builder::new().name("nvml".to_owned()).spawn(sample);
        let thread = match spawned {
            Ok(handle) => Some(handle.thread().clone()),
            Err(error) => {
                let _ = shared.opened.set(Err(format!("no thread: {error}")));
                None
            }
        };
        Self { shared, thread, ended, stopped: None, patience: PATIENCE }
    }

    /// Why nothing is sampled; waits until that is known, or half a minute.
    pub(super) fn absent(&self) -> Option<&str> {
        let (start, opened) = (Instant::now(), &self.shared.opened);
        while opened.get().is_none() && start.elapsed() < self.patience.opening {
            std::thread::sleep(LOOK);
        }
        opened.get().map_or(Some(SILENT), |opened| opened.as_ref().err().map(String::as_str))
    }

    /// CPU time that sampling has taken.
    pub(super) fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.shared.cpu_ns.load(Ordering::Relaxed))
    }

    /// Ends the thread; whether it did in time. It is waited for once.
    pub(super) fn stop(&mut self) -> bool {
        if let Some(in_time) = self.stopped {
            return in_time;
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        let in_time = self.thread.as_ref().is_none_or(|thread| {
            thread.unpark();
            let ended = self.ended.recv_timeout(self.patience.end);
            // A sender that is gone has ended, too.
            ended != Err(mpsc::RecvTimeoutError::Timeout)
        });
        self.stopped = Some(in_time);
        in_time
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's work, from NVML's start to its end.
fn sample(
    pci_ids: &[String],
    period: Duration,
    opening: &Opening,
    mut keep: impl FnMut(usize, Said),
) {
    let opened = &opening.0.opened;
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(error) => {
            let _ = opened.set(Err(reason_of(&error)));
            return;
        }
    };
    let mut devices = Vec::new();
    let mut reason = "there is no device to ask".to_owned();
    for (at, pci_id) in pci_ids.iter().enumerate() {
        match nvml.device_by_pci_bus_id(pci_id.as_str()) {
            Ok(device) => devices.push((at, device)),
            Err(error) => {
                reason = reason_of(&error);
                keep(at, Said::Unknown(reason.clone()));
            }
        }
    }
    let _ = opened.set(if devices.is_empty() { Err(reason) } else { Ok(()) });
    if !devices.is_empty() {
        devices.iter().for_each(|(at, device)| keep(*at, Said::Before(health(device))));
        ask_until_stopped(&devices, period, &opening.0, &mut keep);
        devices.iter().for_each(|(at, device)| keep(*at, Said::After(health(device))));
    }
}

fn ask_until_stopped(
    devices: &[(usize, Device<'_>)],
    period: Duration,
    shared: &Shared,
    keep: &mut impl FnMut(usize, Said),
) {
    while !shared.stop.load(Ordering::Relaxed) {
        let (start, before) = (Instant::now(), cpu_time::of_this_thread());
        devices.iter().for_each(|(at, device)| keep(*at, Said::Reading(Reading::of(device))));
        let now = cpu_time::of_this_thread();
        if let Some(now) = now {
            shared.cpu_ns.store(now.as_nanos() as u64, Ordering::Relaxed);
        }
        // If no CPU time is told, all of the round counts.
        let cost = now
            .zip(before)
            .map_or_else(|| start.elapsed(), |(now, before)| now.saturating_sub(before));
        std::thread::park_timeout(pause(period, cost, devices.len()));
    }
}

/// The pause after a round that took `cost` of CPU time for `devices` devices.
fn pause(period: Duration, cost: Duration, devices: usize) -> Duration {
    let each = cost / u32::try_from(devices).unwrap_or(u32::MAX).max(1);
    period.max(each.saturating_mul(COST_SHARE)).max(PERIOD_MIN)
}

/// NVML's reason in words, with its code if that is what people look for; of a library
/// that does not load, the loader's own words.
pub fn reason_of(error: &NvmlError) -> String {
    match error {
        NvmlError::GpuLost => {
            "the GPU is lost: it fell off the bus or cannot be reached (NVML_ERROR_GPU_IS_LOST, 15)"
                .to_owned()
        }
        NvmlError::Unknown => "an unknown error (NVML_ERROR_UNKNOWN, 999)".to_owned(),
        NvmlError::NoPermission => "no permission (NVML_ERROR_NO_PERMISSION, 4)".to_owned(),
        error => {
            let mut innermost: &dyn std::error::Error = error;
            while let Some(cause) = innermost.source() {
                innermost = cause;
            }
            innermost.to_string()
        }
    }
}

/// What a library may answer for want of a number.
pub trait Sentinel: Copy {
    /// Whether this is no number, but NVML's mark that there is none: all bits set.
    fn is_sentinel(self) -> bool;

    /// The number, if it is one.
    fn known(self) -> Option<Self> {
        (!self.is_sentinel()).then_some(self)
    }
}

impl Sentinel for u32 {
    fn is_sentinel(self) -> bool {
        self == Self::MAX
    }
}

impl Sentinel for u64 {
    /// A 32-bit mark that was widened is one, too.
    fn is_sentinel(self) -> bool {
        self == Self::MAX || self == u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_takes_a_hundredth_of_a_core_a_device_at_most() {
        let (period, ms) = (Duration::from_millis(200), Duration::from_millis);
        assert_eq!(pause(period, Duration::ZERO, 1), period);
        assert_eq!(pause(period, ms(1), 1), period);
        assert_eq!(pause(period, ms(30), 1), Duration::from_secs(3));
        assert_eq!(pause(period, ms(120), 4), Duration::from_secs(3));
        assert_eq!(pause(Duration::ZERO, Duration::ZERO, 8), ms(1), "never without a pause");
    }

    #[test]
    fn without_a_device_there_is_a_reason_and_the_thread_ends() {
        let (sender, said) = mpsc::channel();
        let ids = vec!["0000:ff:1f.7".to_owned()];
        let mut sampler = Sampler::start(ids, Duration::from_secs(3600), move |at, said| {
            sender.send((at, said)).expect("the test listens");
        });
        assert!(!sampler.absent().expect("there is no such device").is_empty());
        assert!(sampler.stop());
        assert!(said.try_iter().all(|(at, said)| at == 0 && matches!(said, Said::Unknown(_))));
    }

    #[test]
    fn a_call_that_hangs_is_waited_for_once_and_not_forever() {
        let (ending, ended) = mpsc::channel();
        let mut sampler = Sampler {
            shared: Arc::new(Shared::default()),
            thread: Some(std::thread::current()),
            ended,
            stopped: None,
            patience: Patience { opening: Duration::ZERO, end: Duration::ZERO },
        };
        assert_eq!(sampler.absent(), Some(SILENT));
        assert!(!sampler.stop());
        // It would be heard of by whoever waited again.
        ending.send(()).expect("the sampler listens");
        assert!(!sampler.stop(), "what the first wait found stays");
    }
}
