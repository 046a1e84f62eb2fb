//! Writes the committed corpus: `cargo run --example seeds`, in the folder fuzz.
//! Each seed is something that a target is meant to read, so that mutations begin
//! behind the first checks.

use attest::export::{self, Attested};
use attest::policy::Policy;
use attest::protocol::result::{ResultDoc, chain_states};
use attest::session::message::{FromMiner, FromValidator, MinerHello, line_of, software};
use attest_fuzz::{COIN, Fixture, identity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

fn put(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("written");
}

/// A piece as a script takes it.
fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn main() {
    let run = Fixture::new();
    documents(&run);
    sessions(&run);
    checkpoints(&run);
    vectors();
    for kind in 0..16_u8 {
        put("verify", &format!("edit-{kind:02}"), [kind % 2, kind, 0, 0, 0, 1, 0, 1, 1, 1]);
    }
    put("verify", "nothing", [1]);
    hardware_evidence();
}

/// NVIDIA's public sample, of the vectors.
fn hardware_evidence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hardware-evidence");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a vector");
    let report = hex_bytes(read("hopperAttestationReport.txt").trim());
    put("device_report", "sample", report);
    put("device_chain", "sample", read("hopperCertChain.txt"));
    let bytes = |name: &str| fs::read(folder.join(name)).expect("a sample");
    put("machine_snp", "sample", bytes("snp_milan.bin"));
    put(
        "machine_snp",
        "table",
        [bytes("snp_milan_debug.bin"), table(&bytes("snp_milan_debug_vcek.der"))].concat(),
    );
    put("machine_tdx", "version-4", bytes("tdx_4.bin"));
    put("machine_tdx", "version-5", bytes("tdx_5.bin"));
    put("rim", "driver", read("Driver_RIM_test_no_gpu.swidtag"));
    put("rim", "vbios", read("1010_0200_882_96005E0001_test_no_gpu.swidtag"));
}

/// A host's table with the certificate of a chip.
fn table(der: &[u8]) -> Vec<u8> {
    let guid = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();
    let place = [48_u32.to_le_bytes(), (der.len() as u32).to_le_bytes()].concat();
    [&guid[..], &place, &[0; 24], der].concat()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(pair).collect()
}

fn documents(run: &Fixture) {
    let token = run.challenge.token();
    put("challenge", "token", token);
    put("challenge", "json", STANDARD.decode(token).expect("base64"));
    let json = run.result.to_json();
    put("result", "whole", &json);
    put("result", "no-coin", ResultDoc { coin: None, ..run.result.clone() }.to_json());
    put("evidence", "cpu", run.result.evidence.canonical());
    put("evidence", "gpu", gpu_evidence().to_string());
    put("json", "evidence", run.result.evidence.canonical());
    put(
        "json",
        "kinds",
        r#"{"a":[true,-1,1.5e3,"\u00e4\ud83d\ude00",{}],"b":18446744073709551615}"#,
    );
    put("json", "deep", format!("{}1{}", "[".repeat(16), "]".repeat(16)));
    let commitment = run.result.commitment;
    let verdict = json!({
        "schema": 3, "outcome": "verified", "work": "proven",
        "challenge_digest": run.challenge.digest(), "commitment": commitment,
        "devices": [{"lane": 0, "signed": {"revocation": "good", "measurements": "match"}}],
    });
    let parts = (run.challenge.clone(), run.result.clone(), Some(verdict.to_string()));
    let attested = Attested::new(parts.0, parts.1, None, parts.2.as_deref()).expect("they fit");
    let token = export::ear::export(&attested, &identity(1), 1_780_272_000).expect("a token");
    let claims = export::ear::check(&token, &identity(1).public()).expect("it holds");
    put("ear", "token", token);
    put("ear", "claims", claims.to_string());
    let arrived_unix_ms = 1000 * run.challenge.issued_at_unix_s() as u64;
    let signed = identity(1).sign_receipt(&run.challenge, &commitment, COIN, arrived_unix_ms);
    let receipt = signed.expect("the challenge names the validator");
    put("receipt", "valid", receipt.to_json());
    put("policy", "template.toml", Policy::template());
    put("policy", "default.toml", toml::to_string(&Policy::default()).expect("a policy is TOML"));
    put(
        "policy",
        "short.toml",
        "name = \"x\"\n[devices]\nmodels = [\"NVIDIA H200\"]\n[findings]\ndevice-count = \"reject\"\n",
    );
    let attested = Attested::new(run.challenge.clone(), run.result.clone(), Some(receipt), None);
    let attested = attested.expect("they belong together");
    put("export", "statement", attested.to_statement());
    put("export", "envelope", export::export(&attested, &identity(1)).expect("small"));
    let folder = tempfile::tempdir().expect("a folder");
    let key: PathBuf = folder.path().join("key.pem");
    identity(9).write_new(&key).expect("written");
    put("key", "pkcs8.pem", fs::read(key).expect("readable"));
}

