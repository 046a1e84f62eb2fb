//! Which executors take part: the GPUs that are asked for or all, the CPU where
//! it is asked for or there is no GPU at all.

use super::devices::{DeviceError, DeviceRules};
use crate::executor::Executor;
use crate::executor::cpu::{CpuExecutor, CpuOptions};
use crate::executor::gpu::{self, GpuExecutor, GpuOptions, NoGpu};
use crate::executor::{ExecError, Kind};
use crate::protocol::challenge::Challenge;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every GPU that the challenge has a lane for, or the CPU where there is none.
    Auto,
    /// GPUs by index, one lane each in this order; all where empty.
    Gpus(Vec<u32>),
    /// The CPU, one lane.
    Cpu,
}

/// What was found.
pub struct Chosen {
    /// One per lane, in lane order.
    pub executors: Vec<Box<dyn Executor>>,
    /// Why the CPU stands in for a GPU, where it does.
    pub no_gpu: Option<NoGpu>,
}

/// Why there are no executors. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A GPU was asked for and there is none.
    #[error(transparent)]
    NoGpu(#[from] NoGpu),
    /// A device index that doesn't exist.
    #[error("there is no GPU {index}: this machine has {count}\nList them with `attest detect`.")]
    NoSuchGpu {
        /// What was asked for.
        index: u32,
        /// How many there are; indices start from 0.
        count: usize,
    },
    /// A device index given twice.
    #[error("GPU {index} was given twice\nGive each GPU one lane.")]
    Twice {
        /// Which.
        index: u32,
    },
    /// Too few devices, or not whole ones.
    #[error(transparent)]
    Devices(#[from] DeviceError),
    /// More or fewer lanes than the challenge has.
    #[error(
        "the challenge takes {wanted} and {got} would take part\n\
         Choose them with --devices, or ask for a challenge with another gpu_count."
    )]
    LaneCount {
        /// "exactly 4 lanes", "at most 64 lanes".
        wanted: String,
        /// How many lanes there would be.
        got: usize,
    },
    /// A device failed to initialise.
    #[error(transparent)]
    Device(#[from] ExecError),
}

/// [`choose_with`] no expected number of GPUs, and whole ones only.
///
/// # Errors
/// As [`choose_with`].
pub fn choose(choice: &Choice, challenge: &Challenge) -> Result<Chosen, ChooseError> {
    choose_with(choice, &DeviceRules::default(), challenge)
}

/// Opens the executors for `challenge`.
///
/// # Errors
/// [`ChooseError`]; a GPU that fails to initialise is an error where the
/// challenge or the caller counts on it, otherwise it is left out with a warning.
pub fn choose_with(
    choice: &Choice,
    rules: &DeviceRules,
    challenge: &Challenge,
) -> Result<Chosen, ChooseError> {
    if *choice == Choice::Cpu {
        // No driver is asked: it may hang, and that be the reason for the choice.
        return with_cpu(challenge, None);
    }
    let devices = gpu::devices();
    rules.check_count(devices.as_deref())?;
    let (devices, asked) = match (choice, devices) {
        (Choice::Gpus(_), Err(no_gpu)) => return Err(no_gpu.into()),
        (_, Err(no_gpu)) => return with_cpu(challenge, Some(no_gpu)),
        (Choice::Gpus(asked), Ok(devices)) => (devices, &asked[..]),
        (_, Ok(devices)) => (devices, &[][..]),
    };
    let (indices, asked) = (check_indices(asked, devices.len())?, !asked.is_empty());
    let taken = indices.iter().filter_map(|&index| devices.get(index as usize));
    taken.into_iter().try_for_each(|device| rules.check_mig(device))?;
    let wanted = if asked { indices.len() } else { challenge.max_lanes() as usize };
    let mut executors: Vec<Box<dyn Executor>> = Vec::new();
    let mut failed = None;
    for index in indices {
        if executors.len() == wanted {
            break;
        }
        match GpuExecutor::open(index, GpuOptions::default()) {
            Ok(executor) => executors.push(Box::new(executor)),
            Err(error) if asked => return Err(error.into()),
            Err(error) => {
                tracing::warn!("left out: {error}");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if executors.is_empty() => return Err(error.into()),
        _ => check_lanes(challenge, executors.len())?,
    }
    Ok(Chosen { executors, no_gpu: None })
}

fn with_cpu(challenge: &Challenge, no_gpu: Option<NoGpu>) -> Result<Chosen, ChooseError> {
    check_lanes(challenge, 1)?;
    let cpu = CpuExecutor::new(CpuOptions::default());
    debug_assert_eq!(cpu.facts().kind, Kind::Cpu);
    Ok(Chosen { executors: vec![Box::new(cpu)], no_gpu })
}

fn check_indices(asked: &[u32], count: usize) -> Result<Vec<u32>, ChooseError> {
    for (at, &index) in asked.iter().enumerate() {
        if index as usize >= count {
            return Err(ChooseError::NoSuchGpu { index, count });
        }
        if asked[..at].contains(&index) {
            return Err(ChooseError::Twice { index });
        }
    }
    if asked.is_empty() { Ok((0..count as u32).collect()) } else { Ok(asked.to_vec()) }
}

fn check_lanes(challenge: &Challenge, got: usize) -> Result<(), ChooseError> {
    let most = challenge.max_lanes();
    let (fits, bound) = match challenge.spec().gpu_count {
        Some(count) => (got as u64 == count, "exactly"),
        None => (got <= most as usize, "at most"),
    };
    if fits {
        return Ok(());
    }
    let s = if most == 1 { "" } else { "s" };
    Err(ChooseError::LaneCount { wanted: format!("{bound} {most} lane{s}"), got })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::issue::{Request, issue};

    #[test]
    fn indices_exist_and_differ() {
        assert_eq!(check_indices(&[], 3).unwrap(), [0, 1, 2]);
        assert_eq!(check_indices(&[2, 0], 3).unwrap(), [2, 0]);
        assert!(matches!(check_indices(&[0, 3], 3), Err(ChooseError::NoSuchGpu { index: 3, .. })));
        assert!(matches!(check_indices(&[1, 1], 3), Err(ChooseError::Twice { index: 1 })));
    }

    #[test]
    fn a_cpu_is_one_lane_and_no_more() {
        let one = issue(&Request::default()).unwrap();
        assert_eq!(choose(&Choice::Cpu, &one).unwrap().executors.len(), 1);
        let two = issue(&Request { gpu_count: Some(2), ..Request::default() }).unwrap();
        assert!(matches!(choose(&Choice::Cpu, &two), Err(ChooseError::LaneCount { got: 1, .. })));
    }
}
