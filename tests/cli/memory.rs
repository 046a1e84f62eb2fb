//! Challenges of memory residency, as a user asks for them and meets them.

use crate::cli::{COULD_NOT_RUN, Finished, OK, REJECTED, names_in, run, run_with_input};
use attest::protocol::challenge::Challenge;
use attest::protocol::work::memory_residency::MemoryResidency;
use serde_json::Value;

/// 90 % of 141 GB in whole steps of 512 blocks.
const H200_BLOCKS: u64 = 60_510 * 512;

fn asked(options: &[&str]) -> Finished {
    run(["challenge", "--kind", "memory"].iter().chain(options))
}

fn challenge(finished: Finished) -> (Challenge, MemoryResidency) {
    let challenge = Challenge::from_token(&finished.expect(OK).stdout).expect("a token");
    let work = challenge.work().memory_residency().expect("its kind");
    (challenge, work)
}

#[test]
fn options_become_fields() {
    let (by_default, work) = challenge(asked(&[]));
    let arena_of = |arena_blocks| MemoryResidency { arena_blocks, half_passes: 12, peer_blocks: 0 };
    assert_eq!(work, arena_of(65_536));
    // Only if lanes meet after every sweep all of them are shown at once.
    assert_eq!((by_default.sync_interval(), by_default.iterations()), (1, 100));
    let typed = "--arena-blocks 1024 --half-passes 10 --peer-blocks 512 --gpu-count 2 --sync 3";
    let (typed, work) = challenge(asked(&typed.split(' ').collect::<Vec<_>>()));
    assert_eq!(work, MemoryResidency { arena_blocks: 1024, half_passes: 10, peer_blocks: 512 });
    assert_eq!(typed.sync_interval(), 3);
    for (options, blocks) in [
        (&["--arena-bytes", "4194303"][..], 512),
        (&["--arena-bytes", "90%", "--gpu-model", "NVIDIA H200"], H200_BLOCKS),
        (&["--arena-bytes", "50%", "--min-memory", "1073741824"], 131_072),
    ] {
        assert_eq!(challenge(asked(options)).1, arena_of(blocks), "{options:?}");
    }
    let file = br#"{"challenge_type": "memory_residency_pow", "arena_blocks": 1024}"#;
    let with_file =
        |more: &[&str]| run_with_input(["challenge", "--from-file", "-"].iter().chain(more), file);
    assert_eq!(challenge(with_file(&[])).1, arena_of(1024));
    assert_eq!(challenge(with_file(&["--arena-bytes", "2097152"])).1, arena_of(512));
    with_file(&["--dim", "128"]).expect(COULD_NOT_RUN).says("matrix_dim (--dim)").printed_nothing();
}