/// A lane with everything that a validator compares.
fn gpu_evidence() -> serde_json::Value {
    json!({
        "schema": 1, "executor": "gpu",
        "machine": {
            "machine_id": "m",
            "cuda": {"devices": [{"index": 0, "pci_id": "0000:01:00.0"}]},
            "bandwidth": {"devices": [{"index": 0, "memory": {"bytes_per_s": 4_000_000_000_000_u64}}]},
        },
        "lanes": [{
            "uuid": "07".repeat(16), "model": "NVIDIA H200", "memory_bytes": 150_754_820_096_u64,
            "sm_count": 2, "sm_tiles": [1, 2], "serial": "1", "pci_id": "0000:01:00.0",
            "clock_khz": 1_980_000, "compute_capability": "9.0", "power_limit_mw": 700_000,
            "elapsed_ns": "1000000", "achieved_flops": "5.5e13", "mig": {},
            "telemetry": {
                "samples": 9, "throttle_reasons": ["sw_power_cap"],
                "sm_clock_mhz": {"min": 1500, "median": 1600, "max": 1980},
                "power_mw": {"min": 1, "median": 690_000, "max": 700_000},
            },
        }],
    })
}

fn sessions(run: &Fixture) {
    let hello = line_of(&FromMiner::Hello(MinerHello {
        versions: vec![1],
        software: software(),
        miner_id: Some(identity(2).public().encoded()),
        ..MinerHello::default()
    }));
    let pong = line_of(&FromMiner::Pong {});
    let failed = line_of(&FromMiner::Failed { text: "no memory".to_owned() });
    let token = run.challenge.token().to_owned();
    let from_validator = [
        line_of(&FromValidator::Hello { versions: vec![1], software: software() }),
        line_of(&FromValidator::Ping { version: 1 }),
        line_of(&FromValidator::Challenge { token }),
        line_of(&FromValidator::Coin { coin: COIN, openings_within_ms: 30_000 }),
    ];
    let lines = [&hello, &pong, &failed, &run.commitment_line, &run.openings_line];
    for (index, line) in lines.into_iter().chain(&from_validator).enumerate() {
        put("messages", &format!("line-{index}"), [&[200], &line[..]].concat());
    }
    put("messages", "cut", [&[3], &hello[..], &pong, &failed].concat());

    // The steps of the target: 4 to 7 are canned lines, 11 ends the work under way.
    let honest = [4, 5, 11, 0, 6, 11, 0, 0, 11, 0, 7, 11, 0, 11, 0];
    put("validator_session", "honest", honest);
    let own = [&[0], &piece(&hello)[..], &[0], &piece(&pong), &[11, 0, 0]].concat();
    let own = [own, piece(&run.commitment_line), vec![11, 0, 0, 11, 0, 0]].concat();
    let own = [own, piece(&run.openings_line), vec![11, 0, 11, 0]].concat();
    put("validator_session", "its-own-lines", own);
    put("validator_session", "twice", [4, 5, 11, 0, 6, 6, 11, 0, 0, 11, 0, 11, 0]);
    put("validator_session", "stalled", [4, 5, 11, 0, 8, 255, 255, 8, 255, 255, 9, 11, 0]);
    put("validator_session", "closed", [4, 5, 11, 0, 6, 10, 11, 0, 0, 11, 0, 11, 0]);
    put("miner_session", "honest", [4, 5, 1, 6, 8, 7, 21, 10]);
    let scripts: Vec<u8> =
        from_validator.iter().flat_map(|line| [vec![0], piece(line)].concat()).collect();
    put("miner_session", "its-own-lines", scripts);
    put("miner_session", "fails", [4, 5, 1, 6, 10]);
}

/// Two records of the run, as the target puts checksums to them.
fn checkpoints(run: &Fixture) {
    let states = chain_states(&run.challenge, &run.result.lanes);
    let mut seed = vec![1];
    for (first, last) in [(1_usize, 2_usize), (3, 4)] {
        let mut record = [(first as u32).to_be_bytes(), (last as u32).to_be_bytes()].concat();
        record.extend(1_000_000_u64.to_be_bytes());
        for (lane, states) in run.result.lanes.iter().zip(&states) {
            record.extend(states[last].0);
            match lane.uuid.0[0] {
                7 => record.push(0),
                _ => record.extend([&[1, 0, 0, 0, 2][..], &[0; 7], &[3], &[0; 7], &[4]].concat()),
            }
            record.extend(lane.iteration_roots[first - 1..last].iter().flat_map(|root| root.0));
            record.extend([0; 64]);
        }
        seed.extend(piece(&record));
        put("checkpoint", &format!("through-{last}"), &seed);
    }
    put("checkpoint", "bytes", b"\0attest-checkpoint/1\n");
}

/// What independent programs made: challenges and evidence of the vector files.
fn vectors() {
    for name in [
        "one-product",
        "two-lanes-counters",
        "ragged-sync-live-signed",
        "memory-bare",
        "memory-own",
        "memory-peers",
        "integer-128",
        "integer-384",
    ] {
        let path = format!("{}/../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read(path).expect("a vector file");
        let file: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let token = file["challenge"].as_str().expect("a token");
        put("challenge", name, STANDARD.decode(token).expect("base64"));
        put("evidence", name, file["result"]["evidence"].to_string());
    }
}
