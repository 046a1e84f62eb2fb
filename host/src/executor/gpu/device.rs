//! The CUDA devices of this machine, as the driver describes them.

use super::error::{device_error, from_cust};
use super::variant::Capability;
use crate::executor::ExecError;
use crate::executor::NO_THREAD;
use crate::executor::abandoned::{self, NoAnswer};
use crate::protocol::digest::Uuid;
use cuda_driver::{Failure, calls};
use cust::device::{Device, DeviceAttribute};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: u32 = 100;

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDevice {
    /// Its index for this process (CUDA_VISIBLE_DEVICES renumbers).
    pub index: u32,
    /// Name, such as "NVIDIA H200".
    pub name: String,
    /// UUID in written order; of a MIG instance, its own.
    pub uuid: Uuid,
    /// Of a MIG instance, the UUID of the device that it is a part of.
    pub parent_uuid: Option<Uuid>,
    /// Compute capability.
    pub capability: Capability,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Device memory, bytes.
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

/// What the driver lists.
#[derive(Clone, Debug, Default)]
pub struct DeviceList {
    /// Those that it describes, in its order.
    pub devices: Vec<GpuDevice>,
    /// Those that are there and that it fails to describe.
    pub broken: Vec<BrokenDevice>,
    /// GPUs that NVML lists and this driver does not, unless CUDA_VISIBLE_DEVICES or MIG
    /// is why.
    pub missing: Option<MissingGpus>,
}

/// GPUs that another source lists and the CUDA driver does not. Text in two lines: what
/// happened, what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the CUDA driver lists {listed} of {expected} GPUs: {which}\n\
     Look for what is missing with nvidia-smi and dmesg; or name those to use in \
     CUDA_VISIBLE_DEVICES, or with --devices if a command has it."
)]
pub struct MissingGpus {
    /// How many there must be.
    pub expected: u64,
    /// How many the CUDA driver lists.
    pub listed: u64,
    /// Which are missing, as far as that is known.
    pub which: String,
}

/// A device that is listed and cannot be used.
#[derive(Clone, Debug)]
pub struct BrokenDevice {
    /// Its index for this process.
    pub index: u32,
    /// Why not.
    pub error: ExecError,
}

/// Why no GPU is used. Text in two lines: what happened, what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGpu {
    /// The driver library could not be loaded.
    #[error(
        "no GPU is used: {reason}\ninstall the NVIDIA driver (in a container: give it the GPU), or use the CPU executor (--executor cpu)"
    )]
    NoDriver {
        /// The dynamic loader's words.
        reason: String,
    },
    /// The driver is there and failed.
    #[error(
        "no GPU is used: {failure}\n{}, or use the CPU executor (--executor cpu)",
        super::error::advice(failure.code)
    )]
    Driver {
        /// Its result.
        failure: Failure,
    },
    /// The driver is there and does not answer.
    #[error(
        "no GPU is used: the CUDA driver did not say within {limit_s} s which devices there are\nsee dmesg for Xid lines and run nvidia-smi, or use the CPU executor (--executor cpu)"
    )]
    Silent {
        /// How long it was waited for, seconds.
        limit_s: u64,
    },
    /// The driver works and sees no device.
    #[error(
        "no GPU is used: the CUDA driver lists no device\ncheck CUDA_VISIBLE_DEVICES and nvidia-smi, or use the CPU executor (--executor cpu)"
    )]
    NoDevice,
    /// The system gives no thread to ask the driver on.
    #[error("no GPU is used: no thread to ask the driver on: {reason}\n{NO_THREAD}")]
    NoThread {
        /// The system's words.
        reason: String,
    },
    /// The user hides every GPU.
    #[error(
        "no GPU is used: CUDA_VISIBLE_DEVICES is {value:?} and hides all\nunset it, or use the CPU executor (--executor cpu)"
    )]
    Hidden {
        /// The variable's value.
        value: String,
    },
    /// CUDA has none, and other sources say that there are some.
    #[error(
        "no GPU is used: {cuda}, but {others}\nmend the driver (nvidia-smi and dmesg say more; a container has to be given the GPUs), or use the CPU executor (--executor cpu)"
    )]
    Contradicted {
        /// Why CUDA has none.
        cuda: String,
        /// What the others say.
        others: String,
    },
}

impl From<Failure> for NoGpu {
    fn from(failure: Failure) -> Self {
        match failure.code {
            NO_DEVICE => Self::NoDevice,
            _ => Self::Driver { failure },
        }
    }
}

