//! GPUs, and what is needed to use them.

use super::{Check, State};
use crate::appraisal::models;
use crate::error_text::what_happened;
use crate::evidence::{self, Inventory};
use crate::executor::NO_THREAD;
use crate::executor::abandoned::{self, NoAnswer};
use crate::executor::gpu::{DeviceList, GpuDevice, NoGpu};
use crate::mining::devices::DeviceRules;
use crate::protocol::evidence::machine::{CudaView, KernelView, NvmlView, PciView};
use crate::protocol::quantity::about;
use rustix::fs::Access;
use std::path::Path;
use std::time::Duration;

/// What to do if a container lacks a device.
const GIVE_GPUS: &str = "In a container: give it the GPUs (docker run --gpus all, or the NVIDIA \
                         device plugin). On the host: run nvidia-smi once as root.";

/// Longest wait for the driver's libraries, which may hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// Looks at the GPUs with their driver, and holds them to `rules`; `root` is `/`, but in
/// tests. A driver that hangs is a check that failed, after a minute and a half.
pub fn gpus(rules: &DeviceRules, root: &Path) -> Vec<Check> {
    let (rules, root) = (*rules, root.to_owned());
    match abandoned::within(PATIENCE, move || looked_at(&rules, &root)) {
        Ok(checks) => checks,
        Err(NoAnswer::Hangs) => vec![Check::wrong(
            "driver",
            format!("CUDA or NVML did not answer within {} s", PATIENCE.as_secs()),
            "See dmesg for Xid lines, and reset the GPU or restart the machine.",
        )],
        Err(NoAnswer::NoThread(error)) => {
            vec![Check::wrong("driver", format!("no thread to ask it on: {error}"), NO_THREAD)]
        }
    }
}

fn looked_at(rules: &DeviceRules, root: &Path) -> Vec<Check> {
    let listed = evidence::present_gpus();
    let inventory = evidence::inventory_of(&listed);
    let mut checks = vec![driver(&listed, &inventory, rules)];
    checks.extend(nvml(&inventory));
    checks.extend(device_files(root, &inventory));
    if let Ok(list) = &listed {
        checks.extend(list.devices.iter().map(|device| of_device(device, rules)));
        let broken = list.broken.iter();
        checks.extend(broken.map(|it| Check::of_error("gpu", State::Wrong, &it.error)));
        checks.extend(list.missing.iter().map(|it| Check::of_error("gpu", State::Wrong, it)));
    }
    checks.extend(inventory.findings.iter().map(|finding| {
        let advice = "docs/findings.md says what it means; a policy may reject it.";
        Check::wrong("finding", format!("{}: {}", finding.code.name(), finding.text), advice)
    }));
    checks
}

fn driver(listed: &Result<DeviceList, NoGpu>, inventory: &Inventory, rules: &DeviceRules) -> Check {
    const NAME: &str = "driver";
    if let Err(error) = rules.check_count(listed.as_ref()) {
        return Check::of_error(NAME, State::Wrong, &error);
    }
    match listed {
        Ok(_) => {
            let count = inventory.devices().len();
            let s = if count == 1 { "" } else { "s" };
            let versions = match &inventory.cuda {
                CudaView::Loaded(cuda) => {
                    format!("{}, CUDA {}", cuda.driver_version, cuda.cuda_version)
                }
                _ => "unknown".to_owned(),
            };
            Check::ok(NAME, format!("{versions}, {count} GPU{s}"))
        }
        // A validator needs none, and the CPU executor works.
        Err(no_gpu) if no_gpu.is_absence() => Check::of_error(NAME, State::Note, no_gpu),
        Err(no_gpu) => Check::of_error(NAME, State::Wrong, no_gpu),
    }
}

fn nvml(inventory: &Inventory) -> Option<Check> {
    const NAME: &str = "nvml";
    match &inventory.nvml {
        NvmlView::Loaded(nvml) => {
            let version = nvml.nvml_version.as_deref().unwrap_or("unknown");
            Some(Check::ok(NAME, format!("{version}, lists {}", nvml.device_count)))
        }
        // Without a GPU there is nothing that it could tell.
        NvmlView::Unavailable { .. } if inventory.devices().is_empty() => None,
        NvmlView::Unavailable { reason } => Some(Check::wrong(
            NAME,
            format!("not available: {reason}"),
            "Install libnvidia-ml.so.1 of the driver's version: without it evidence has no \
             serial numbers, clocks and power, and policies may reject that.",
        )),
    }
}

