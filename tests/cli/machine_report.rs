//! `attest machine-report verify`, with real quotes.

use crate::cli::{COULD_NOT_RUN, Finished, OK, REJECTED, run};
use serde_json::Value;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/hardware-evidence/");

fn verified(quote: &str, more: &[&str]) -> Finished {
    let quote = format!("{SAMPLES}{quote}");
    let then = ["--at", "2026-09-01T00:00:00Z"];
    run(["machine-report", "verify", &quote].into_iter().chain(then).chain(more.iter().copied()))
}

#[test]
fn real_quotes_hold_and_what_is_wrong_is_named() {
    let vcek = format!("{SAMPLES}snp_milan_vcek.der");
    let honest = verified("snp_milan.bin", &["--certificates", &vcek]).expect(OK).stdout;
    for part in ["SIGNED BY THE MACHINE\n", "an AMD SEV-SNP", "SEV-VCEK", "(--nonce)"] {
        assert!(honest.contains(part), "{part:?} is missing in {honest}");
    }
    let json = verified("tdx_5.bin", &["--json"]).expect(OK).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verified"], &json["kind"]), (&true.into(), &"tdx".into()));
    let asked = json["report_data"].as_str().unwrap();
    assert!(verified("tdx_5.bin", &["--nonce", asked]).expect(OK).stdout.contains("as expected"));
    let other = verified("tdx_5.bin", &["--nonce", &"00".repeat(64)]).expect(REJECTED);
    assert!(other.stdout.starts_with("DOES NOT HOLD: quote-nonce\n"), "{}", other.stdout);
    let short = verified("tdx_5.bin", &["--nonce", "00"]).expect(COULD_NOT_RUN);
    assert!(short.stderr.contains("expected 128 hex digits"), "{}", short.stderr);
    let alone = verified("snp_milan.bin", &["--json"]).expect(REJECTED);
    assert!(alone.stdout.contains("\"chain-missing\""), "{}", alone.stdout);
    // Its host reads and changes its memory. The folder has both chips' certificates.
    let debug = verified("snp_milan_debug.bin", &["--certificates", SAMPLES]).expect(REJECTED);
    assert!(debug.stdout.starts_with("SIGNED BY THE MACHINE, in debug mode\n"));
}
