//! The table of docs/threat-model.md names tests and codes that exist.

use attest::policy::codes;
use attest::protocol::rejection::Reason;
use attest::session::fault::FaultCode;
use attest::session::refusal::RefusalCode;
use attest_device_report::Code as DeviceCode;
use std::path::Path;

const THREAT_MODEL: &str = include_str!("../../docs/threat-model.md");

/// Codes of challenges and envelopes, which have no list, of policies, of metrics and of a
/// fleet's tasks; the dashboard's, by HTTP.
const OTHERS: [&str; 23] = [
    "challenge-malformed",
    "challenge-out-of-bounds",
    "challenge-too-much",
    "challenge-time",
    "token-too-long",
    "token-not-base64",
    "payload-type",
    "unsigned",
    "envelope-malformed",
    "statement-malformed",
    "token-algorithm",
    "token-malformed",
    "rejected-by-policy",
    "session-unsettled",
    "work not proven",
    "receipt",
    "405",
    "421",
    "431",
    "503",
    "other",
    "not-together",
    "lost",
];

/// The rows of the tables of tricks, a miner's and a validator's: their cells.
fn rows() -> Vec<Vec<&'static str>> {
    let of = ["| trick |", "| trick of a validator |"].map(rows_of);
    of.concat()
}

fn rows_of(head: &str) -> Vec<Vec<&'static str>> {
    let start = THREAT_MODEL.find(head).expect("a table of tricks");
    let table = THREAT_MODEL[start..].split("\n\n").next().unwrap_or_default();
    table
        .lines()
        .skip(2)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// What stands between back-ticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a test of this name, as `suite::test` or with up to two modules between, exists.
fn exists(name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let file = match parts[..] {
        [suite, _] => format!("{suite}.rs"),
        [suite, module, _] => format!("{suite}/{module}.rs"),
        [suite, module, part, _] => format!("{suite}/{module}/{part}.rs"),
        _ => return false,
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let text = std::fs::read_to_string(tests.join(file)).unwrap_or_default();
    parts.last().is_some_and(|test| text.contains(&format!("fn {test}(")))
}

#[test]
fn every_test_and_code_of_the_table_exists() {
    let rows = rows();
    assert!(rows.len() > 40, "{} tricks", rows.len());
    let is_code = |code: &str| {
        Reason::ALL.iter().any(|reason| reason.code() == code)
            || FaultCode::ALL.iter().any(|fault| fault.code() == code)
            || RefusalCode::ALL.iter().any(|refusal| refusal.code() == code)
            || codes::names().contains(&code)
            || DeviceCode::ALL.iter().any(|fault| fault.name() == code)
            || OTHERS.contains(&code)
    };
    for row in &rows {
        let [trick, _, codes, tests] = row[..] else { panic!("{row:?}") };
        assert!(quoted(codes).next().is_some(), "{trick} has no code");
        assert!(quoted(tests).next().is_some(), "{trick} has no test");
        for code in quoted(codes) {
            assert!(is_code(code), "{trick}: there is no code {code}");
        }
        for test in quoted(tests) {
            assert!(exists(test), "{trick}: there is no test {test}");
        }
    }
}
