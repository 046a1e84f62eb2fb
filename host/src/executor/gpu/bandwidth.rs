//! How fast memory and links are: device memory, host and device, device and
//! device.
//!
//! Guarantees: times are the device's own, medians of several runs; what could
//! not be measured has a reason; all memory is given back, and access between
//! devices is as it was.
//! Deliberately lacks: several copies at once. Each link is measured by itself.

use super::device::GpuDevice;
use super::driver::{Copy, DeviceMemory, Gpu, HostMemory};
use crate::error_text::what_happened;
use crate::protocol::evidence::machine::{
    Bandwidth, DeviceBandwidth, Figure, PeerBandwidth, Rate, Way,
};
use crate::protocol::quantity::about;
use cuda_driver::Failure;
use std::time::Duration;

/// Most bytes of a copy: many times any cache.
const COPY_BYTES_MAX: u64 = 1 << 30;
/// Least: below it caches would be measured.
const COPY_BYTES_MIN: u64 = 128 << 20;
/// Most bytes of a copy from or to the host, which must lock as much memory.
const HOST_BYTES_MAX: u64 = 256 << 20;
/// Share of free memory that a copy's one side may take.
const SHARE_OF_FREE: u64 = 8;
/// Runs of which the median counts.
const RUNS: usize = 7;
/// A run has enough copies to last about this long.
const RUN_MS: f64 = 5.0;
/// Most copies of a run.
const COPIES_MAX: f64 = 64.0;

/// From the seconds that each run took for its one copy's share of
/// `counted_bytes`; `None` without a run of some length.
fn rate_of(seconds: &[f64], copy_bytes: u64, counted_bytes: u64) -> Option<Rate> {
    let rate = |seconds: f64| (counted_bytes as f64 / seconds) as u64;
    let mut rates: Vec<u64> = seconds.iter().filter(|s| **s > 0.0).map(|&s| rate(s)).collect();
    rates.sort_unstable();
    let (&bytes_per_s_min, &bytes_per_s_max) = (rates.first()?, rates.last()?);
    let bytes_per_s = rates[rates.len() / 2];
    let runs = rates.len() as u32;
    Some(Rate { bytes_per_s, bytes_per_s_min, bytes_per_s_max, copy_bytes, runs })
}

fn figure(rate: Result<Rate, String>) -> Figure {
    match rate {
        Ok(rate) => Figure::Measured(rate),
        Err(unknown) => Figure::Unknown { unknown },
    }
}

/// Measures these devices one after the other, then every pair. Takes some
/// tenths of a second a device, and memory on each.
pub fn measure(devices: &[GpuDevice]) -> Bandwidth {
    let opened: Vec<(u32, Result<Gpu, String>)> = devices
        .iter()
        .map(|device| {
            (device.index, Gpu::open(device.index, device.label()).map_err(what_happened))
        })
        .collect();
    let of_device = |(index, gpu): &(u32, Result<Gpu, String>)| match gpu {
        Ok(gpu) => alone(*index, gpu),
        Err(reason) => {
            let unknown = || Figure::Unknown { unknown: reason.clone() };
            let (memory, to_device, to_host) = (unknown(), unknown(), unknown());
            DeviceBandwidth { index: *index, memory, to_device, to_host }
        }
    };
    let mut found =
        Bandwidth { devices: opened.iter().map(of_device).collect(), peers: Vec::new() };
    for (at, (a, first)) in opened.iter().enumerate() {
        for (b, second) in &opened[at + 1..] {
            if let (Ok(first), Ok(second)) = (first, second) {
                found.peers.extend(pair((*a, first), (*b, second)));
            }
        }
    }
    found
}

fn alone(index: u32, gpu: &Gpu) -> DeviceBandwidth {
    let on_device = || {
        let bytes = copy_bytes(gpu, COPY_BYTES_MAX)?;
        let (from, to) = (memory(gpu, bytes)?, memory(gpu, bytes)?);
        rate(gpu, &mut Copy::OnDevice { from: &from, to: &to }, bytes, 2 * bytes)
    };
    let with_host = |to_host: bool| {
        let bytes = copy_bytes(gpu, HOST_BYTES_MAX)?;
        let device = memory(gpu, bytes)?;
        let mut host = HostMemory::new(gpu, bytes).map_err(|failure| failure.to_string())?;
        let mut copy = if to_host {
            Copy::ToHost { from: &device, to: &mut host }
        } else {
            Copy::ToDevice { from: &host, to: &device }
        };
        rate(gpu, &mut copy, bytes, bytes)
    };
    DeviceBandwidth {
        index,
        memory: figure(on_device()),
        to_device: figure(with_host(false)),
        to_host: figure(with_host(true)),
    }
}