/// Whether this user may open what the driver makes of each GPU.
fn device_files(root: &Path, inventory: &Inventory) -> Vec<Check> {
    const NAME: &str = "device-files";
    let folder = root.join("dev");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_device_file(name))
        .collect();
    names.sort();
    let gpus = match (&inventory.kernel, &inventory.pci) {
        (KernelView::Loaded(kernel), _) if !kernel.devices.is_empty() => kernel.devices.len(),
        (_, PciView::Loaded(pci)) => pci.devices.len(),
        _ => 0,
    };
    if names.is_empty() {
        let found = format!("no /dev/nvidia* for {gpus} GPUs of NVIDIA on this machine");
        return if gpus == 0 { vec![] } else { vec![Check::wrong(NAME, found, GIVE_GPUS)] };
    }
    let refused: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let error = rustix::fs::access(folder.join(name), Access::READ_OK | Access::WRITE_OK);
            error.err().map(|error| format!("/dev/{name}: {error}"))
        })
        .collect();
    let lacks = |name: &str| !names.iter().any(|known| known == name);
    if !refused.is_empty() {
        let advice = "Have root allow this user to read and write them (chmod a+rw, or the group \
                      that owns them).";
        return vec![Check::wrong(NAME, refused.join(", "), advice)];
    }
    if let Some(missing) = ["nvidiactl", "nvidia-uvm"].into_iter().find(|name| lacks(name)) {
        return vec![Check::wrong(NAME, format!("no /dev/{missing}"), GIVE_GPUS)];
    }
    vec![Check::ok(NAME, format!("{} of /dev/nvidia* can be opened", names.len()))]
}

/// "nvidia0", "nvidiactl", "nvidia-uvm"; not the folder of capabilities, nor modesetting.
fn is_device_file(name: &str) -> bool {
    let is_gpu = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("nvidia").is_some_and(is_gpu) || matches!(name, "nvidiactl" | "nvidia-uvm")
}

fn of_device(device: &GpuDevice, rules: &DeviceRules) -> Check {
    let found = format!(
        "{}: {} SMs, {}, compute capability {}",
        device.label(),
        device.sm_count,
        about(device.memory_bytes as f64, "B"),
        device.capability
    );
    if let Err(error) = rules.check_mig(device) {
        let text = error.to_string();
        let advice = text.split_once('\n').map_or("", |(_, advice)| advice).replace('\n', "; ");
        return Check::note("gpu", format!("{found}; {}", what_happened(&text)), advice);
    }
    match models::find(&device.name) {
        Some(_) => Check::ok("gpu", found),
        None => Check::note(
            "gpu",
            format!("{found}; not in the table of models"),
            "Policies refuse models that they don't know unless they say otherwise \
             (devices.unknown_models_allowed); a table with it: --models FILE, docs/models.md.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<Check> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        for name in names {
            std::fs::write(root.path().join("dev").join(name), "").unwrap();
        }
        let inventory = evidence::inventory_of(&Err(NoGpu::NoDevice));
        device_files(root.path(), &inventory)
    }

    #[test]
    fn device_files_are_complete_or_named() {
        let all = files(&["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps", "null"]);
        assert_eq!(all, [Check::ok("device-files", "4 of /dev/nvidia* can be opened")]);
        for missing in ["nvidiactl", "nvidia-uvm"] {
            let others = ["nvidia0", "nvidiactl", "nvidia-uvm"];
            let others: Vec<_> = others.into_iter().filter(|name| *name != missing).collect();
            let checks = files(&others);
            assert_eq!(checks[0].found, format!("no /dev/{missing}"));
            assert_eq!(checks[0].state, State::Wrong);
        }
        // A link to nowhere cannot be opened, whoever asks.
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        std::os::unix::fs::symlink("/no/such", root.path().join("dev/nvidia0")).unwrap();
        let inventory = evidence::inventory_of(&Err(NoGpu::NoDevice));
        let checks = device_files(root.path(), &inventory);
        assert!(checks[0].found.starts_with("/dev/nvidia0: "), "{checks:?}");
    }

    #[test]
    fn without_a_gpu_it_is_worth_knowing_and_wrong_if_one_is_expected() {
        let none = Err(NoGpu::NoDevice);
        let inventory = evidence::inventory_of(&none);
        let of = |gpu_count| {
            driver(&none, &inventory, &DeviceRules { gpu_count, ..DeviceRules::default() })
        };
        assert_eq!(of(None).state, State::Note);
        assert_eq!(of(Some(1)).state, State::Wrong);
        assert!(of(None).advice.is_some() && of(Some(1)).advice.is_some());
        let hides = Err(NoGpu::Contradicted { cuda: "x".into(), others: "NVML lists 8".into() });
        assert_eq!(driver(&hides, &inventory, &DeviceRules::default()).state, State::Wrong);
    }
}