#[test]
fn what_cannot_be_is_refused_with_what_to_give() {
    for (options, says) in [
        (
            &["--dim", "128"][..],
            "matrix_dim (--dim) is not for a challenge of memory_residency_pow",
        ),
        (&["--matrices", "8"], "--kind fp64"),
        (&["--arena-bytes", "90%"], "--gpu-model"),
        (&["--arena-bytes", "90%", "--gpu-model", "Abacus"], "--min-memory"),
        (&["--arena-bytes", "0%"], "--arena-bytes"),
        (&["--arena-bytes", "101%"], "--arena-bytes"),
        (&["--arena-bytes", "1e9"], "expected bytes"),
        (&["--arena-bytes", "2097151"], "arena_blocks"),
        (&["--arena-bytes", "2097152", "--arena-blocks", "512"], "--arena-blocks"),
        (&["--arena-blocks", "0"], "arena_blocks"),
        (&["--arena-blocks", "511"], "arena_blocks"),
        (&["--arena-blocks", "268435968"], "arena_blocks"),
        (&["--arena-blocks", "18446744073709551615"], "arena_blocks"),
        (&["--half-passes", "17"], "half_passes"),
        (&["--peer-blocks", "256"], "gpu_count"),
        (&["--peer-blocks", "256", "--gpu-count", "1"], "gpu_count"),
        (&["--peer-blocks", "255", "--gpu-count", "2"], "peer_blocks"),
        (&["--peer-blocks", "65792", "--gpu-count", "2"], "peer_blocks"),
    ] {
        asked(options).expect(COULD_NOT_RUN).says(says).printed_nothing();
    }
    for option in ["--arena-blocks", "--arena-bytes", "--half-passes", "--peer-blocks"] {
        for kind in [&[][..], &["--kind", "fp64"]] {
            let args = ["challenge", option, "2097152"];
            let refused = run(args.iter().chain(kind)).expect(COULD_NOT_RUN);
            refused.says(option).says("--kind memory").printed_nothing();
        }
    }
    run(["challenge", "--kind", "disk"]).expect(COULD_NOT_RUN).says("fp64, memory");
    // A session is not begun for what cannot be issued.
    for (options, says) in [
        (&["--dim", "128"][..], "--kind fp64"),
        (&["--arena-blocks", "511"], "arena_blocks"),
        (&["--no-policy", "--arena-bytes", "90%"], "--gpu-model"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.sqlite");
        let args = ["validate", "--ledger", ledger.to_str().unwrap(), "--kind", "memory"];
        let ended = run(args.iter().chain(options).chain(&["--", "false"]));
        ended.expect(COULD_NOT_RUN).says(says).printed_nothing();
    }
}

#[test]
fn a_policy_sizes_the_arena_and_the_sweeps() {
    let sized = |policy: &[u8], options: &[&str]| {
        let args = ["challenge", "--kind", "memory", "--policy", "-", "--model", "NVIDIA H200"];
        run_with_input(args.iter().chain(options), policy)
    };
    let ten = sized(b"", &["--seconds", "10"]).expect(OK);
    assert_eq!(ten.stderr, "");
    let (ten, work) = challenge(ten);
    assert_eq!((work.arena_blocks, ten.iterations(), ten.limit_ms()), (H200_BLOCKS, 312, 12_336));
    let half = challenge(sized(b"", &["--arena-bytes", "50%"])).1;
    assert_eq!(half.arena_blocks, 33_617 * 512);
    let large = sized(b"", &["--arena-bytes", "160000000000"]).expect(COULD_NOT_RUN);
    large.says("a NVIDIA H200 has about 141 GB of memory").printed_nothing();
    let demanding = b"[memory]\nresident_bytes_min = 130000000000\n";
    let refused = sized(demanding, &[]).expect(COULD_NOT_RUN);
    refused.says("memory.resident_bytes_min is 130000000000 bytes").printed_nothing();
    sized(b"[time]\nslack = 1.1\n", &["--seconds", "60"])
        .expect(COULD_NOT_RUN)
        .says("time.slack 1.1 is too tight")
        .printed_nothing();
}

#[test]
fn inspect_shows_the_arena() {
    let options = ["--arena-blocks", "1024", "--half-passes", "9", "--iterations", "3"];
    let token = asked(&options).expect(OK).stdout;
    let shown = run(["inspect", token.trim_end()]).expect(OK).stdout;
    for text in [
        "3 iterations of a sweep of an arena of 4.194 MB",
        "4.194 MB on every lane: 1 024 blocks of 4096 bytes, mixed in 9 half-passes",
        "nothing, with fewer than 10 half-passes",
        "exchanging digests after every iteration",
    ] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
    let shown = run(["inspect", token.trim_end(), "--json"]).expect(OK).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["challenge"]["arena_blocks"], 1024);
    assert_eq!(
        (&shown["arena_bytes_per_lane"], &shown["cost_per_lane"]["unit"]),
        (&4_194_304.into(), &"bytes".into())
    );
    let options = ["--arena-blocks", "512", "--peer-blocks", "256", "--gpu-count", "2"];
    let token = asked(&options).expect(OK).stdout;
    let shown = run(["inspect", token.trim_end()]).expect(OK).stdout;
    assert!(shown.contains("104.9 MB reach every lane"), "{shown}");
}

