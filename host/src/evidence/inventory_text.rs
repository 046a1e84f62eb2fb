//! The inventory in words: a table, how the devices are joined, one block per
//! device, then the driver's libraries, then the findings.

use super::inventory::Inventory;
use super::inventory_table::{bandwidth, devices_table, gib_text, joined};
use crate::protocol::evidence::machine::{
    CudaSource, CudaView, DeviceEntry, KernelDevice, KernelSource, KernelView, MappedLibrary,
    NotDescribed, NvmlDevice, NvmlSource, NvmlView, PciDevice, PciSource, PciView, normal_pci_id,
};
use std::collections::BTreeMap;
use std::fmt;

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cuda {
            CudaView::NoGpu { reason } => {
                // One line: nothing is wrong with a machine without a GPU.
                write!(f, "{}", reason.lines().next().unwrap_or("no GPU is used"))?;
                if let Some(visible) = &self.process.cuda_visible_devices {
                    write!(f, "\nCUDA_VISIBLE_DEVICES is {visible:?}")?;
                }
                // But if others see one, they are needed to find out what is.
                write!(f, "{}", self.seen_by_others())?;
            }
            CudaView::Loaded(CudaSource {
                driver_version,
                cuda_version,
                devices,
                not_described,
                peer_access,
            }) => {
                write!(f, "driver {driver_version}, CUDA {cuda_version}")?;
                if let NvmlView::Loaded(NvmlSource { nvml_version: Some(version), .. }) = &self.nvml
                {
                    write!(f, ", NVML {}", version.escape_debug())?;
                }
                if let Some(visible) = &self.process.cuda_visible_devices {
                    write!(f, "\nCUDA_VISIBLE_DEVICES is {visible:?}: other devices are hidden")?;
                }
                write!(f, "\n{}", devices_table(devices, &self.nvml))?;
                write!(f, "{}", joined(peer_access, &self.nvml))?;
                for device in devices {
                    write!(f, "\n{}", self.block(device).trim_end())?;
                }
                for NotDescribed { index, reason } in not_described {
                    write!(f, "\n{index}: cannot be used: {}", reason.escape_debug())?;
                }
                if let NvmlView::Unavailable { reason } = &self.nvml {
                    write!(f, "\nNVML is not available: {}", reason.escape_debug())?;
                }
            }
        }
        if let Some(measured) = &self.bandwidth {
            write!(f, "\n{}", bandwidth(measured).trim_end())?;
        }
        for MappedLibrary { path, sha256, .. } in &self.process.libraries {
            let sha256 = sha256.as_deref().unwrap_or("unknown");
            write!(f, "\nlibrary {}\n  SHA-256             {sha256}", path.escape_debug())?;
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\nFINDING {finding}"))
    }
}

impl Inventory {
    /// What NVML, the kernel driver and the bus list, for when CUDA lists
    /// nothing; empty if they list nothing either.
    fn seen_by_others(&self) -> String {
        let (nvml, kernel, bus) = (&self.nvml, &self.kernel, &self.pci);
        let seen = [nvml.devices().len(), kernel.devices().len(), bus.devices().len()];
        if seen == [0; 3] {
            return String::new();
        }
        let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".to_owned());
        let mut lines = vec![match nvml {
            NvmlView::Loaded(NvmlSource { driver_version, device_count, .. }) => {
                format!("NVML lists {device_count} (driver {})", known(driver_version))
            }
            NvmlView::Unavailable { reason } => format!("NVML is not available: {reason}"),
        }];
        let device = |pci_id: &str, name: &str, uuid: &str| format!("  {pci_id}  {name}  {uuid}");
        lines.extend(nvml.devices().iter().map(|it| {
            let why = it.inaccessible.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
            device(&known(&it.pci_id), &known(&it.name), &known(&it.uuid)) + &why
        }));
        lines.push(match kernel {
            KernelView::Loaded(KernelSource { version, devices }) => {
                format!("the kernel driver lists {} (driver {})", devices.len(), known(version))
            }
            KernelView::Unavailable { reason } => format!("no kernel driver is seen: {reason}"),
        });
        lines.extend(kernel.devices().iter().map(|KernelDevice { pci_id, name, uuid, .. }| {
            device(pci_id, &known(name), &known(uuid))
        }));
        lines.push(match bus {
            PciView::Loaded(PciSource { devices }) => {
                format!("the PCI bus lists {}", devices.len())
            }
            PciView::Unavailable { reason } => format!("the PCI bus lists none: {reason}"),
        });
        lines.extend(
            bus.devices()
                .iter()
                .map(|PciDevice { pci_id, device_id, .. }| format!("  {pci_id}  {device_id}")),
        );
        lines.iter().map(|line| format!("\n{}", line.escape_debug())).collect()
    }

    fn block(&self, device: &DeviceEntry) -> String {
        let place = normal_pci_id(&device.pci_id);
        let on_bus = self
            .pci
            .devices()
            .iter()
            .find(|on_bus| place.is_some() && normal_pci_id(&on_bus.pci_id) == place);
        let managed = self.nvml.device_at(&device.pci_id);
        let bus = on_bus.map_or(String::new(), |on_bus| InWords(on_bus).to_string());
        let managed = managed.map_or(String::new(), |managed| InWords(managed).to_string());
        format!("{}{bus}{managed}", InWords(device))
    }
}

/// Lines of a device's block.
struct InWords<'a, T>(&'a T);

/// A line of a device's block.
fn line(f: &mut fmt::Formatter<'_>, name: &str, value: Option<String>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "  {name:<20}{}", value.escape_debug()),
        None => Ok(()),
    }
}

