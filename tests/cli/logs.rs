//! What operators read on standard error at `RUST_LOG=info`, as text and as JSON.

use crate::cli::{
    COULD_NOT_RUN, Example, Finished, OK, REJECTED, attest, finish, run_with_input, start,
};
use serde_json::Value;

/// Runs `attest ARGS` with RUST_LOG=info and `input`.
fn logged(args: &[&str], input: &str) -> Finished {
    finish(start(attest().args(args).env("RUST_LOG", "info")), input.as_bytes())
}

/// The lines that are objects.
fn objects(finished: &Finished) -> Vec<Value> {
    finished.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The one whose message holds this.
#[track_caller]
fn line<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let holds = |line: &&Value| line["message"].as_str().is_some_and(|text| text.contains(message));
    let mut found = lines.iter().filter(holds);
    let first = found.next().unwrap_or_else(|| panic!("{message:?} is missing in {lines:#?}"));
    assert!(found.next().is_none(), "{message:?} stands twice in {lines:#?}");
    first
}

#[test]
fn a_run_says_what_was_taken_and_what_came_of_it() {
    let example = Example::new(&[]);
    let run = ["run", "--executor", "cpu", "--challenge", &example.token, "--out"];
    let out = example.path("again.json");
    let run = [&run[..], &[out.to_str().unwrap()]].concat();
    let text = logged(&run, "").expect(OK);
    let line_of = |what: &str| {
        let line = text.stderr.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("{what:?} is missing in {}", text.stderr)).to_owned()
    };
    let taken = line_of("challenge taken: 3 iterations of 1 product of 128 x 128 matrices, ");
    assert!(taken.contains(" INFO challenge{id=\"") && taken.contains("on 1 lane"), "{taken}");
    let lane = line_of("throughput ");
    assert!(lane.contains(":lane{lane=0 device=") && lane.contains("FLOP/s for 0."), "{lane}");
    line_of("3 iterations without SM monitoring: not a GPU");
    // Fields are for programs.
    assert!(!text.stderr.contains("iterations=") && !text.stderr.contains("rate="));

    let json = logged(&[&run[..], &["--log-format", "json"]].concat(), "").expect(OK);
    let lines = objects(&json);
    let taken = line(&lines, "challenge taken");
    assert_eq!((&taken["level"], &taken["lanes"]), (&"INFO".into(), &1.into()));
    assert_eq!(taken["iterations"], 3);
    let span = &taken["span"];
    assert_eq!(
        (&span["name"], &span["kind"]),
        (&"challenge".into(), &"matrix_multiplication_pow".into())
    );
    assert_eq!(span["id"].as_str().unwrap().len(), 16);
    let lane = line(&lines, "throughput");
    assert_eq!((&lane["span"]["name"], &lane["span"]["lane"]), (&"lane".into(), &0.into()));
    assert_eq!(lane["spans"][0]["id"], span["id"], "a lane's line has its challenge");
    assert_eq!(lane["unit"], "FLOP/s");
    let expected = 2.0 * 3.0 * 128_f64.powi(3);
    let done = lane["rate"].as_f64().unwrap() * lane["elapsed_ms"].as_f64().unwrap() / 1e3;
    assert!((done / expected - 1.0).abs() < 1e-6, "{lane}");
}

#[test]
fn verifications_say_how_much_was_looked_at_and_for_how_long() {
    let example = Example::new(&[]);
    let verify = ["verify", "-", "--challenge", &example.token, "--log-format", "json"];
    let of = |more: &[&str], result: &str, code| {
        objects(&logged(&[&verify[..], more].concat(), result).expect(code))
    };
    let lines = of(&[], &example.result, OK);
    let sampled = line(&lines, "verified by sampling: ");
    let leaves = sampled["leaves"].as_u64().unwrap();
    let text = sampled["message"].as_str().unwrap();
    assert!(text.contains(&format!("{leaves} leaves checked in ")), "{text}");
    assert!(leaves > 0 && sampled["elapsed_ms"].as_f64().unwrap() > 0.0, "{sampled}");
    assert_eq!(sampled["span"]["name"], "challenge");
    line(&of(&["--full"], &example.result, OK), "verified by recomputing everything");
    // A digit of the first root is another.
    let mut other: Value = serde_json::from_str(&example.result).unwrap();
    let root = other["lanes"][0]["iteration_roots"][0].as_str().unwrap().to_owned();
    let digit = if root.starts_with('0') { "1" } else { "0" };
    other["lanes"][0]["iteration_roots"][0] = format!("{digit}{}", &root[1..]).into();
    let lines = of(&[], &other.to_string(), REJECTED);
    assert_eq!(line(&lines, "rejected: ")["code"], "commitment-mismatch");
}

#[test]
fn a_live_session_logs_both_sides_with_their_challenge() {
    let respond = "\"$0\" --log-format json respond --executor cpu 2>miner.log";
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_attest");
    let args = "--log-format json --ledger l.sqlite validate --no-policy --dim 128 --matrices 1 \
                --iterations 3 -- sh -c";
    let output = attest()
        .current_dir(&folder)
        .env("RUST_LOG", "info")
        .args(args.split_whitespace())
        .args([respond, program])
        .output()
        .unwrap();
    let validator = Finished::of(output).expect(OK);
    let lines = objects(&validator);
    let verified = line(&lines, "verified by sampling: ");
    let miner = std::fs::read_to_string(folder.path().join("miner.log")).unwrap();
    let miner: Vec<Value> =
        miner.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let taken = line(&miner, "challenge taken");
    assert_eq!(taken["span"]["id"], verified["span"]["id"]);
    line(&miner, "throughput");
}

#[test]
fn without_rust_log_there_are_warnings_and_nothing_else() {
    let example = Example::new(&[]);
    let finished = example.verify(&example.result).expect(OK);
    assert_eq!(finished.stderr, "");
    let args = ["verify", "-", "--challenge", &example.token, "--log-format", "xml"];
    run_with_input(args, b"").expect(COULD_NOT_RUN).says("--log-format");
}
