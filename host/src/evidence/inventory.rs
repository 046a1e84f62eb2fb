//! The devices of this machine: what `attest detect` shows.

use super::nvml::{NvmlDevice, NvmlView};
use crate::executor::gpu::{GpuDevice, devices, driver_cuda_version, driver_version};
use crate::protocol::digest::Uuid;
use serde::Serialize;
use std::fmt;

/// Everything found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Version of this document's form.
    pub schema: u32,
    /// The CUDA driver's view.
    pub cuda: CudaView,
    /// The management library's view.
    pub nvml: NvmlView,
    /// Where the two disagree, in words.
    pub findings: Vec<String>,
}

/// What the CUDA driver says, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum CudaView {
    /// It lists devices.
    Loaded {
        /// The kernel driver's version.
        driver_version: String,
        /// The newest CUDA version that it supports, such as "13.0".
        cuda_version: String,
        /// In the driver's order.
        devices: Vec<DeviceEntry>,
    },
    /// No GPU can be used.
    NoGpu {
        /// What happened, and what to try.
        reason: String,
    },
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceEntry {
    /// Its number for --devices.
    pub index: u32,
    /// Name.
    pub name: String,
    /// "GPU-xxxxxxxx-…".
    pub uuid: String,
    /// Such as "9.0".
    pub compute_capability: String,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Highest SM clock, kHz.
    pub clock_khz: u32,
    /// Highest memory clock, kHz.
    pub memory_clock_khz: u32,
    /// Width of the memory bus, bits.
    pub memory_bus_bits: u32,
    /// L2 cache, bytes.
    pub l2_bytes: u32,
    /// "domain:bus:device.function".
    pub pci_id: String,
    /// Whether error-correcting memory is on.
    pub ecc: bool,
}

/// Asks the CUDA driver and NVML. Never fails: what is not there is told.
pub fn inventory() -> Inventory {
    let cuda = match devices() {
        Ok(devices) => CudaView::Loaded {
            driver_version: driver_version(),
            cuda_version: driver_cuda_version().map_or_else(
                |_| "unknown".to_owned(),
                |v| format!("{}.{}", v / 1000, v % 1000 / 10),
            ),
            devices: devices.iter().map(DeviceEntry::of).collect(),
        },
        Err(reason) => CudaView::NoGpu { reason: reason.to_string() },
    };
    let nvml = NvmlView::read();
    Inventory { schema: 1, findings: disagreements(&cuda, &nvml), cuda, nvml }
}

impl Inventory {
    /// The CUDA driver's devices; none where it is not there.
    pub fn devices(&self) -> &[DeviceEntry] {
        match &self.cuda {
            CudaView::Loaded { devices, .. } => devices,
            CudaView::NoGpu { .. } => &[],
        }
    }
}

impl DeviceEntry {
    fn of(device: &GpuDevice) -> Self {
        Self {
            index: device.index,
            name: device.name.clone(),
            uuid: uuid_text(&device.uuid),
            compute_capability: device.capability.to_string(),
            sm_count: device.sm_count,
            memory_bytes: device.memory_bytes,
            clock_khz: device.clock_khz,
            memory_clock_khz: device.memory_clock_khz,
            memory_bus_bits: device.memory_bus_bits,
            l2_bytes: device.l2_bytes,
            pci_id: device.pci_id.clone(),
            ecc: device.ecc,
        }
    }
}

/// A UUID as nvidia-smi writes it.
fn uuid_text(uuid: &Uuid) -> String {
    let hex = uuid.to_string();
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("GPU-{a}-{b}-{c}-{d}-{e}")
}

