//! `attest detect`
use crate::args;
use crate::outcome::{Done, Result, print, print_json};
/// x
pub fn run(args: &args::Detect) -> Result {
    let devices = attest::executor::gpu::devices();
    if args.json {
        print_json(&serde_json::json!({"devices": []}))?;
    } else {
        print(&format!(
            "{}\n",
            devices
                .err()
                .map(|e| e.to_string().lines().next().unwrap().to_owned())
                .unwrap_or_default()
        ))?;
    }
    Ok(Done::Ok)
}
