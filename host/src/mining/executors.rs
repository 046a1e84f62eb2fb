//! Which executors take part: the GPUs that are asked for or all, the CPU if
//! it is asked for or there is no GPU at all.

use super::devices::{DeviceError, DeviceRules};
use crate::error_text::what_happened;
use crate::evidence::present_gpus;
use crate::executor::cpu::{CpuExecutor, CpuOptions};
use crate::executor::gpu::{DeviceList, GpuExecutor, GpuOptions, MissingGpus, NoGpu};
use crate::executor::{ExecError, Executor};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::document::{LeftOut, RunNotes};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every GPU that the challenge has a lane for, or the CPU if there is
    /// none at all: never if the driver fails.
    Auto,
    /// GPUs by index, one lane each in this order; all if empty.
    Gpus(Vec<u32>),
    /// The CPU, one lane.
    Cpu,
}

/// What was found.
pub struct Chosen {
    /// One per lane, in lane order.
    pub executors: Vec<Box<dyn Executor>>,
    /// Why the CPU stands in for a GPU, if it does.
    pub no_gpu: Option<NoGpu>,
    /// For the evidence, about the choice: why a CPU executes, and which devices were
    /// left out.
    pub notes: RunNotes,
}

impl From<Vec<Box<dyn Executor>>> for Chosen {
    /// These, with no notes on the choice.
    fn from(executors: Vec<Box<dyn Executor>>) -> Self {
        Self { executors, no_gpu: None, notes: RunNotes::default() }
    }
}