impl NoGpu {
    /// Whether no GPU is there to be used, or the user hides all. Otherwise there may be
    /// some, and the driver fails. What the CUDA driver alone says is no absence yet:
    /// [`crate::evidence::present_gpus`] asks the others.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NoDriver { .. } | Self::NoDevice | Self::Hidden { .. } => true,
            Self::Driver { .. }
            | Self::Silent { .. }
            | Self::NoThread { .. }
            | Self::Contradicted { .. } => false,
        }
    }
}

impl From<Vec<GpuDevice>> for DeviceList {
    /// These, and none that is broken.
    fn from(devices: Vec<GpuDevice>) -> Self {
        Self { devices, ..Self::default() }
    }
}

impl DeviceList {
    /// How many devices the driver lists; indices start from 0.
    pub fn count(&self) -> usize {
        self.devices.len() + self.broken.len()
    }

    /// The device of this index.
    ///
    /// # Errors
    /// It is broken, or there is none of this index.
    pub fn get(&self, index: u32) -> Result<&GpuDevice, ExecError> {
        if let Some(device) = self.devices.iter().find(|device| device.index == index) {
            return Ok(device);
        }
        if let Some(broken) = self.broken.iter().find(|broken| broken.index == index) {
            return Err(broken.error.clone());
        }
        Err(ExecError::Device {
            what: "opening the device".to_owned(),
            device: format!("GPU {index}"),
            cause: format!("the driver lists {} devices, numbered from 0", self.count()),
            advice: "choose another device number, or check CUDA_VISIBLE_DEVICES".to_owned(),
        })
    }

    /// Notes that the device of this index cannot be used, and why.
    pub fn set_broken(&mut self, index: u32, error: ExecError) {
        self.devices.retain(|device| device.index != index);
        self.broken.retain(|broken| broken.index != index);
        self.broken.push(BrokenDevice { index, error });
    }
}

impl GpuDevice {
    /// Whether this is a part of a device, cut off by MIG.
    pub fn is_mig_instance(&self) -> bool {
        // Drivers before CUDA 11.4 tell by the name alone.
        self.parent_uuid.is_some() || names_mig_instance(&self.name)
    }

    /// "GPU 0 (NVIDIA H200)".
    pub fn label(&self) -> String {
        format!("GPU {} ({})", self.index, self.name)
    }
}

/// Whether this is the name of a MIG instance, as in "NVIDIA H200 MIG 1g.18gb".
pub fn names_mig_instance(name: &str) -> bool {
    name.contains(" MIG ")
}

/// How long the driver may take to initialise all devices and to describe them.
const LISTING_LIMIT: Duration = Duration::from_secs(300);

/// Every CUDA device, those that the driver fails to describe with the reason. The
/// driver may take five minutes. Whether there are more, or some if it lists none,
/// [`crate::evidence::present_gpus`] knows.
///
/// # Errors
/// [`NoGpu`] says why there is none.
pub(crate) fn list() -> Result<DeviceList, NoGpu> {
    in_time(LISTING_LIMIT, list_now)
}

/// What `list` returns, or that it did not.
fn in_time(
    limit: Duration,
    list: impl FnOnce() -> Result<DeviceList, NoGpu> + Send + 'static,
) -> Result<DeviceList, NoGpu> {
    abandoned::within(limit, list).unwrap_or_else(|error| match error {
        NoAnswer::Hangs => {
            let limit_s = limit.as_secs();
            SILENT_S.store(limit_s, Ordering::Relaxed);
            Err(NoGpu::Silent { limit_s })
        }
        NoAnswer::NoThread(error) => Err(NoGpu::NoThread { reason: error.to_string() }),
    })
}

/// How long the driver was waited for in vain, seconds; 0: it was not. Nobody calls a
/// driver a second time that does not answer.
static SILENT_S: AtomicU64 = AtomicU64::new(0);

fn list_now() -> Result<DeviceList, NoGpu> {
    initialise()?;
    let count = Device::num_devices().map_err(from_cust)?;
    if count == 0 {
        return Err(NoGpu::NoDevice);
    }
    Ok(list_of(count, describe))
}

/// The first `count` devices as `describe` describes them.
fn list_of(count: u32, describe: impl Fn(u32) -> Result<GpuDevice, Failure>) -> DeviceList {
    let mut list = DeviceList::default();
    for index in 0..count {
        match describe(index) {
            Ok(device) => list.devices.push(device),
            Err(failure) => {
                let device = format!("GPU {index}");
                list.set_broken(index, device_error("describing the device", &device, failure));
            }
        }
    }
    list
}

