//! Results that are none.

use super::token;
use crate::common::{cpu_evidence, spec};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::{CANONICAL_BYTES_MAX, Evidence, EvidenceError};
use attest::protocol::result::{FormError, ReadError, ResultDoc};
use serde_json::{Value, json};
use std::io::Read;

pub(super) fn challenge() -> Challenge {
    Challenge::issue(spec()).unwrap()
}

pub(super) fn read(text: impl AsRef<[u8]>) -> Result<ResultDoc, ReadError> {
    let stream = ResultDoc::read(text.as_ref(), &challenge());
    let memory = ResultDoc::from_bytes(text.as_ref(), &challenge());
    match (&memory, &stream) {
        (Ok(memory), Ok(stream)) => assert_eq!(memory, stream),
        (Err(memory), Err(ReadError::Form(stream))) => {
            assert_eq!(std::mem::discriminant(memory), std::mem::discriminant(stream));
        }
        _ => panic!("from memory {memory:?}, from a stream {stream:?}"),
    }
    stream
}

pub(super) fn result_json() -> Value {
    let zeros = "0".repeat(64);
    json!({
        "version": 1,
        "challenge_digest": zeros,
        "commitment": zeros,
        "lanes": [{"uuid": "00".repeat(16), "iteration_roots": [zeros, zeros]}],
        "evidence": cpu_evidence(&[Uuid::default()]).value(),
        "openings": [{"lane": 0, "iteration": 1, "leaf": 0, "path": [zeros]}],
    })
}

#[track_caller]
fn malformed(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    match read(text) {
        Err(ReadError::Form(FormError::Malformed { cause })) => cause,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(&text[..text.len().min(300)])),
    }
}

#[test]
fn results_that_break_a_rule_of_json() {
    let good = result_json().to_string();
    read(&good).unwrap();
    let open = &good[..good.len() - 1];
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "\"\"",
        &format!("\u{feff}{good}"),
        &format!("{good}{{}}"),
        &format!("{open},}}"),
        &format!("{open},\"coin\":null}}"),
        &format!("{open},\"miner_signature\":null}}"),
        &format!("{open},\"version\":1}}"),
        &format!("{open},\"\\u0076ersion\":1}}"),
        &format!("{open},\"evidence\":{{}}}}"),
        &format!("{open},\"more\":1}}"),
        &good.replace("\"version\":1", "\"version\":1.0"),
        &good.replace("\"version\":1", "\"version\":\"1\""),
        &good.replace("\"version\":1", "\"version\":-0"),
        &good.replace("\"version\":1", "\"version\":1e999"),
        &good.replace("\"lane\":0", "\"lane\":4294967296"),
        &good.replace("\"lane\":0", "\"lane\":-1"),
        &good.replace("\"leaf\":0", "\"leaf\":18446744073709551616"),
        &good.replace("\"leaf\":0", "\"leaf\":00"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":null"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":\"\\udfff\""),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":{\"a\":0,\"a\":0}"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":1e999"),
    ] {
        malformed(text);
    }
    let mut not_utf8 = good.clone().into_bytes();
    let at = good.find("reference").unwrap();
    not_utf8[at] = 0xff;
    malformed(not_utf8);
    malformed(good.replace("reference", "\u{0}"));
}

/// serde's own structs would take an array of the values for an object.
#[test]
fn arrays_in_the_place_of_objects() {
    let good = result_json();
    for pointer in ["", "/lanes/0", "/openings/0"] {
        let mut changed = good.clone();
        let object = changed.pointer_mut(pointer).unwrap();
        let values: Vec<Value> = object.as_object().unwrap().values().cloned().collect();
        *object = Value::Array(values);
        malformed(changed.to_string());
    }
}

#[test]
fn nesting_of_sixteen_and_seventeen() {
    let nested = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        result_json().to_string().replace("\"schema\":1", &format!("\"schema\":1,\"x\":{text}"))
    };
    read(nested(14)).expect("the result and the evidence are two levels");
    malformed(nested(15));
    malformed(nested(100_000));
    let mut deep = json!(1);
    (0..14).for_each(|_| deep = json!([deep]));
    let mut evidence = cpu_evidence(&[]).value().clone();
    evidence["x"] = deep.clone();
    Evidence::from_value(evidence.clone()).unwrap();
    evidence["x"] = json!([deep]);
    assert_eq!(Evidence::from_value(evidence), Err(EvidenceError::TooDeep));
}

#[test]
fn empty_lists() {
    let mut none = result_json();
    none["lanes"] = json!([]);
    assert!(matches!(read(none.to_string()), Err(ReadError::Form(FormError::NoLanes))));
    // No roots, openings or path: well-formed, so rejected by verification.
    for pointer in ["/lanes/0/iteration_roots", "/openings", "/openings/0/path", "/evidence/lanes"]
    {
        let mut empty = result_json();
        *empty.pointer_mut(pointer).unwrap() = json!([]);
        read(empty.to_string()).unwrap();
    }
}

