//! The oracle of memory residency against numbers from independent programs. That each
//! part of the rules matters is shown in tests/attacks/memory_rule.rs.

use crate::common::memory::{MemoryRun, RUNS, digest, folds};
use attest::reference::MemoryOracle;
use attest::reference::memory::fold;

#[test]
fn every_fold_reproduces_on_the_oracle() {
    let folds = folds();
    assert!(folds.iter().any(|case| case.index >= 1 << 32), "indices beyond 32 bits");
    for case in folds {
        let message = fold(case.key, case.tweak, case.index, &case.columns);
        assert_eq!(hex::encode(message), case.message, "index {}", case.index);
    }
}

#[test]
fn every_run_reproduces_on_the_oracle() {
    for run in RUNS.map(MemoryRun::read) {
        let oracle = MemoryOracle::new(run.work, &run.seeds);
        run.reproduces(|lane, iteration, state| oracle.iteration_leaves(lane, iteration, state));
        let file = &run.file;
        assert_eq!(oracle.arena(0).block_digest(5), digest(&file["block5"]), "{}", run.name);
        let message = oracle.leaf_message(0, 1, &run.seeds[0], 5);
        let expected = &file["lane0_iteration1_leaf5"]["message"];
        assert_eq!(*expected, hex::encode(message), "{}", run.name);
    }
}