/// The newest CUDA version that the driver supports: 1000·major + 10·minor.
///
/// # Errors
/// [`NoGpu`] if there is no driver.
pub fn driver_cuda_version() -> Result<u32, NoGpu> {
    initialise()?;
    let version = cust::CudaApiVersion::get().map_err(from_cust)?;
    Ok((version.major() * 1000 + version.minor() * 10) as u32)
}

/// The kernel driver's version, such as "580.82.07", as Linux has it; the
/// CUDA version if there is no such file; "unknown" without either.
pub fn driver_version() -> String {
    let file = std::fs::read_to_string("/sys/module/nvidia/version");
    let file = file.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    file.unwrap_or_else(|| match driver_cuda_version() {
        Ok(version) => format!("cuda-{version}"),
        Err(_) => "unknown".to_owned(),
    })
}

/// The driver's library in this process, such as "cuda-13000 libcuda.so.580.82.07":
/// the CUDA version it is of, and the file it was mapped from, as far as they are
/// known. In a container it may be of another driver than the kernel's.
pub(super) fn driver_library() -> String {
    let version = driver_cuda_version().map_or("unknown".to_owned(), |v| format!("cuda-{v}"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    format!("{version} {}", mapped_library(&maps).unwrap_or("unknown"))
}

/// The name of libcuda's file in a text in the form of /proc/self/maps.
fn mapped_library(maps: &str) -> Option<&str> {
    let mut names = maps.lines().filter_map(|line| line.rsplit_once('/')).map(|(_, name)| name);
    names.find(|name| name.starts_with("libcuda.so"))
}

/// Loads and initialises the driver; cheap when repeated.
pub(super) fn initialise() -> Result<(), NoGpu> {
    let limit_s = SILENT_S.load(Ordering::Relaxed);
    if limit_s > 0 {
        return Err(NoGpu::Silent { limit_s });
    }
    cuda_driver::driver().map_err(|error| NoGpu::NoDriver { reason: error.to_string() })?;
    match cust::init(cust::CudaFlags::empty()) {
        Ok(()) => Ok(()),
        Err(error) => Err(from_cust(error).into()),
    }
}

fn describe(index: u32) -> Result<GpuDevice, Failure> {
    let device = Device::get_device(index).map_err(from_cust)?;
    let attribute = |which: DeviceAttribute| {
        device.get_attribute(which).map(|value| value.max(0) as u32).map_err(from_cust)
    };
    let (uuid, parent_uuid) = uuids(&device)?;
    Ok(GpuDevice {
        index,
        name: device.name().map_err(from_cust)?,
        uuid,
        parent_uuid,
        capability: Capability {
            major: attribute(DeviceAttribute::ComputeCapabilityMajor)?,
            minor: attribute(DeviceAttribute::ComputeCapabilityMinor)?,
        },
        sm_count: attribute(DeviceAttribute::MultiprocessorCount)?,
        memory_bytes: device.total_memory().map_err(from_cust)? as u64,
        clock_khz: attribute(DeviceAttribute::ClockRate)?,
        memory_clock_khz: attribute(DeviceAttribute::MemoryClockRate)?,
        memory_bus_bits: attribute(DeviceAttribute::GlobalMemoryBusWidth)?,
        l2_bytes: attribute(DeviceAttribute::L2CacheSize)?,
        pci_id: pci_id(&device)?,
        ecc: attribute(DeviceAttribute::EccEnabled)? != 0,
    })
}

/// The UUID, and that of the device of which it is a MIG instance.
#[allow(unsafe_code)]
fn uuids(device: &Device) -> Result<(Uuid, Option<Uuid>), Failure> {
    let (mut own, mut whole) = ([0_u8; 16], [0_u8; 16]);
    // SAFETY: a CUuuid is 16 bytes; the device handle is the driver's own.
    let newer = unsafe { calls::cuDeviceGetUuid_v2(&raw mut own, device.as_raw()) };
    // SAFETY: as above.
    let older = unsafe { calls::cuDeviceGetUuid(&raw mut whole, device.as_raw()) };
    match (newer, older) {
        // They differ on MIG instances alone.
        (Ok(()), Ok(())) => Ok((Uuid(own), (own != whole).then_some(Uuid(whole)))),
        (Ok(()), Err(_)) => Ok((Uuid(own), None)),
        // Drivers before CUDA 11.4 have only the older one.
        (Err(_), older) => older.map(|()| (Uuid(whole), None)),
    }
}

/// For each device a text with a place for each device: "1" if the first can
/// address the second's memory, "0" if it can't, "?" if the driver doesn't
/// say, "-" for itself.
pub fn peer_access(devices: &[GpuDevice]) -> Vec<String> {
    let place = |from: &GpuDevice, to: &GpuDevice| match can_access(from.index, to.index) {
        _ if from.index == to.index => '-',
        Ok(true) => '1',
        Ok(false) => '0',
        Err(_) => '?',
    };
    devices.iter().map(|from| devices.iter().map(|to| place(from, to)).collect()).collect()
}

/// Whether device `index` can address the memory of device `peer`.
#[allow(unsafe_code)]
fn can_access(index: u32, peer: u32) -> Result<bool, Failure> {
    let device = Device::get_device(index).map_err(from_cust)?;
    let peer = Device::get_device(peer).map_err(from_cust)?;
    let mut able = 0_i32;
    // SAFETY: writes one int to a local; the handles are the driver's own.
    unsafe { calls::cuDeviceCanAccessPeer(&raw mut able, device.as_raw(), peer.as_raw()) }?;
    Ok(able != 0)
}

#[allow(unsafe_code)]
fn pci_id(device: &Device) -> Result<String, Failure> {
    let mut text = [0_u8; 32];
    let length = text.len() as i32;
    // SAFETY: writes at most `length` bytes, the last one zero, to a local.
    unsafe {
        calls::cuDeviceGetPCIBusId(text.as_mut_ptr().cast(), length, device.as_raw())?;
    }
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    Ok(text.to_string_lossy().into_owned())
}

#[cfg(test)]
impl GpuDevice {
    /// An H200, for tests.
    pub(crate) fn example(index: u32) -> Self {
        Self {
            index,
            name: "NVIDIA H200".to_owned(),
            uuid: Uuid([index as u8; 16]),
            parent_uuid: None,
            capability: Capability { major: 9, minor: 0 },
            sm_count: 132,
            memory_bytes: 150 << 30,
            clock_khz: 1_980_000,
            memory_clock_khz: 3_201_000,
            memory_bus_bits: 6144,
            l2_bytes: 60 << 20,
            pci_id: "0000:01:00.0".to_owned(),
            ecc: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_one_that_is_mapped() {
        let maps = "7f0000-7f1000 r--p 00000000 08:01 17 /usr/lib/libcudart.so.12\n\
                    7f1000-7f2000 rw-p 00000000 00:00 0 [heap]\n\
                    7f2000-7f3000 r-xp 00000000 08:01 18 /usr/local/compat/libcuda.so.580.82.07\n";
        assert_eq!(mapped_library(maps), Some("libcuda.so.580.82.07"));
        assert_eq!(mapped_library("7f1000-7f2000 rw-p 00000000 00:00 0 [heap]\n"), None);
        assert!(driver_library().split(' ').count() >= 2);
    }

    #[test]
    fn a_device_that_is_not_described_hides_no_other() {
        let failure = Failure { function: "cuDeviceGetName", code: 214 };
        let list =
            list_of(
                3,
                |index| if index == 1 { Err(failure) } else { Ok(GpuDevice::example(index)) },
            );
        assert_eq!(list.devices, [GpuDevice::example(0), GpuDevice::example(2)]);
        assert_eq!((list.count(), list.broken.len(), list.broken[0].index), (3, 1, 1));
        assert_eq!(list.get(2).unwrap().index, 2);
        let text = list.get(1).unwrap_err().to_string();
        let expected = "describing the device failed on GPU 1: cuDeviceGetName returned";
        assert!(text.starts_with(expected) && text.contains("out of service"), "{text}");
        let text = list.get(3).unwrap_err().to_string();
        assert!(text.contains("the driver lists 3 devices"), "{text}");
    }

    #[test]
    fn a_driver_that_does_not_answer_may_hide_gpus() {
        let list = in_time(Duration::from_secs(60), || Ok(DeviceList::default()));
        assert_eq!(list.expect("in time").count(), 0);
        let hung = in_time(Duration::from_millis(20), || {
            loop {
                std::thread::park();
            }
        });
        let no_gpu = hung.expect_err("too late");
        assert!(matches!(no_gpu, NoGpu::Silent { .. }) && !no_gpu.is_absence());
        assert_eq!(no_gpu.to_string().lines().count(), 2, "{no_gpu}");
    }

    #[test]
    fn only_a_driver_that_fails_may_hide_gpus() {
        let of = |code| NoGpu::from(Failure { function: "cuInit", code });
        assert!(of(100).is_absence() && NoGpu::NoDriver { reason: String::new() }.is_absence());
        for code in [3, 34, 214, 802, 999] {
            let no_gpu = of(code);
            assert!(!no_gpu.is_absence(), "{no_gpu}");
            assert!(no_gpu.to_string().ends_with("(--executor cpu)"), "{no_gpu}");
        }
    }
}
