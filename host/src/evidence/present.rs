//! Which GPUs there are: the CUDA driver's list, held against what NVML, the kernel
//! driver's files and the PCI bus list.
//!
//! Guarantees: one answer for every command; no CPU stands in for a GPU that any source
//! lists; GPUs that CUDA lacks are named; a source that hangs costs [`NVML_PATIENCE`].
//! Deliberately lacks: missing GPUs by the kernel's files and the bus, of which a
//! container may see more than it was given: they count only if CUDA has none.

use super::cross_check::visible;
use super::kernel;
use super::nvml::{self, NvmlListing};
use super::pci;
use super::process;
use crate::error_text::what_happened;
use crate::executor::abandoned::{self, NoAnswer};
use crate::executor::gpu::{self, DeviceList, MissingGpus, NoGpu};
use crate::protocol::evidence::machine::normal_pci_id;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest wait for NVML to say what it lists: it may hang.
const NVML_PATIENCE: Duration = Duration::from_secs(20);
/// Most missing GPUs that are named.
const NAMED_MAX: usize = 16;

/// Every GPU that CUDA lists, with those that it fails to describe and those that it
/// lacks. The other sources are asked once a process, as CUDA looks for devices once.
///
/// # Errors
/// [`NoGpu`]: absence only if no source lists one, or the user hides all.
pub fn present_gpus() -> Result<DeviceList, NoGpu> {
    static OTHERS: OnceLock<Others> = OnceLock::new();
    let listed = gpu::list();
    if listed.as_ref().is_err_and(|no_gpu| !no_gpu.is_absence()) {
        // Nothing that others say makes it better.
        return listed;
    }
    judged(listed, OTHERS.get_or_init(Others::ask))
}

/// What the sources beside CUDA say.
#[derive(Debug, Default)]
struct Others {
    nvml: NvmlListing,
    /// The system's words if it gave no thread to ask NVML on.
    no_thread: Option<String>,
    /// How many devices the kernel driver's files list.
    kernel: usize,
    /// How many GPUs of NVIDIA are on the PCI bus.
    pci: usize,
    /// CUDA_VISIBLE_DEVICES, if it is set.
    visible: Option<String>,
}

impl Others {
    fn ask() -> Self {
        let (nvml, no_thread) = match abandoned::within(NVML_PATIENCE, nvml::listing) {
            Ok(nvml) => (nvml, None),
            Err(NoAnswer::Hangs) => {
                let reason = format!("no answer within {} s", NVML_PATIENCE.as_secs());
                (NvmlListing::Failed(reason), None)
            }
            Err(NoAnswer::NoThread(error)) => (NvmlListing::Absent, Some(error.to_string())),
        };
        Self {
            nvml,
            no_thread,
            kernel: kernel::view(Path::new(kernel::FOLDER)).devices().len(),
            pci: pci::view(Path::new(pci::FOLDER)).devices().len(),
            visible: process::cuda_visible_devices(),
        }
    }

    /// "NVML lists 8 GPUs, the PCI bus 8"; `None` if nobody knows of any.
    fn say(&self) -> Option<String> {
        let lists = |source: &str, count: u64| {
            let s = if count == 1 { "" } else { "s" };
            (count > 0).then(|| format!("{source} lists {count} GPU{s}"))
        };
        let nvml = match &self.nvml {
            NvmlListing::Absent => None,
            NvmlListing::Failed(reason) => Some(format!("NVML is there and fails: {reason}")),
            NvmlListing::Devices { count, .. } => lists("NVML", u64::from(*count)),
        };
        let kernel = lists("the kernel driver", self.kernel as u64);
        let said: Vec<String> =
            [nvml, kernel, lists("the PCI bus", self.pci as u64)].into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// CUDA's word held against the others'.
fn judged(listed: Result<DeviceList, NoGpu>, others: &Others) -> Result<DeviceList, NoGpu> {
    let visible = others.visible.as_deref();
    match listed {
        Ok(list) => {
            let missing = missing(&list, others);
            Ok(DeviceList { missing, ..list })
        }
        Err(no_gpu) if !no_gpu.is_absence() => Err(no_gpu),
        Err(no_gpu) if let Some(reason) = &others.no_thread => {
            // Nobody knows whether there are any.
            tracing::debug!("{no_gpu}");
            Err(NoGpu::NoThread { reason: reason.clone() })
        }
        Err(no_gpu) => Err(match (others.say(), visible) {
            (None, _) => no_gpu,
            (Some(_), Some(value)) if visible::hides_all(value) => {
                NoGpu::Hidden { value: value.to_owned() }
            }
            (Some(others), visible) => {
                let cuda = what_happened(&no_gpu);
                let cuda = cuda.trim_start_matches("no GPU is used: ").to_owned();
                let variable = visible.map(|value| format!("; CUDA_VISIBLE_DEVICES is {value:?}"));
                NoGpu::Contradicted { cuda, others: others + &variable.unwrap_or_default() }
            }
        }),
    }
}

fn missing(list: &DeviceList, others: &Others) -> Option<MissingGpus> {
    let NvmlListing::Devices { count, devices } = &others.nvml else { return None };
    let (managed, listed) = (u64::from(*count), list.count() as u64);
    let mig = devices.iter().any(|device| device.mig);
    let expected = match visible::explained(others.visible.as_deref(), managed, listed, mig) {
        visible::Explained::Yes => return None,
        visible::Explained::No { named } => named,
    };
    if listed >= expected {
        return None;
    }
    let is_listed = |pci_id: Option<&str>| {
        let place = pci_id.and_then(normal_pci_id);
        place.is_some() && list.devices.iter().any(|device| normal_pci_id(&device.pci_id) == place)
    };
    let unlisted = devices.iter().filter(|device| !is_listed(device.pci_id.as_deref()));
    let names: Vec<&str> = unlisted.take(NAMED_MAX).map(|device| &*device.label).collect();
    let mut which = match names.is_empty() {
        true => format!("NVML lists {managed}"),
        false => format!("NVML lists {managed}, of which CUDA lacks {}", names.join(", ")),
    };
    if let Some(value) = &others.visible {
        which += &format!("; CUDA_VISIBLE_DEVICES is {value:?}");
    }
    Some(MissingGpus { expected, listed, which })
}

#[cfg(test)]
#[path = "present_tests.rs"]
mod tests;
