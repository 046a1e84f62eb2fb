//! What NVML says of a device at one time.

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
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
        Self {
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
            power_mw: device.power_usage().ok(),
            energy_mj: device.total_energy_consumption().ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            utilization_percent: utilization.as_ref().map(|share| share.gpu),
            memory_utilization_percent: utilization.as_ref().map(|share| share.memory),
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