#[test]
fn lists_longer_than_the_challenge_allows() {
    let zeros = json!("0".repeat(64));
    let filled = |pointer: &str, count: usize| {
        let mut value = result_json();
        let list = value.pointer_mut(pointer).unwrap();
        let entry = list.as_array().and_then(|list| list.first()).unwrap_or(&zeros).clone();
        *list = Value::Array(vec![entry; count]);
        value.to_string()
    };
    let challenge = challenge();
    let lanes = challenge.max_lanes() as usize;
    for (pointer, most) in [
        ("/lanes", lanes),
        ("/lanes/0/iteration_roots", 2),
        ("/openings", lanes * 4),
        ("/openings/0/path", 8),
    ] {
        read(filled(pointer, most)).unwrap();
        let cause = malformed(filled(pointer, most + 1));
        assert!(cause.contains(&format!("at most {most}")), "{pointer}: {cause}");
    }
}

/// Gives a start and then the same piece for ever, and counts what was taken.
struct Endless<'a> {
    start: &'a [u8],
    piece: &'a [u8],
    at: usize,
    taken: &'a mut u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = match self.start.get(self.at) {
                Some(byte) => *byte,
                None => self.piece[(self.at - self.start.len()) % self.piece.len()],
            };
            self.at += 1;
        }
        *self.taken += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn endless_input_ends() {
    let challenge = challenge();
    let limit = challenge.result_bytes_max();
    let zeros = "0".repeat(64);
    let root = format!("\"{zeros}\",");
    let lane = format!("{{\"uuid\":\"{}\",\"iteration_roots\":[]}},", "00".repeat(16));
    let evidence = "{\"evidence\":{\"x\":[";
    // Start, piece, whether the size limit must be what stops it, and at most
    // how many bytes are taken otherwise.
    let cases: &[(&str, &str, Option<u64>)] = &[
        ("", " ", None),
        ("\"", "a", None),
        ("{\"", "a", None),
        ("{\"version\":", "1", None),
        ("{\"version\":1", " ", None),
        ("{\"evidence\":{\"x\":\"", "a", None),
        ("{\"commitment\":\"", "0", None),
        ("{\"lanes\":[", &lane, Some(64 * 1024)),
        ("{\"lanes\":[{\"iteration_roots\":[", &root, Some(64 * 1024)),
        ("{\"openings\":[{\"path\":[", &root, Some(64 * 1024)),
        (evidence, "0,", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        (evidence, "\"\",", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        (evidence, "[],", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        ("{\"evidence\":", "[", Some(64 * 1024)),
        ("{\"evidence\":", "{\"a\":", Some(64 * 1024)),
    ];
    for (start, piece, stops_before) in cases {
        let mut taken = 0;
        let endless =
            Endless { start: start.as_bytes(), piece: piece.as_bytes(), at: 0, taken: &mut taken };
        let error = ResultDoc::read(endless, &challenge).expect_err(start);
        match (stops_before, error) {
            (None, ReadError::Form(FormError::TooLarge { limit_bytes })) => {
                assert_eq!(limit_bytes, limit);
            }
            (None, ReadError::Form(FormError::Malformed { .. })) if *piece == "1" => {}
            (Some(_), ReadError::Form(FormError::Malformed { .. })) => {}
            (_, error) => panic!("{start}: {error}"),
        }
        assert!(taken <= stops_before.unwrap_or(limit + 1), "{start}: took {taken} bytes");
    }
}

#[test]
fn a_failing_reader_is_no_verdict() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("cable pulled"))
        }
    }
    let broken = std::io::Cursor::new(b"{\"version\":1,".to_vec()).chain(Fails);
    match ResultDoc::read(broken, &challenge()) {
        Err(ReadError::Io(error)) => assert_eq!(error.to_string(), "cable pulled"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn error_texts_are_fit_for_a_terminal() {
    let loud = "\u{1b}[31m\u{7}".replace('\u{1b}', "\\u001b").replace('\u{7}', "\\u0007");
    let key = format!("{loud}{}", "k".repeat(100_000));
    let open = result_json().to_string();
    let open = &open[..open.len() - 1];
    let cause = malformed(format!("{open},\"{key}\":1}}"));
    assert!(cause.len() < 1000 && !cause.contains(char::is_control), "{cause}");
    let cause = malformed(format!("{open},\"coin\":{{\"{key}\":1}}}}"));
    assert!(cause.len() < 1000 && !cause.contains(char::is_control), "{cause}");
    let json = format!("{{\"{loud}\":1}}");
    let text = Challenge::from_token(&token(&json)).unwrap_err().to_string();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}
