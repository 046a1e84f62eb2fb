//! A device by NVML at one time.

use super::Sentinel;
use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use std::time::Instant;

/// A reading. A fact that NVML does not tell is absent.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// When it was complete.
    pub at: Instant,
    /// SM clock, MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Memory clock, MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Power, mW; from Ampere on a mean over the second before.
    pub power_mw: Option<u32>,
    /// Energy since the driver was loaded, mJ.
    pub energy_mj: Option<u64>,
    /// Temperature, °C.
    pub temperature_c: Option<u32>,
    /// Share of the last period in which a kernel ran, %.
    pub utilization_percent: Option<u32>,
    /// Share of the last period in which memory was read or written, %.
    pub memory_utilization_percent: Option<u32>,
    /// Why clocks are held down, NVML's bits.
    pub throttle: Option<u64>,
}

impl Reading {
    /// Asks for everything.
    pub(super) fn of(device: &Device<'_>) -> Self {
        let utilization = device.utilization_rates().ok();
        let known = |answer: Result<u32, NvmlError>| answer.ok().and_then(Sentinel::known);
        Self {
            sm_clock_mhz: known(device.clock_info(Clock::SM)),
            memory_clock_mhz: known(device.clock_info(Clock::Memory)),
            power_mw: known(device.power_usage()),
            energy_mj: device.total_energy_consumption().ok().and_then(Sentinel::known),
            temperature_c: known(device.temperature(TemperatureSensor::Gpu)),
            utilization_percent: utilization.as_ref().and_then(|share| share.gpu.known()),
            memory_utilization_percent: utilization.as_ref().and_then(|share| share.memory.known()),
            throttle: device.current_throttle_reasons().ok().map(|reasons| reasons.bits()),
            at: Instant::now(),
        }
    }

    /// A reading at this time that says nothing.
    #[cfg(test)]
    pub(in crate::executor::gpu) fn silent(at: Instant) -> Self {
        Self {
            at,
            sm_clock_mhz: None,
            memory_clock_mhz: None,
            power_mw: None,
            energy_mj: None,
            temperature_c: None,
            utilization_percent: None,
            memory_utilization_percent: None,
            throttle: None,
        }
    }
}

/// NVML's names of why clocks are held down; being idle is no such reason.
pub fn throttle_names(bits: u64) -> Vec<String> {
    let held = ThrottleReasons::from_bits_truncate(bits) - ThrottleReasons::GPU_IDLE;
    held.iter_names().map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_names_and_idleness_is_none() {
        let bits = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::GPU_IDLE;
        assert_eq!(throttle_names(bits.bits()), ["SW_POWER_CAP"]);
        assert_eq!(throttle_names(0), [""; 0]);
        assert_eq!(throttle_names(1 << 63), [""; 0], "bits of a newer driver");
    }
}
