//! The inventory in words: one block per device, then the driver's libraries,
//! then the findings.

use super::inventory::{CudaView, DeviceEntry, Inventory};
use super::nvml::{NvmlDevice, NvmlView};
use super::process::MappedLibrary;
use std::fmt;

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cuda {
            CudaView::NoGpu { reason } => {
                // One line: nothing is wrong with a machine without a GPU.
                write!(f, "{}", reason.lines().next().unwrap_or("no GPU is used"))?;
            }
            CudaView::Loaded { driver_version, cuda_version, devices } => {
                write!(f, "driver {driver_version}, CUDA {cuda_version}")?;
                for device in devices {
                    let managed = self.nvml.device_at(&device.pci_id);
                    let more = managed.map_or(String::new(), NvmlDevice::to_string);
                    write!(f, "\n{}", format!("{device}{more}").trim_end())?;
                }
                if let NvmlView::Unavailable { reason } = &self.nvml {
                    write!(f, "\nNVML is not available: {reason}")?;
                }
            }
        }
        for MappedLibrary { path, sha256, .. } in &self.process.libraries {
            let sha256 = sha256.as_deref().unwrap_or("unknown");
            write!(f, "\nlibrary {}\n  SHA-256             {sha256}", path.escape_debug())?;
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\nFINDING {finding}"))
    }
}

impl fmt::Display for DeviceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.index, self.name)?;
        writeln!(f, "  UUID                {}", self.uuid)?;
        writeln!(f, "  PCI id              {}", self.pci_id)?;
        writeln!(f, "  compute capability  {}", self.compute_capability)?;
        writeln!(f, "  SMs                 {}", self.sm_count)?;
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        writeln!(
            f,
            "  memory              {gib:.1} GiB, ECC {}",
            if self.ecc { "on" } else { "off" }
        )?;
        writeln!(
            f,
            "  L2 cache            {:.1} MiB",
            f64::from(self.l2_bytes) / f64::from(1 << 20)
        )?;
        writeln!(
            f,
            "  highest clocks      SM {} MHz, memory {} MHz × {} bits",
            { self.clock_khz / 1000 },
            self.memory_clock_khz / 1000,
            self.memory_bus_bits
        )
    }
}

impl fmt::Display for NvmlDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "  {name:<20}{value}"),
            None => Ok(()),
        };
        line("serial", self.serial.clone())?;
        line("VBIOS", self.vbios_version.clone())?;
        line(
            "clocks now",
            self.sm_clock_mhz
                .zip(self.memory_clock_mhz)
                .map(|(sm, memory)| format!("SM {sm} MHz, memory {memory} MHz")),
        )?;
        line(
            "power",
            self.power_mw
                .zip(self.power_limit_mw)
                .map(|(now, limit)| format!("{} W of {} W", now / 1000, limit / 1000)),
        )?;
        line("temperature", self.temperature_c.map(|celsius| format!("{celsius} °C")))?;
        line("MIG", self.mig.map(|mig| if mig { "on" } else { "off" }.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::examples::{cuda, device, managed, nvml};
    use crate::evidence::finding::{Code, Finding};
    use crate::evidence::kernel::KernelView;
    use crate::evidence::process::{FileState, ProcessView};

    #[test]
    fn a_machine_without_a_gpu_is_one_line_and_a_value() {
        let found = Inventory {
            schema: 1,
            cuda: CudaView::NoGpu { reason: "no GPU is used: because\ntry this".to_owned() },
            nvml: NvmlView::Unavailable { reason: "gone".to_owned() },
            kernel: KernelView::Unavailable { reason: "gone".to_owned() },
            process: ProcessView::default(),
            findings: Vec::new(),
        };
        assert_eq!(found.to_string(), "no GPU is used: because");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["cuda"]["status"], "no-gpu");
        assert_eq!(json["cuda"]["reason"], "no GPU is used: because\ntry this");
    }

    #[test]
    fn a_device_shows_every_field_that_is_promised() {
        let real = device(1);
        let library = MappedLibrary {
            path: "/usr/lib/libcuda.so.1".to_owned(),
            file: FileState::Present,
            sha256: None,
        };
        let found = Inventory {
            schema: 1,
            kernel: KernelView::Unavailable { reason: "gone".to_owned() },
            process: ProcessView { libraries: vec![library], ..ProcessView::default() },
            findings: vec![Finding::new(Code::NameDiffers, "two names")],
            nvml: nvml(vec![NvmlDevice { temperature_c: Some(41), ..managed(&real) }]),
            cuda: cuda(vec![real]),
        };
        let text = found.to_string();
        for part in [
            "580.82.07",
            "CUDA 13.0",
            "NVIDIA H200",
            "GPU-01010101-",
            "0000:01:00.0",
            "9.0",
            "132",
            "139.7 GiB, ECC on",
            "50.0 MiB",
            "SM 1980 MHz",
            "3201 MHz × 6144 bits",
            "41 °C",
            "library /usr/lib/libcuda.so.1",
            "\nFINDING name-differs: two names",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["cuda"]["devices"][0]["memory_bytes"], 150_000_000_000_u64);
        assert_eq!(json["nvml"]["devices"][0]["temperature_c"], 41);
        assert!(json["nvml"]["devices"][0].get("serial").is_none(), "unknown facts are absent");
    }
}