#[test]
fn an_arena_takes_no_checkpoint() {
    let token = asked(&["--arena-blocks", "512", "--iterations", "2"]).expect(OK).stdout;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.ckpt");
    let args = ["run", "--executor", "cpu", "--challenge", token.trim_end(), "--checkpoint"];
    run(args.iter().copied().chain([file.to_str().unwrap()]))
        .expect(COULD_NOT_RUN)
        .says("error: a run of memory_residency_pow takes no checkpoint: its arena cannot be kept")
        .says("help: Leave the checkpoint out")
        .printed_nothing();
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn arenas_are_run_and_verified_offline_and_in_sessions() {
    let options = ["--arena-blocks", "512", "--iterations", "3"];
    let token = asked(&options).expect(OK).stdout;
    let ran = run_with_input(["run", "--executor", "cpu", "--challenge", "-"], token.as_bytes());
    let verify = ["verify", "-", "--challenge", token.trim_end()];
    run_with_input(verify, ran.expect(OK).stdout.as_bytes()).expect(OK);

    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite");
    let args =
        ["validate", "--no-policy", "--ledger", ledger.to_str().unwrap(), "--kind", "memory"];
    let attest = env!("CARGO_BIN_EXE_attest");
    let miner = ["--", attest, "respond", "--executor", "cpu"];
    let ended = run(args.iter().chain(&options).chain(&miner)).expect(OK);
    assert!(ended.stdout.starts_with("VERIFIED  lane 0: "), "{}", ended.stdout);
    ended.says("3 iterations of a sweep of an arena of 2.097 MB, filled in 12 half-passes");
}

/// A session under this policy with a miner that names one device and leaves after its
/// challenge, or with what `miner` is.
fn session(policy: &str, options: &[&str], miner: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let [ledger, file] = ["ledger.sqlite", "policy.toml"].map(|name| folder.path().join(name));
    std::fs::write(&file, policy).unwrap();
    let (ledger, file) = (ledger.to_str().unwrap(), file.to_str().unwrap());
    let args = ["validate", "--ledger", ledger, "--kind", "memory", "--policy", file];
    let script = match miner.strip_prefix("NVIDIA ") {
        None => format!("{} respond {miner}", env!("CARGO_BIN_EXE_attest")),
        Some(_) => format!(
            r#"echo '{{"message":"hello","versions":[1],"software":"x","capabilities":[],"devices":[{{"kind":"gpu","model":"{miner}","memory_bytes":1}}]}}'
            read hello; read ping; echo '{{"message":"pong"}}'; read challenge"#
        ),
    };
    run(args.iter().chain(options).copied().chain(["--", "sh", "-c", &script]))
}

#[test]
fn a_session_asks_for_most_of_what_the_miners_model_has() {
    let demanding = "[memory]\nresident_bytes_min = 120000000000\nmemory_gb_s_min = 3900.0\n";
    let h200 = session(demanding, &[], "NVIDIA H200").expect(REJECTED);
    h200.says("312 iterations of a sweep of an arena of 126.9 GB, filled in 12 half-passes");
    let half = session("", &["--arena-bytes", "50%"], "NVIDIA L4").expect(REJECTED);
    half.says("of a sweep of an arena of 12.00 GB");
    // What no card of the model can show, or one lane alone.
    let h100 = session(demanding, &[], "NVIDIA H100 80GB HBM3").expect(REJECTED).stdout;
    assert!(h100.starts_with("REJECTED: unfit-devices"), "{h100}");
    let alone = session("", &["--peer-blocks", "256"], "NVIDIA H200").expect(REJECTED).stdout;
    assert!(alone.starts_with("REJECTED: unfit-devices"), "{alone}");
    // What was typed is nobody's fault but the validator's.
    session(demanding, &["--half-passes", "9"], "NVIDIA H200").expect(COULD_NOT_RUN);
}

#[test]
fn a_cpu_is_asked_for_what_was_typed() {
    let policy = "[devices]\ncpu_allowed = true\n[soundness]\nomitted_share = 0.1\n";
    let options = ["--arena-blocks", "512", "--iterations", "2"];
    let shown = session(policy, &options, "--executor cpu").expect(OK).stdout;
    assert!(shown.starts_with("VERIFIED  lane 0: "), "{shown}");
}

#[test]
fn the_demo_proves_and_then_catches_a_flipped_bit() {
    let shown = run(["demo", "--kind", "memory", "--executor", "cpu"]).expect(OK).stdout;
    for text in [
        "16 iterations, each a sweep of an arena of 67.11 MB",
        "every byte folded and hashed",
        "VERIFIED: the work is proven",
        "REJECTED: leaf-mismatch (step 7)",
    ] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
}
