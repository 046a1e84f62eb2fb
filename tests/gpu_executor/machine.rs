//! What is said of the machine and its speed: the inventory and the bench.

use super::{gpus, say, turn};
use attest::evidence::Code;
use attest::executor::gpu::bench::{BenchOptions, bench};
use attest::protocol::plan::Shape;
use std::time::Duration;

#[test]
fn the_inventory_lists_the_devices() {
    let _turn = turn();
    let found = attest::evidence::inventory();
    let devices = gpus();
    assert_eq!(found.devices().len(), devices.len());
    if !devices.is_empty() {
        say(&format!("{found}"));
        say(&serde_json::to_string(&found).unwrap());
        // The sources must agree on the devices. That something is mounted over
        // the driver's files is for the finding to say: virtual machines do it.
        let disagreements: Vec<_> =
            found.findings.iter().filter(|f| f.code != Code::DriverFilesMountedOver).collect();
        assert!(disagreements.is_empty(), "{disagreements:?}");
    }
}

#[test]
fn a_bench_measures_every_side() {
    let _turn = turn();
    for device in gpus() {
        for products in [1, 6] {
            let mut options = BenchOptions::new(device.index, Shape { dim: 256, products });
            options.turn = Duration::from_millis(40);
            let report = bench(&options).unwrap_or_else(|error| panic!("{error}"));
            say(&report.to_string());
            let phases = report.phases;
            let times = [phases.fill_ms, phases.product_ms, phases.bare_product_ms];
            assert!(times.iter().all(|&ms| ms > 0.0 && ms.is_finite()), "{phases:?}");
            assert_eq!(report.attested.turns_tflops.len(), 3);
            assert_eq!(report.bare.turns_tflops.len(), 3);
            match &report.cublas {
                Ok(cublas) => assert_eq!(cublas.turns_tflops.len(), 3),
                Err(reason) => assert!(reason.contains("cuBLAS"), "{reason}"),
            }
            serde_json::to_string(&report).unwrap();
        }
    }
}
