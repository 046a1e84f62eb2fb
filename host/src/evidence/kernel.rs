//! The kernel driver's view: its files under /proc/driver/nvidia.
//!
//! Guarantees: reads at most [`DEVICES_MAX`] files of [`FILE_BYTES_MAX`] each;
//! a line that is not understood is a fact that is absent.
//! Deliberately lacks: belief in these files. A mount can lie over them
//! ([`super::mounts`]).

use crate::protocol::evidence::machine::{KernelDevice, KernelSource, KernelView};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Where the kernel driver describes itself.
pub(super) const FOLDER: &str = "/proc/driver/nvidia";
/// Most devices that are looked at.
pub(super) const DEVICES_MAX: usize = 256;
/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Reads the files under `folder`: /proc/driver/nvidia, but in tests.
pub(super) fn view(folder: &Path) -> KernelView {
    let gpus = match std::fs::read_dir(folder.join("gpus")) {
        Ok(entries) => entries,
        Err(error) => {
            let reason = format!("{}: {error}", folder.join("gpus").display());
            return KernelView::Unavailable { reason };
        }
    };
    let mut devices: Vec<KernelDevice> = gpus
        .take(DEVICES_MAX)
        .flatten()
        .map(|entry| {
            let text = head(&entry.path().join("information")).unwrap_or_default();
            device(&entry.file_name().to_string_lossy(), &text)
        })
        .collect();
    devices.sort_by(|a, b| a.pci_id.cmp(&b.pci_id));
    let version = head(&folder.join("version")).and_then(|text| version(&text));
    KernelView::Loaded(KernelSource { version, devices })
}

/// The start of a text file.
fn head(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A device from the text of its `information` file: "Name: \t value" lines.
fn device(pci_id: &str, text: &str) -> KernelDevice {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let value = line.trim();
        // Of a device that was never used it has "GPU-????????-…" and "Unknown".
        let known = !value.is_empty() && value != "Unknown" && !value.contains('?');
        known.then(|| value.to_owned())
    };
    KernelDevice {
        pci_id: pci_id.to_owned(),
        name: field("Model"),
        uuid: field("GPU UUID"),
        vbios_version: field("Video BIOS"),
    }
}

/// The version in "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07 …".
fn version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let is_version =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    line.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFORMATION: &str = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\n\
        GPU UUID: \t GPU-01234567-89ab-cdef-0123-456789abcdef\nVideo BIOS: \t 96.00.5e.00.01\n\
        Bus Type: \t PCIe\nBus Location: \t 0000:19:00.0\nDevice Minor: \t 0\n";

    #[test]
    fn the_files_are_read_as_the_driver_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = folder.path().join("gpus/0000:19:00.0");
        std::fs::create_dir_all(&gpu).unwrap();
        std::fs::write(gpu.join("information"), INFORMATION).unwrap();
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release \
                    Build  (root@host)\nGCC version:  gcc version 12.3.0\n";
        std::fs::write(folder.path().join("version"), text).unwrap();
        let KernelView::Loaded(KernelSource { version, devices }) = view(folder.path()) else {
            panic!("the files are there")
        };
        assert_eq!(version.as_deref(), Some("580.82.07"));
        let expected = KernelDevice {
            pci_id: "0000:19:00.0".to_owned(),
            name: Some("NVIDIA H100 80GB HBM3".to_owned()),
            uuid: Some("GPU-01234567-89ab-cdef-0123-456789abcdef".to_owned()),
            vbios_version: Some("96.00.5e.00.01".to_owned()),
        };
        assert_eq!(devices, [expected]);
    }

    #[test]
    fn what_the_driver_does_not_know_yet_is_absent() {
        let text = "Model: \t\t Unknown\nGPU UUID: \t GPU-????????-????-????-????-????????????\n\
                    Video BIOS: \t ??.??.??.??.??\n";
        let unused = device("0000:19:00.0", text);
        let only_the_place = KernelDevice { pci_id: "0000:19:00.0".into(), ..Default::default() };
        assert_eq!(unused, only_the_place);
        assert_eq!(device("0000:19:00.0", "Model\nGPU UUID GPU-1\n\u{0}"), only_the_place);
        assert_eq!(version("NVRM version: x86_64 1. .2 a.b\n"), None);
    }

    #[test]
    fn a_machine_without_the_driver_and_a_file_without_end_are_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let KernelView::Unavailable { reason } = view(folder.path()) else {
            panic!("nothing is there")
        };
        assert!(reason.contains("gpus"), "{reason}");
        assert_eq!(head(Path::new("/dev/zero")).unwrap().len() as u64, FILE_BYTES_MAX);
    }
}
