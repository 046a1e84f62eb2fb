//! What a caller demands of the GPUs before any of them is opened: how many, and
//! whether MIG instances count.
//!
//! Guarantees: pure; nothing is opened or asked.

use crate::error_text::what_happened;
use crate::executor::gpu::{DeviceList, GpuDevice, NoGpu};

/// Whether MIG instances may be lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigInstances {
    /// No: a lane is a whole GPU.
    #[default]
    Refuse,
    /// Yes; the evidence names them, and the validator decides.
    Allow,
}

/// What is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules {
    /// Fewest GPUs that there must be.
    pub gpu_count: Option<u32>,
    /// Whether MIG instances are GPUs.
    pub mig: MigInstances,
}

/// Which GPUs a check or a measurement of this machine is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuDemand {
    /// All GPUs, if they are as many as these rules ask for.
    Present(DeviceRules),
    /// None: the CPU alone was asked for.
    None,
}

impl Default for GpuDemand {
    /// However many there are.
    fn default() -> Self {
        Self::Present(DeviceRules::default())
    }
}

/// Why the devices won't do. Text in two lines: what happened, what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Fewer than expected.
    #[error(
        "{expected} GPUs are expected and there are {got}: {found}\n\
         Check CUDA_VISIBLE_DEVICES and nvidia-smi, or expect fewer (--gpu-count, GPU_COUNT)."
    )]
    TooFew {
        /// How many are expected.
        expected: u32,
        /// How many there are.
        got: usize,
        /// Their names, or why there is none.
        found: String,
    },
    /// A part of a GPU.
    #[error(
        "GPU {index} ({name}) is a MIG instance, not a whole GPU\n\
         Choose others with --devices, or give --allow-mig if the validator takes instances."
    )]
    MigInstance {
        /// CUDA index.
        index: u32,
        /// Its name.
        name: String,
    },
}

impl DeviceRules {
    /// Whether there are as many GPUs as expected, not counting broken ones.
    ///
    /// # Errors
    /// [`DeviceError::TooFew`].
    pub fn check_count(&self, listed: Result<&DeviceList, &NoGpu>) -> Result<(), DeviceError> {
        let Some(expected) = self.gpu_count else { return Ok(()) };
        let counts = |device: &&GpuDevice| self.check_mig(device).is_ok();
        let got = listed.map_or(0, |list| list.devices.iter().filter(counts).count());
        if got >= expected as usize {
            return Ok(());
        }
        let found = match listed {
            Ok(DeviceList { devices, broken, missing }) => {
                let broken = broken.iter().map(|broken| what_happened(&broken.error));
                let missing = missing.iter().map(what_happened);
                let all = devices.iter().map(GpuDevice::label).chain(broken).chain(missing);
                all.collect::<Vec<_>>().join(", ")
            }
            Err(no_gpu) => what_happened(no_gpu),
        };
        Err(DeviceError::TooFew { expected, got, found })
    }

    /// Whether this device may be a lane.
    ///
    /// # Errors
    /// [`DeviceError::MigInstance`].
    pub(crate) fn check_mig(&self, device: &GpuDevice) -> Result<(), DeviceError> {
        if self.mig == MigInstances::Refuse && device.is_mig_instance() {
            let (index, name) = (device.index, device.name.clone());
            return Err(DeviceError::MigInstance { index, name });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::ExecError;
    use crate::protocol::digest::Uuid;

    fn gpu(index: u32, name: &str, parent_uuid: Option<Uuid>) -> GpuDevice {
        GpuDevice { name: name.to_owned(), parent_uuid, ..GpuDevice::example(index) }
    }

    fn rules(gpu_count: u32, mig: MigInstances) -> DeviceRules {
        DeviceRules { gpu_count: Some(gpu_count), mig }
    }

    #[test]
    fn fewer_than_expected_are_an_error_that_names_them() {
        let mut list =
            DeviceList::from(vec![gpu(0, "NVIDIA H200", None), gpu(1, "NVIDIA H200", None)]);
        let check = |count| rules(count, MigInstances::Refuse).check_count(Ok(&list));
        assert_eq!((check(1), check(2)), (Ok(()), Ok(())));
        let text = check(8).unwrap_err().to_string();
        let expected = "8 GPUs are expected and there are 2: GPU 0 (NVIDIA H200), GPU 1 \
                        (NVIDIA H200)\nCheck CUDA_VISIBLE_DEVICES";
        assert!(text.starts_with(expected), "{text}");
        let error = ExecError::Device {
            what: "opening the device".to_owned(),
            device: "GPU 1 (NVIDIA H200)".to_owned(),
            cause: "it is broken".to_owned(),
            advice: "mend it".to_owned(),
        };
        list.set_broken(1, error);
        let text = rules(2, MigInstances::Refuse).check_count(Ok(&list)).unwrap_err().to_string();
        let expected = "2 GPUs are expected and there are 1: GPU 0 (NVIDIA H200), opening the \
                        device failed on GPU 1 (NVIDIA H200): it is broken\nCheck";
        assert!(text.starts_with(expected), "{text}");
        let none = rules(1, MigInstances::Refuse).check_count(Err(&NoGpu::NoDevice));
        let text = none.unwrap_err().to_string();
        assert!(text.contains("there are 0: no GPU is used: the CUDA driver lists"), "{text}");
        assert_eq!(DeviceRules::default().check_count(Err(&NoGpu::NoDevice)), Ok(()));
    }

    #[test]
    fn mig_instances_are_no_gpus_unless_allowed() {
        // By the parent's UUID, and by the name if an old driver knows no parent.
        let parts = [
            gpu(0, "NVIDIA H200", Some(Uuid([9; 16]))),
            gpu(1, "NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ];
        for part in &parts {
            let error = rules(1, MigInstances::Refuse).check_mig(part).unwrap_err();
            assert!(error.to_string().contains("is a MIG instance, not a whole GPU"), "{error}");
            assert_eq!(rules(1, MigInstances::Allow).check_mig(part), Ok(()));
        }
        assert_eq!(DeviceRules::default().check_mig(&gpu(0, "NVIDIA H200", None)), Ok(()));
        let list = DeviceList::from(parts.to_vec());
        let count = |mig| rules(2, mig).check_count(Ok(&list));
        assert!(matches!(count(MigInstances::Refuse), Err(DeviceError::TooFew { got: 0, .. })));
        assert_eq!(count(MigInstances::Allow), Ok(()));
    }
}
