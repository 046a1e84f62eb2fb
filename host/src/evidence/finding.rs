//! Findings: what does not fit together in what a machine says about itself.
//!
//! Guarantees: codes are stable; a finding says what was compared and what each
//! side said, without control characters and in bounded length.
//! Deliberately lacks: a verdict. A finding is the miner's own word, and there
//! are honest machines with some of them.

use crate::protocol::json::shown;
use serde::Serialize;
use std::fmt;

/// Longest text of a finding, characters.
const TEXT_CHARS_MAX: usize = 400;

macro_rules! codes {
    ($($variant:ident $code:literal $what:literal;)*) => {
        /// The kinds of findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`: ", $what)] $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The stable kebab-case name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What was found, in a sentence without a capital.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }
    };
}

codes! {
    DeviceCount "device-count" "NVML and the CUDA driver list different numbers of devices.";
    DevicesHidden "devices-hidden" "CUDA lists fewer, and CUDA_VISIBLE_DEVICES or MIG may be why.";
    DeviceListedTwice "device-listed-twice" "one source has a UUID or a PCI id twice.";
    DeviceLost "device-lost" "NVML lists a device that is lost, or that nobody may ask.";
    DeviceUnlisted "device-unlisted" "a device of one source is at a PCI id that another lacks.";
    UuidDiffers "uuid-differs" "two sources name different UUIDs at one PCI id.";
    NameDiffers "name-differs" "two sources name different models at one PCI id.";
    MemoryDiffers "memory-differs" "NVML's and the CUDA driver's memory are far apart.";
    DriverVersionDiffers "driver-version-differs" "NVML and the kernel driver name different versions.";
    VbiosDiffers "vbios-differs" "NVML and the kernel driver name different firmware.";
    EccDiffers "ecc-differs" "NVML and the CUDA driver differ on whether ECC is on.";
    PciIdsDiffer "pci-ids-differ" "NVML and the PCI bus name different device or subsystem ids.";
    MigModeDiffers "mig-mode-differs" "CUDA and NVML differ on whether a device is cut up by MIG.";
    SerialListedTwice "serial-listed-twice" "two devices have one board's serial number.";
    DeviceShared "device-shared" "other processes compute on a device.";
    EccErrorsDuringRun "ecc-errors-during-run" "memory errors were counted during the run.";
    RowsRemappedDuringRun "rows-remapped-during-run" "memory rows were remapped during the run.";
    LaneUnlisted "lane-unlisted" "a lane ran on a device that the CUDA driver does not list.";
    PreloadVariable "preload-variable" "LD_PRELOAD or LD_AUDIT put libraries into this process.";
    PreloadFile "preload-file" "/etc/ld.so.preload puts libraries into every process.";
    DriverFilesMountedOver "driver-files-mounted-over" "something else lies over the kernel driver's files.";
    LibraryMountedOver "library-mounted-over" "another file lies over a driver library.";
    LibraryNotMapped "library-not-mapped" "a library answers, and no file of its name is mapped.";
    LibraryDeleted "library-deleted" "a mapped driver library's file is gone or was replaced.";
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which kind.
    pub code: Code,
    /// What was compared, and what each side said.
    pub text: String,
}

impl Finding {
    /// A finding; what a library or a file said in it is escaped and cut.
    pub fn new(code: Code, text: impl AsRef<str>) -> Self {
        Self { code, text: text.as_ref().chars().take(TEXT_CHARS_MAX).map(shown).collect() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_kebab_case() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        let table = include_str!("../../../docs/findings.md");
        for name in names {
            assert!(table.contains(&format!("\n| `{name}` | ")), "{name} is missing in the docs");
        }
    }

    #[test]
    fn a_finding_is_one_bounded_line_whatever_a_library_says() {
        let finding = Finding::new(Code::NameDiffers, format!("\x1b[2J\n{}", "x".repeat(10_000)));
        assert_eq!(finding.text.chars().count(), TEXT_CHARS_MAX);
        assert!(!finding.text.chars().any(char::is_control));
        let json = serde_json::to_value(Finding::new(Code::DeviceCount, "a")).unwrap();
        assert_eq!(json, serde_json::json!({"code": "device-count", "text": "a"}));
    }
}