/// Both directions of a pair.
fn pair((a, first): (u32, &Gpu), (b, second): (u32, &Gpu)) -> [PeerBandwidth; 2] {
    let enable = |from: &Gpu, to: &Gpu| from.enter().is_ok() && from.enable_peer(to).is_ok();
    let enabled = [enable(first, second), enable(second, first)];
    let one_way = |from: u32, source: &Gpu, to: u32, peer: &Gpu, enabled: bool| {
        let way = if enabled { Way::Direct } else { Way::ThroughHost };
        let copy = || {
            let bytes = copy_bytes(source, HOST_BYTES_MAX)?.min(copy_bytes(peer, HOST_BYTES_MAX)?);
            let there = memory(peer, bytes)?;
            let here = memory(source, bytes)?;
            let mut copy = Copy::ToPeer { peer, from: &here, to: &there };
            let rate = rate(source, &mut copy, bytes, bytes);
            // Given back where it came from.
            drop(here);
            peer.enter().map_err(what_happened)?;
            drop(there);
            rate
        };
        PeerBandwidth { from, to, way, copy: figure(copy()) }
    };
    let found =
        [one_way(a, first, b, second, enabled[0]), one_way(b, second, a, first, enabled[1])];
    for (from, to, enabled) in [(first, second, enabled[0]), (second, first, enabled[1])] {
        if enabled && from.enter().is_ok() {
            from.disable_peer(to);
        }
    }
    found
}

/// Makes the device current and asks how long a copy may be.
fn copy_bytes(gpu: &Gpu, most: u64) -> Result<u64, String> {
    gpu.enter().map_err(what_happened)?;
    bytes_for(gpu.free_bytes().map_err(|failure| failure.to_string())?, most)
}

fn bytes_for(free_bytes: u64, most: u64) -> Result<u64, String> {
    let bytes = (free_bytes / SHARE_OF_FREE).min(most);
    if bytes < COPY_BYTES_MIN {
        return Err(format!("only {} of device memory are free", about(free_bytes as f64, "B")));
    }
    Ok(bytes >> 20 << 20)
}

/// Makes the device current and allocates there.
fn memory(gpu: &Gpu, bytes: u64) -> Result<DeviceMemory, String> {
    gpu.enter().map_err(what_happened)?;
    let memory = DeviceMemory::new(gpu, bytes).map_err(|failure: Failure| failure.to_string())?;
    gpu.clear(&memory).map_err(|failure| failure.to_string())?;
    gpu.synchronise().map_err(|failure| failure.to_string())?;
    Ok(memory)
}

/// The rate of a copy, warmed up, in runs of some milliseconds.
fn rate(gpu: &Gpu, copy: &mut Copy<'_>, bytes: u64, counted_bytes: u64) -> Result<Rate, String> {
    gpu.enter().map_err(what_happened)?;
    let mut run = |count: u32| {
        let taken = gpu.time_copies(copy, bytes, count).map_err(|failure| failure.to_string());
        taken.map(|taken| taken.as_secs_f64() / f64::from(count))
    };
    run(1)?;
    let count = copies(Duration::from_secs_f64(run(1)?));
    let seconds: Vec<f64> = (0..RUNS).map(|_| run(count)).collect::<Result<_, _>>()?;
    rate_of(&seconds, bytes, counted_bytes).ok_or("the device's clock stood still".to_owned())
}

/// Copies of a run, after one that took `trial`.
fn copies(trial: Duration) -> u32 {
    let wanted = RUN_MS / (1e3 * trial.as_secs_f64()).max(1e-6);
    wanted.ceil().clamp(1.0, COPIES_MAX) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_median_of_its_runs() {
        let rate = rate_of(&[0.5, 0.25, 1.0, 0.0], 100, 200).unwrap();
        let expected = Rate {
            bytes_per_s: 400,
            bytes_per_s_min: 200,
            bytes_per_s_max: 800,
            copy_bytes: 100,
            runs: 3,
        };
        assert_eq!(rate, expected, "a run without length is none");
        assert_eq!(rate_of(&[0.0], 1, 1), None);
    }

    #[test]
    fn copies_are_long_enough_and_fit() {
        assert_eq!(bytes_for(140 << 30, COPY_BYTES_MAX), Ok(1 << 30));
        assert_eq!(bytes_for((2 << 30) + 5, COPY_BYTES_MAX), Ok(256 << 20));
        assert!(bytes_for(1000 << 20, COPY_BYTES_MAX).unwrap_err().contains("1.049 GB"));
        assert_eq!(copies(Duration::from_micros(500)), 10);
        assert_eq!(copies(Duration::from_secs(1)), 1);
        assert_eq!(copies(Duration::ZERO), COPIES_MAX as u32);
    }

    #[test]
    fn what_is_unknown_says_so_in_json() {
        let json = serde_json::to_value(figure(Err("no memory".to_owned()))).unwrap();
        assert_eq!(json, serde_json::json!({"unknown": "no memory"}));
        assert_eq!(measure(&[]), Bandwidth::default());
    }
}
