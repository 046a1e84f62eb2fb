//! The devices that are tested, and what tests say on the terminal meanwhile.

use attest::evidence::present_gpus;
use attest::executor::gpu::{Capability, GpuDevice, Variant};
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::Instant;

/// One test at a time: they measure memory and fill rings of one device.
static TURN: Mutex<()> = Mutex::new(());
static SKIPPED: Once = Once::new();

pub fn turn() -> MutexGuard<'static, ()> {
    // A test that failed left nothing behind that matters here.
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    say(std::thread::current().name().unwrap_or_default());
    guard
}

/// The devices to test, or none with a line on the terminal that says why.
pub fn gpus() -> Vec<GpuDevice> {
    match present_gpus().map(|list| list.devices) {
        Ok(devices) => devices,
        Err(reason) => {
            let required = std::env::var("ATTEST_REQUIRE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "ATTEST_REQUIRE_GPU=1, but {reason}");
            SKIPPED.call_once(|| say(&format!("SKIPPED, every test here needs a GPU: {reason}")));
            Vec::new()
        }
    }
}

/// Past the harness, which hides what passing tests print: which test runs
/// where makes a hang or a fault easy to place.
pub fn say(text: &str) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let line = format!("  {:6.1} s  {text}\n", START.elapsed().as_secs_f64());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Every device, all at once: a host of eight takes no longer than a host of one.
pub fn each_device(test: impl Fn(&GpuDevice) + Sync) {
    let devices = gpus();
    std::thread::scope(|scope| {
        let test = &test;
        let running: Vec<_> =
            devices.iter().map(|device| (device, scope.spawn(move || test(device)))).collect();
        for (device, thread) in running {
            if let Err(panicked) = thread.join() {
                say(&format!("FAILED on {}", device.label()));
                std::panic::resume_unwind(panicked);
            }
        }
    });
}

/// Every model that is here with every variant that it runs.
pub fn every_variant(test: impl Fn(&GpuDevice, Variant) + Sync) {
    every_one_of(Variant::all_for, test);
}

/// Every model that is here with each of these variants.
pub fn every_one_of(
    variants: fn(Capability) -> Vec<Variant>,
    test: impl Fn(&GpuDevice, Variant) + Sync,
) {
    let devices = gpus();
    each_device(|device| {
        for variant in share_of(device, &devices, variants) {
            say(&format!("{} {variant}", device.label()));
            test(device, variant);
        }
    });
}

/// A device's share of the variants, which it divides with those of its model; the fastest one
/// if there are fewer than devices. Whether a kernel is right on a model is asked once: whether a
/// card is in order is for `selftest` to say.
pub fn share_of(
    device: &GpuDevice,
    devices: &[GpuDevice],
    variants: fn(Capability) -> Vec<Variant>,
) -> Vec<Variant> {
    let alike = || devices.iter().filter(|other| other.name == device.name);
    let turn = alike().position(|other| other.index == device.index).expect("one of them");
    let all = variants(device.capability);
    let share: Vec<_> = all.iter().copied().skip(turn).step_by(alike().count()).collect();
    if share.is_empty() { all.into_iter().take(1).collect() } else { share }
}