/// Why there are no executors. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A GPU was asked for and there is none, or the driver fails.
    #[error(transparent)]
    NoGpu(#[from] NoGpu),
    /// All GPUs were asked for, and the driver lacks some that are there.
    #[error(transparent)]
    Missing(#[from] MissingGpus),
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
        /// CUDA index.
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

/// Opens the executors for `challenge`: whole GPUs, however many there are.
///
/// # Errors
/// As [`choose_with`].
pub fn choose(choice: &Choice, challenge: &Challenge) -> Result<Chosen, ChooseError> {
    choose_with(choice, &DeviceRules::default(), challenge)
}

/// Opens the executors for `challenge`, of devices that `rules` allow.
///
/// # Errors
/// [`ChooseError`]; a GPU that fails to initialise, or a MIG instance that the
/// rules refuse, is an error if the challenge or the caller counts on it,
/// otherwise it is left out with a warning. GPUs that the driver does not list though
/// they are there are an error unless others were asked for by index.
pub fn choose_with(
    choice: &Choice,
    rules: &DeviceRules,
    challenge: &Challenge,
) -> Result<Chosen, ChooseError> {
    choose_again(choice, rules, challenge, None)
}

/// [`choose_with`], to go on with a run on lanes of these UUIDs: a CPU has none
/// of its own and takes its old one. Whether the devices are the same is seen
/// when the checkpoint is opened.
///
/// # Errors
/// As [`choose_with`].
pub fn choose_again(
    choice: &Choice,
    rules: &DeviceRules,
    challenge: &Challenge,
    before: Option<&[Uuid]>,
) -> Result<Chosen, ChooseError> {
    let machine = Machine {
        cpu: CpuOptions {
            uuid: before.and_then(|uuids| uuids.first().copied()),
            ..CpuOptions::default()
        },
        devices: &present_gpus,
        open: &mut |index| {
            let gpu = GpuExecutor::open_in_time(index, GpuOptions::default())?;
            Ok(Box::new(gpu) as Box<dyn Executor>)
        },
    };
    choose_from(choice, rules, challenge, machine)
}

/// What there is to choose from.
pub struct Machine<'a> {
    /// How the CPU would be used.
    pub cpu: CpuOptions,
    /// Lists the GPUs.
    pub devices: &'a dyn Fn() -> Result<DeviceList, NoGpu>,
    /// Opens a GPU by its index.
    pub open: &'a mut dyn FnMut(u32) -> Result<Box<dyn Executor>, ExecError>,
}

/// [`choose_with`] on another machine than this.
///
/// # Errors
/// As [`choose_with`].
pub fn choose_from(
    choice: &Choice,
    rules: &DeviceRules,
    challenge: &Challenge,
    machine: Machine<'_>,
) -> Result<Chosen, ChooseError> {
    open_from(choice, rules, Lanes::of(challenge), machine)
}

/// Opens as many executors as `lanes` takes; for a challenge, or before there is one.
///
/// # Errors
/// As [`choose_with`].
pub(super) fn open_from(
    choice: &Choice,
    rules: &DeviceRules,
    lanes: Lanes,
    machine: Machine<'_>,
) -> Result<Chosen, ChooseError> {
    let Machine { cpu, devices, open } = machine;
    if *choice == Choice::Cpu {
        // No driver is asked: it may hang, and that be the reason for the choice.
        return with_cpu(lanes, cpu, None);
    }
    let listed = devices();
    if let Err(no_gpu) = &listed
        && !no_gpu.is_absence()
    {
        // Behind a driver that fails there may be GPUs: a CPU does not stand in.
        return Err(no_gpu.clone().into());
    }
    rules.check_count(listed.as_ref())?;
    let (mut list, asked) = match (choice, listed) {
        (Choice::Gpus(_), Err(no_gpu)) => return Err(no_gpu.into()),
        (_, Err(no_gpu)) => return with_cpu(lanes, cpu, Some(no_gpu)),
        (Choice::Gpus(asked), Ok(list)) => (list, &asked[..]),
        (_, Ok(list)) => (list, &[][..]),
    };
    let (indices, asked) = (check_indices(asked, list.count())?, !asked.is_empty());
    if let Some(missing) = list.missing.take_if(|_| !asked) {
        return Err(missing.into());
    }
    if asked {
        // Known before the first of them is opened.
        indices.iter().try_for_each(|&index| usable(&list, rules, index))?;
    }
    let wanted = if asked { indices.len() } else { lanes.most() as usize };
    let mut executors: Vec<Box<dyn Executor>> = Vec::new();
    let (mut failed, mut left_out) = (None, Vec::new());
    for index in indices {
        if executors.len() == wanted {
            break;
        }
        let opened = usable(&list, rules, index).and_then(|()| {
            open(index).map_err(|error| {
                list.set_broken(index, error.clone());
                error.into()
            })
        });
        match opened {
            Ok(executor) => executors.push(executor),
            Err(error) if asked => return Err(error),
            Err(error) => {
                tracing::warn!("left out: {error}");
                left_out.push(LeftOut { index, reason: what_happened(&error) });
                failed = Some(error);
            }
        }
    }
    // Again: those that did not open are no GPUs to count on.
    rules.check_count(Ok(&list))?;
    if let Some(error) = failed {
        // If the others are too few it is this failure that has to be told.
        if executors.is_empty() || lanes.check(executors.len()).is_err() {
            return Err(error);
        }
    }
    lanes.check(executors.len())?;
    let notes = RunNotes {
        executor_chosen: None,
        devices_missing: list.missing.as_ref().map(what_happened),
        devices_left_out: left_out,
    };
    Ok(Chosen { executors, no_gpu: None, notes })
}

/// Whether the device of this index may be opened.
fn usable(list: &DeviceList, rules: &DeviceRules, index: u32) -> Result<(), ChooseError> {
    Ok(rules.check_mig(list.get(index)?)?)
}

fn with_cpu(lanes: Lanes, cpu: CpuOptions, no_gpu: Option<NoGpu>) -> Result<Chosen, ChooseError> {
    lanes.check(1)?;
    let cpu = CpuExecutor::new(cpu);
    let why = match &no_gpu {
        None => "asked for".to_owned(),
        Some(no_gpu) => what_happened(no_gpu),
    };
    let notes = RunNotes { executor_chosen: Some(why), ..RunNotes::default() };
    Ok(Chosen { executors: vec![Box::new(cpu)], no_gpu, notes })
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

/// How many lanes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// This number of lanes.
    Exactly(u32),
    /// Any number up to this.
    AtMost(u32),
}

impl Lanes {
    /// What `challenge` takes.
    pub(super) fn of(challenge: &Challenge) -> Self {
        let most = challenge.max_lanes();
        match challenge.spec().gpu_count {
            Some(_) => Self::Exactly(most),
            None => Self::AtMost(most),
        }
    }

    pub(super) fn most(self) -> u32 {
        match self {
            Self::Exactly(most) | Self::AtMost(most) => most,
        }
    }

    /// Whether `got` lanes are right.
    ///
    /// # Errors
    /// [`ChooseError::LaneCount`].
    pub(super) fn check(self, got: usize) -> Result<(), ChooseError> {
        let (fits, bound, most) = match self {
            Self::Exactly(count) => (got == count as usize, "exactly", count),
            Self::AtMost(most) => (got <= most as usize, "at most", most),
        };
        if fits {
            return Ok(());
        }
        let s = if most == 1 { "" } else { "s" };
        Err(ChooseError::LaneCount { wanted: format!("{bound} {most} lane{s}"), got })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::{Request, issue};

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
