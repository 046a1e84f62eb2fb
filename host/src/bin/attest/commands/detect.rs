//! `attest detect`: every CUDA device of this machine, or why there is none.

use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use attest::evidence;

/// Lists the devices. A machine without one is no error.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &args::Detect) -> Result {
    let inventory = evidence::inventory();
    if args.json {
        print_json(&inventory)?;
    } else {
        print(&format!("{inventory}\n"))?;
    }
    Ok(Done::Ok)
}
