//! Challenges of integer products, as a user asks for them and meets them.

use crate::cli::{COULD_NOT_RUN, Finished, OK, REJECTED, attest, run, run_with_input};
use attest::protocol::challenge::Challenge;
use attest::protocol::work::integer_product::IntegerProduct;
use serde_json::Value;
use std::io::pipe;

fn asked(options: &[&str]) -> Finished {
    run(["challenge", "--kind", "integer"].iter().chain(options))
}

fn challenge(finished: Finished) -> (Challenge, IntegerProduct) {
    let challenge = Challenge::from_token(&finished.expect(OK).stdout).expect("a token");
    let work = challenge.work().integer_product().expect("its kind");
    (challenge, work)
}

#[test]
fn options_become_fields() {
    let (by_default, work) = challenge(asked(&[]));
    assert_eq!(work, IntegerProduct { dim: 1024, products: 8 });
    assert_eq!((by_default.sync_interval(), by_default.iterations()), (10, 100));
    let typed = ["--dim", "65536", "--matrices", "4096", "--sync", "3"];
    let (typed, work) = challenge(asked(&typed));
    assert_eq!((work, typed.sync_interval()), (IntegerProduct { dim: 65_536, products: 4096 }, 3));
    let file = br#"{"challenge_type": "integer_multiplication_pow", "matrix_dim": 384}"#;
    let from_file = run_with_input(["challenge", "--from-file", "-"], file);
    assert_eq!(challenge(from_file).1, IntegerProduct { dim: 384, products: 8 });
}

#[test]
fn what_cannot_be_is_refused() {
    for (options, says) in [
        (&["--dim", "0"][..], "matrix_dim"),
        (&["--dim", "192"], "matrix_dim"),
        (&["--dim", "65664"], "matrix_dim"),
        (&["--matrices", "0"], "num_matrices"),
        (&["--matrices", "4097"], "num_matrices"),
        (&["--arena-blocks", "512"], "--kind memory"),
        (&["--half-passes", "12"], "--kind memory"),
        (&["--peer-blocks", "0"], "is not for a challenge of integer_multiplication_pow"),
    ] {
        asked(options).expect(COULD_NOT_RUN).says(says).printed_nothing();
    }
    // FP64 products end at half of it.
    run(["challenge", "--dim", "65536"]).expect(COULD_NOT_RUN).says("matrix_dim").printed_nothing();
}

#[test]
fn inspect_shows_the_work() {
    let token = asked(&["--dim", "256", "--matrices", "2", "--iterations", "5"]).expect(OK).stdout;
    let shown = run(["inspect", token.trim_end()]).expect(OK).stdout;
    for text in ["5 iterations of 2 products of 256 x 256 int8 matrices", "335.5 MOP"] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
    let shown = run(["inspect", token.trim_end(), "--json"]).expect(OK).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["challenge"]["matrix_dim"], 256);
    let cost = &shown["cost_per_lane"];
    assert_eq!((&cost["amount"], &cost["unit"]), (&"335544320".into(), &"operations".into()));
}

#[test]
fn products_are_run_and_verified_offline() {
    let options = ["--dim", "256", "--matrices", "2", "--iterations", "4", "--sync", "2"];
    let token = asked(&options).expect(OK).stdout;
    let token = token.trim_end();
    let ran = run(["run", "--executor", "cpu", "--challenge", token]).expect(OK).stdout;
    let verify = |result: &str, how| {
        run_with_input(["verify", "-", "--challenge", token, how], result.as_bytes())
    };
    for how in ["--sampled", "--full"] {
        let shown = verify(&ran, how).expect(OK).stdout;
        assert!(shown.starts_with("VERIFIED: "), "{shown}");
        assert!(shown.contains("1.342e8 int8 multiply-adds"), "{shown}");
    }
    let mut result: Value = serde_json::from_str(&ran).unwrap();
    let rate = &result["evidence"]["lanes"][0]["achieved_ops_per_s"];
    assert!(rate.as_str().unwrap().parse::<u64>().unwrap() > 0, "{rate}");
    // A flipped bit of an opened path.
    let digest = &mut result["openings"][0]["path"][0];
    let text = digest.as_str().unwrap();
    let last = u8::from_str_radix(&text[63..], 16).unwrap() ^ 1;
    *digest = format!("{}{last:x}", &text[..63]).into();
    let shown = verify(&result.to_string(), "--sampled").expect(REJECTED).stdout;
    assert!(shown.contains("leaf-mismatch"), "{shown}");
}

#[test]
fn products_are_verified_in_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite");
    let args = [
        "validate",
        "--no-policy",
        "--ledger",
        ledger.to_str().unwrap(),
        "--kind",
        "integer",
        "--dim",
        "128",
        "--iterations",
        "3",
        "--",
        env!("CARGO_BIN_EXE_attest"),
        "respond",
        "--executor",
        "cpu",
    ];
    let ended = run(args).expect(OK);
    assert!(ended.stdout.starts_with("VERIFIED  lane 0: "), "{}", ended.stdout);
    ended.says("3 iterations of 8 products of 128 x 128 int8 matrices");
}

#[test]
fn a_run_goes_on_from_its_checkpoint() {
    let token = asked(&["--dim", "128", "--iterations", "6", "--sync", "2"]).expect(OK).stdout;
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("run.ckpt");
    let file = checkpoint.to_str().unwrap();
    let args = ["run", "--executor", "cpu", "--challenge", token.trim_end(), "--checkpoint", file];
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let gone = attest().args(args).stdout(writer).output().unwrap();
    Finished::of(gone).expect(OK).says(&format!("{file} is kept"));
    let delivered = run(args).expect(OK).stdout;
    let verify = ["verify", "-", "--full", "--challenge", token.trim_end()];
    run_with_input(verify, delivered.as_bytes()).expect(OK);
    assert!(!checkpoint.exists(), "it is delivered");
}

#[test]
fn the_demo_proves_and_then_catches_a_flipped_bit() {
    let shown = run(["demo", "--kind", "integer", "--executor", "cpu"]).expect(OK).stdout;
    for text in [
        "16 iterations, each 2 products of 2048 x 2048 int8 matrices",
        "every output folded and hashed",
        "VERIFIED: the work is proven",
        "REJECTED: leaf-mismatch (step 7)",
    ] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
}