fn on_or_off(is: bool) -> String {
    if is { "on" } else { "off" }.to_owned()
}

impl fmt::Display for InWords<'_, DeviceEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.0.index, self.0.name.escape_debug())?;
        line(f, "UUID", Some(self.0.uuid.clone()))?;
        let mig = self.0.mig.as_ref().map(|mig| match &mig.parent_uuid {
            Some(parent) => format!("an instance of {parent}"),
            None => "an instance".to_owned(),
        });
        line(f, "MIG", mig)?;
        line(f, "PCI id", Some(self.0.pci_id.clone()))?;
        line(f, "compute capability", Some(self.0.compute_capability.clone()))?;
        line(f, "SMs", Some(self.0.sm_count.to_string()))?;
        let memory = gib_text(self.0.memory_bytes);
        line(f, "memory", Some(format!("{memory}, ECC {}", on_or_off(self.0.ecc))))?;
        let mib = f64::from(self.0.l2_bytes) / f64::from(1 << 20);
        line(f, "L2 cache", Some(format!("{mib:.1} MiB")))?;
        let clocks = format!(
            "SM {} MHz, memory {} MHz × {} bits",
            self.0.clock_khz / 1000,
            self.0.memory_clock_khz / 1000,
            self.0.memory_bus_bits
        );
        line(f, "highest clocks", Some(clocks))
    }
}

impl fmt::Display for InWords<'_, PciDevice> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subsystem = self.0.subsystem_id.as_ref().map(|id| format!(", subsystem {id}"));
        let ids = format!("{}{}", self.0.device_id, subsystem.unwrap_or_default());
        line(f, "PCI device", Some(ids))?;
        let link = self.0.link_speed.as_ref().zip(self.0.link_width);
        let most = match (&self.0.link_speed_max, self.0.link_width_max) {
            (Some(speed), Some(width)) => format!(" (at most {speed} × {width})"),
            _ => String::new(),
        };
        line(f, "PCI link", link.map(|(speed, width)| format!("{speed} × {width}{most}")))?;
        line(f, "NUMA node", self.0.numa_node.map(|node| node.to_string()))
    }
}

impl fmt::Display for InWords<'_, NvmlDevice> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = |value: u32| value / 1000;
        line(f, "serial", self.0.serial.clone())?;
        line(f, "board part", self.0.board_part_number.clone())?;
        line(f, "VBIOS", self.0.vbios_version.clone())?;
        let clocks = self.0.sm_clock_mhz.zip(self.0.memory_clock_mhz);
        let clocks = clocks.map(|(sm, memory)| format!("SM {sm} MHz, memory {memory} MHz"));
        line(f, "clocks now", clocks)?;
        let power = self.0.power_mw.zip(self.0.power_limit_mw).map(|(now, limit)| {
            let made_for = self.0.power_limit_default_mw.filter(|&default| default != limit);
            let made_for = made_for.map(|default| format!(" (made for {} W)", milli(default)));
            format!("{} W of {} W{}", milli(now), milli(limit), made_for.unwrap_or_default())
        });
        line(f, "power", power)?;
        line(f, "temperature", self.0.temperature_c.map(|celsius| format!("{celsius} °C")))?;
        let held = self.0.throttle_reasons.as_ref().filter(|reasons| !reasons.is_empty());
        line(f, "clocks held down by", held.map(|reasons| reasons.join(", ")))?;
        let errors = self.0.health.ecc_corrected.zip(self.0.health.ecc_uncorrected);
        let errors = errors.map(|(corrected, not)| {
            let ever = self.0.ecc_corrected_ever.zip(self.0.ecc_uncorrected_ever);
            let ever = ever.map(|(corrected, not)| format!("; ever {corrected}, {not}"));
            format!("{corrected} corrected, {not} not{}", ever.unwrap_or_default())
        });
        line(f, "memory errors", errors)?;
        let rows =
            self.0.health.rows_remapped_corrected.zip(self.0.health.rows_remapped_uncorrected);
        let rows = rows.map(|(corrected, not)| {
            let flag = |is: Option<bool>, text| if is == Some(true) { text } else { "" };
            let pending = flag(self.0.health.remap_pending, ", one is pending");
            let failed = flag(self.0.health.remap_failed, ", one FAILED");
            format!("{}{pending}{failed}", corrected.saturating_add(not))
        });
        line(f, "rows remapped", rows)?;
        line(f, "MIG mode", self.0.mig.map(on_or_off))?;
        for instance in &self.0.mig_instances {
            let unknown = || "unknown".to_owned();
            let name = instance.name.clone().unwrap_or_else(unknown);
            let uuid = instance.uuid.clone().unwrap_or_else(unknown);
            line(f, "  instance", Some(format!("{name} {uuid}")))?;
        }
        let protected = self.0.confidential_computing.map(|is| match is {
            true => "on, accepting work".to_owned(),
            false => "off, or not accepting work".to_owned(),
        });
        line(f, "confidential mode", protected)?;
        let others = self.0.computing.filter(|computing| computing.others > 0).map(|computing| {
            let mib = computing.memory_used_bytes >> 20;
            format!("{} compute here, with {mib} MiB of its memory", computing.others)
        });
        line(f, "other processes", others)?;
        line(f, "unknown", unknown(&self.0.unknown))
    }
}

/// "serial, mig (not supported); power_mw (no permission)".
fn unknown(reasons: &BTreeMap<&'static str, String>) -> Option<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (fact, reason) in reasons {
        by_reason.entry(reason).or_default().push(fact);
    }
    let told = by_reason.iter().map(|(reason, facts)| format!("{} ({reason})", facts.join(", ")));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
#[path = "inventory_text_tests.rs"]
mod tests;
