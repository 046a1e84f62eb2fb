//! `attest detect`: every CUDA device of this machine, or why there is none.

use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use attest::evidence;
use attest::executor::gpu::bandwidth;

/// Lists the devices. A machine without any is an error only if some are expected.
///
/// # Errors
/// GPUs that are there and that CUDA does not list; fewer devices than expected; standard output can't be written.
pub fn run(args: &args::Detect) -> Result {
    let listed = evidence::present_gpus();
    let mut inventory = evidence::inventory_of(&listed);
    if args.measure {
        inventory.bandwidth = listed.as_ref().ok().map(|list| bandwidth::measure(&list.devices));
    }
    if args.json {
        print_json(&inventory)?;
    } else {
        print(&format!("{inventory}\n"))?;
    }
    // After the list: it shows which device is missing.
    args.gpus.rules().check_count(listed.as_ref())?;
    match listed {
        Ok(list) => list.missing.map_or(Ok(Done::Ok), |missing| Err(missing.into())),
        Err(no_gpu) if no_gpu.is_absence() => Ok(Done::Ok),
        Err(no_gpu) => Err(no_gpu.into()),
    }
}