/// Count, UUIDs, names: two libraries of one driver agree on them. A process
/// may see fewer CUDA devices than NVML lists (CUDA_VISIBLE_DEVICES), not more.
fn disagreements(cuda: &CudaView, nvml: &NvmlView) -> Vec<String> {
    let (CudaView::Loaded { devices, .. }, NvmlView::Loaded { devices: managed, .. }) =
        (cuda, nvml)
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if managed.len() != devices.len() {
        let (managed, cuda) = (managed.len(), devices.len());
        findings.push(format!("NVML lists {managed} devices, the CUDA driver {cuda}"));
    }
    for device in devices {
        let (index, pci_id) = (device.index, &device.pci_id);
        let Some(other) = nvml.device_at(pci_id) else {
            findings.push(format!("CUDA device {index} at {pci_id} is unknown to NVML"));
            continue;
        };
        // A MIG instance has a UUID and a name of its own.
        let whole = other.mig != Some(true);
        let mut compare = |what: &str, ours: &str, theirs: &Option<String>| {
            if let Some(theirs) = theirs
                && theirs != ours
                && whole
            {
                findings.push(format!(
                    "CUDA device {index}: {what} is {ours} to the CUDA driver and {theirs} to NVML"
                ));
            }
        };
        compare("the UUID", &device.uuid, &other.uuid);
        compare("the name", &device.name, &other.name);
    }
    findings
}

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
        self.findings.iter().try_for_each(|finding| write!(f, "\nFINDING: {finding}"))
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

    fn device(index: u32) -> DeviceEntry {
        DeviceEntry {
            index,
            name: "NVIDIA H200".to_owned(),
            uuid: uuid_text(&Uuid([index as u8; 16])),
            compute_capability: "9.0".to_owned(),
            sm_count: 132,
            memory_bytes: 150_000_000_000,
            clock_khz: 1_980_000,
            memory_clock_khz: 3_201_000,
            memory_bus_bits: 6144,
            l2_bytes: 50 << 20,
            pci_id: format!("0000:{index:02x}:00.0"),
            ecc: true,
        }
    }

    fn managed(device: &DeviceEntry) -> NvmlDevice {
        NvmlDevice {
            uuid: Some(device.uuid.clone()),
            pci_id: Some(format!("0000{}", device.pci_id)),
            name: Some(device.name.clone()),
            ..NvmlDevice::default()
        }
    }

    fn cuda(devices: Vec<DeviceEntry>) -> CudaView {
        let (driver_version, cuda_version) = ("580.82.07".to_owned(), "13.0".to_owned());
        CudaView::Loaded { driver_version, cuda_version, devices }
    }

    fn nvml(devices: Vec<NvmlDevice>) -> NvmlView {
        NvmlView::Loaded { driver_version: None, nvml_version: None, devices }
    }

    #[test]
    fn uuids_are_written_as_nvidia_smi_does() {
        let uuid: Uuid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(uuid_text(&uuid), "GPU-01234567-89ab-cdef-0123-456789abcdef");
    }

    #[test]
    fn agreement_is_silent() {
        let devices = [device(1), device(2)];
        let view = nvml(devices.iter().map(managed).collect());
        assert!(disagreements(&cuda(devices.to_vec()), &view).is_empty());
        // Without NVML there is nothing to compare with.
        let none = NvmlView::Unavailable { reason: String::new() };
        assert!(disagreements(&cuda(devices.to_vec()), &none).is_empty());
    }

    #[test]
    fn every_kind_of_disagreement_is_found() {
        let real = device(1);
        let findings =
            |view: Vec<NvmlDevice>| disagreements(&cuda(vec![real.clone()]), &nvml(view));
        // A preloaded library that multiplies the devices.
        let eight = findings(vec![managed(&real); 8]);
        assert_eq!(eight, ["NVML lists 8 devices, the CUDA driver 1"]);
        let renamed = NvmlDevice { name: Some("NVIDIA H300".to_owned()), ..managed(&real) };
        assert!(findings(vec![renamed])[0].contains("H300"));
        let other = NvmlDevice { uuid: Some("GPU-0".to_owned()), ..managed(&real) };
        assert!(findings(vec![other])[0].contains("UUID"));
        let moved = NvmlDevice { pci_id: Some("00000000:77:00.0".to_owned()), ..managed(&real) };
        assert!(findings(vec![moved])[0].contains("unknown to NVML"));
        let mig = NvmlDevice { uuid: Some("GPU-0".to_owned()), mig: Some(true), ..managed(&real) };
        assert!(findings(vec![mig]).is_empty(), "a MIG instance differs from its parent");
    }

    #[test]
    fn a_machine_without_a_gpu_is_one_line_and_a_value() {
        let found = Inventory {
            schema: 1,
            cuda: CudaView::NoGpu { reason: "no GPU is used: because\ntry this".to_owned() },
            nvml: NvmlView::Unavailable { reason: "gone".to_owned() },
            findings: Vec::new(),
        };
        assert_eq!(found.to_string(), "no GPU is used: because");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["cuda"]["status"], "no-gpu");
        assert_eq!(json["cuda"]["reason"], "no GPU is used: because\ntry this");
        // This machine, whatever it has.
        assert!(!inventory().to_string().is_empty());
    }

    #[test]
    fn a_device_shows_every_field_that_is_promised() {
        let real = device(1);
        let found = Inventory {
            schema: 1,
            findings: Vec::new(),
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
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["cuda"]["devices"][0]["memory_bytes"], 150_000_000_000_u64);
        assert_eq!(json["nvml"]["devices"][0]["temperature_c"], 41);
        assert!(json["nvml"]["devices"][0].get("serial").is_none(), "unknown facts are absent");
    }
}
