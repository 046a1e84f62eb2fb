//! `attest detect`: every CUDA device of this machine, or why there is none.

use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{grouped, table};
use attest::executor::gpu::{self, GpuDevice};
use serde_json::{Value, json};

/// Lists the devices. A machine without one is no error.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &args::Detect) -> Result {
    let found = gpu::devices()
        .map_err(|no_gpu| no_gpu.to_string().lines().next().unwrap_or_default().to_owned());
    let driver = gpu::driver_cuda_version().ok().map(version_text);
    if args.json {
        let (devices, no_gpu) = match &found {
            Ok(devices) => (devices.iter().map(device_json).collect(), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        print_json(&json!({"driver_cuda": driver, "devices": devices, "no_gpu": no_gpu}))?;
        return Ok(Done::Ok);
    }
    let text = match found {
        Ok(devices) => {
            let rows: Vec<Vec<String>> = devices.iter().map(device_cells).collect();
            let header =
                ["gpu", "name", "uuid", "cc", "SMs", "memory", "SM clock", "mem clock", "PCI id"];
            let driver = driver.map(|version| format!("driver: CUDA {version}\n"));
            format!("{}{}", table(&header, &rows), driver.unwrap_or_default())
        }
        Err(why) => format!("{why}\n"),
    };
    print(&text)?;
    Ok(Done::Ok)
}

/// 13000 is CUDA 13.0.
fn version_text(version: u32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn device_cells(device: &GpuDevice) -> Vec<String> {
    vec![
        device.index.to_string(),
        device.name.clone(),
        device.uuid.to_string(),
        device.capability.to_string(),
        device.sm_count.to_string(),
        format!("{} MiB", grouped(device.memory_bytes >> 20)),
        format!("{} MHz", device.clock_khz / 1000),
        format!("{} MHz", device.memory_clock_khz / 1000),
        device.pci_id.clone(),
    ]
}

fn device_json(device: &GpuDevice) -> Value {
    json!({
        "index": device.index,
        "name": device.name,
        "uuid": device.uuid,
        "compute_capability": device.capability.to_string(),
        "sm_count": device.sm_count,
        "memory_bytes": device.memory_bytes,
        "clock_khz": device.clock_khz,
        "memory_clock_khz": device.memory_clock_khz,
        "memory_bus_bits": device.memory_bus_bits,
        "l2_bytes": device.l2_bytes,
        "shared_bytes_per_block": device.shared_bytes_per_block,
        "pci_id": device.pci_id,
        "ecc": device.ecc,
    })
}
