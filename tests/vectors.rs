//! Every vector file reproduces on the oracle and on the CPU executor, field by
//! field; and the checker that says so notices any field that doesn't fit.

use crate::common::verify_full;
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::result::ResultDoc;
use attest::protocol::verified::Extent;
use attest::reference::{OracleExecutor, Run};
use attest::selftest::LaneExecutors;
use attest::selftest::vectors::{Report, VectorError, VectorFile, check_file, check_json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .expect("tests/vectors exists")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 13, "vector files are missing from {FOLDER}");
    files
}

fn runs() -> Vec<(String, Value)> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    files().into_iter().map(read).filter(|(_, vector)| vector.get("result").is_some()).collect()
}

fn oracle() -> LaneExecutors<'static> {
    LaneExecutors::new(|| Ok(Box::new(OracleExecutor::new(Uuid::default()))))
}

#[test]
fn every_file_reproduces_on_the_oracle() {
    reproduce_on(&mut oracle());
}

#[test]
fn every_file_reproduces_on_the_cpu_executor() {
    let open = || Ok(Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>);
    reproduce_on(&mut LaneExecutors::new(open));
}

fn reproduce_on(executors: &mut LaneExecutors<'_>) {
    let (mut draws, mut folds, mut kinds) = (0, 0, HashSet::new());
    for path in files() {
        let report = check_file(&path, executors);
        match report.unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            Report::Run { openings, work, .. } => {
                assert!(openings > 0, "{}", path.display());
                kinds.insert(work.challenge_type());
            }
            Report::Draws { .. } => draws += 1,
            Report::Folds { folds: count } => folds += count,
        }
    }
    assert_eq!((draws, folds, kinds.len()), (1, 7, 3));
}

#[test]
fn small_runs_suit_the_oracle_and_files_without_a_run_need_none() {
    for path in files() {
        let file = VectorFile::read(&path).unwrap();
        let is_run = !["draws.json", "fold.json"].contains(&file.name());
        assert_eq!(file.suits_oracle(), is_run, "{}", file.name());
    }
    // The same with an arena of 1.1 TB: not for the oracle.
    let text = std::fs::read_to_string(format!("{FOLDER}/memory-own.json")).unwrap();
    let mut vector: Value = serde_json::from_str(&text).unwrap();
    let token = STANDARD.decode(vector["challenge"].as_str().unwrap()).unwrap();
    let token = String::from_utf8(token).unwrap().replace("1536", "268435456");
    vector["challenge"] = STANDARD.encode(token).into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.json");
    std::fs::write(&path, vector.to_string()).unwrap();
    assert!(!VectorFile::read(&path).unwrap().suits_oracle());
}

#[test]
fn the_reference_miner_hands_in_exactly_the_vectors_results() {
    for (name, vector) in runs() {
        let challenge = Challenge::from_token(vector["challenge"].as_str().unwrap()).unwrap();
        let json = vector["result"].to_string();
        let result = ResultDoc::read(json.as_bytes(), &challenge).unwrap();
        let run = Run::of(&challenge, &result.uuids());
        let mut made = run.result(result.evidence.clone(), result.coin, None);
        // Whoever made the file kept the key.
        made.miner_signature = result.miner_signature;
        assert_eq!(made, result, "{name}");
        assert_eq!(serde_json::from_str::<Value>(&made.to_json()).unwrap(), vector["result"]);
    }
}

#[test]
fn every_result_verifies_with_every_iteration_recomputed() {
    for (name, vector) in runs() {
        if name == "three-lanes-256.json" {
            continue; // recomputed whole by the two tests above
        }
        let challenge = Challenge::from_token(vector["challenge"].as_str().unwrap()).unwrap();
        let json = vector["result"].to_string();
        let result = ResultDoc::read(json.as_bytes(), &challenge).unwrap();
        let circumstances = Circumstances::default();
        let extent = Extent::EveryIteration;
        verify_full(&challenge, &result, &circumstances, extent)
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

/// Changes a leaf value of a JSON document in the way that is hardest to see.
fn nudge(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<u64>().is_ok() => text.push('0'),
        Value::String(text) => {
            let last = text.pop().unwrap_or('0');
            text.push(if last == '1' { '0' } else { '1' });
        }
        Value::Number(number) if number.is_f64() => {
            *value = number.as_f64().unwrap().next_up().into();
        }
        Value::Number(number) => *value = (number.as_u64().unwrap() + 1).into(),
        Value::Array(entries) => nudge(entries.last_mut().expect("not empty")),
        Value::Object(members) => nudge(members.values_mut().next().expect("not empty")),
        Value::Bool(_) | Value::Null => panic!("vectors have none at the top"),
    }
}

/// Whether `vector` is refused once `change` was made to it.
#[track_caller]
fn is_noticed(vector: &Value, what: &str, change: impl FnOnce(&mut Value)) {
    let mut changed = vector.clone();
    change(&mut changed);
    assert_ne!(changed, *vector, "{what}");
    let report = check_json(changed.to_string().as_bytes(), &mut oracle());
    assert!(report.is_err(), "{what} went unnoticed");
}

#[test]
fn the_checker_notices_a_change_of_any_field() {
    for name in [
        "one-product.json",
        "draws.json",
        "two-lanes-counters.json",
        "memory-bare.json",
        "integer-128.json",
        "fold.json",
    ] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
        let vector: Value = serde_json::from_str(&text).unwrap();
        for field in vector.as_object().unwrap().keys() {
            let what = |change| format!("{name}: {change} {field}");
            is_noticed(&vector, &what("a change of"), |vector| nudge(&mut vector[field]));
            is_noticed(&vector, &what("the absence of"), |vector| {
                vector.as_object_mut().unwrap().remove(field);
            });
            is_noticed(&vector, &what("null in the place of"), |vector| {
                vector[field] = Value::Null;
            });
        }
        let mut more = vector.clone();
        more["more"] = 1.into();
        let report = check_json(more.to_string().as_bytes(), &mut oracle());
        assert!(matches!(report, Err(VectorError::Malformed { .. })), "{name}");
    }
    for (name, fields) in [
        ("one-product.json", &["message", "hash", "value_0_0"][..]),
        ("memory-bare.json", &["message", "hash"][..]),
        ("integer-128.json", &["message", "hash"][..]),
    ] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
        let vector: Value = serde_json::from_str(&text).unwrap();
        let leaf = "lane0_iteration1_leaf5";
        for field in fields {
            is_noticed(&vector, field, |vector| nudge(&mut vector[leaf][field]));
            is_noticed(&vector, field, |vector| {
                vector[leaf].as_object_mut().unwrap().remove(*field);
            });
        }
    }
}

#[test]
fn a_field_of_another_kind_of_work_is_noticed() {
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (product, memory) = (read("one-product.json"), read("memory-bare.json"));
    let integer = read("integer-128.json");
    let leaf = "lane0_iteration1_leaf5";
    is_noticed(&product, "block5", |vector| vector["block5"] = memory["block5"].clone());
    is_noticed(&integer, "block5", |vector| vector["block5"] = memory["block5"].clone());
    for other in [&memory, &integer] {
        is_noticed(other, "value_0_0", |vector| {
            vector[leaf]["value_0_0"] = product[leaf]["value_0_0"].clone();
        });
    }
}

#[test]
fn the_checker_notices_every_change_of_a_fold() {
    let text = std::fs::read_to_string(format!("{FOLDER}/fold.json")).unwrap();
    let vector: Value = serde_json::from_str(&text).unwrap();
    is_noticed(&vector, "no folds", |vector| vector["folds"] = Value::Array(Vec::new()));
    for (at, fold) in vector["folds"].as_array().unwrap().iter().enumerate() {
        let notices = |what: &str, change: &dyn Fn(&mut Value)| {
            is_noticed(&vector, &format!("fold {at}: {what}"), |vector| {
                change(&mut vector["folds"][at]);
            });
        };
        for field in fold.as_object().unwrap().keys() {
            notices(field, &|fold| nudge(&mut fold[field]));
            notices(field, &|fold| fold[field] = Value::Null);
            notices(field, &|fold| {
                fold.as_object_mut().unwrap().remove(field);
            });
        }
        notices("an unknown field", &|fold| fold["more"] = 1.into());
        notices("the first word of the key", &|fold| nudge(&mut fold["key"][0]));
        // In each word's other half, in every column.
        let words = fold["words"].as_str().unwrap();
        for at in (0..words.len()).step_by(37) {
            notices("a digit of words", &|fold| {
                let mut digits = words.to_owned().into_bytes();
                digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
                fold["words"] = String::from_utf8(digits).unwrap().into();
            });
        }
        for (field, text) in [
            ("index", "18446744073709551616".to_owned()),
            ("index", format!("0{}", fold["index"].as_str().unwrap())),
            ("tweak", fold["tweak"].as_str().unwrap().to_uppercase() + "00"),
            ("message", fold["message"].as_str().unwrap().to_uppercase()),
            ("words", words.to_uppercase()),
            ("words", words[..words.len() - 32].to_owned()),
            ("words", String::new()),
        ] {
            notices(field, &|fold| fold[field] = text.clone().into());
        }
        for columns in [0, 3, 128, 1_u64 << 40] {
            notices("columns", &|fold| fold["columns"] = columns.into());
        }
    }
}

#[test]
fn the_checker_names_the_field_an_executor_gets_wrong() {
    /// Right about everything but the last leaf of the last tile asked for.
    struct OneLeafWrong(OracleExecutor);
    impl Executor for OneLeafWrong {
        fn facts(&self) -> &attest::executor::LaneFacts {
            self.0.facts()
        }
        fn begin(
            &mut self,
            assignment: &attest::executor::Assignment,
        ) -> Result<(), attest::executor::ExecError> {
            self.0.begin(assignment)
        }
        fn run(
            &mut self,
            segment: &attest::executor::Segment,
            sink: &mut attest::executor::Sink<'_>,
        ) -> Result<(), attest::executor::ExecError> {
            self.0.run(segment, sink)
        }
        fn leaf_hashes(
            &mut self,
            assignment: &attest::executor::Assignment,
            tiles: &[attest::executor::TileRequest],
        ) -> Result<Vec<Vec<Digest>>, attest::executor::ExecError> {
            let mut leaves = self.0.leaf_hashes(assignment, tiles)?;
            leaves.last_mut().unwrap()[255].0[31] ^= 1;
            Ok(leaves)
        }
        fn sm_tiles(&mut self) -> Result<attest::executor::SmTiles, attest::executor::ExecError> {
            self.0.sm_tiles()
        }
    }
    let path = PathBuf::from(format!("{FOLDER}/one-product.json"));
    let open = || Ok(Box::new(OneLeafWrong(OracleExecutor::new(Uuid::default()))) as _);
    match check_file(&path, &mut LaneExecutors::new(open)) {
        Err(VectorError::Mismatch { field: "openings", count, .. }) => assert!(count > 0),
        other => panic!("{other:?}"),
    }
}
