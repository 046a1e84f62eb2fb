//! docs/verdict.schema.json is what the program prints, and verdicts fit it.

use crate::common::{cpu_evidence, spec, verify_full};
use attest::policy::{Facts, Policy, codes};
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::FloorTable;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::Uuid;
use attest::protocol::names::Coin;
use attest::protocol::rejection;
use attest::protocol::verdict::{RoundNotReached, RoundVerdict, SessionVerdict, Verdict};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{Failure, RecomputeError, verify};
use attest::reference::{Oracle, Run};
use attest::schema::{session_schema, verdict_codes, verdict_schema};
use attest::session::fault::{Fault, FaultCode};
use attest::session::validator::Ended;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn the_committed_schema_is_the_programs() {
    let committed = include_str!("../../docs/verdict.schema.json");
    let printed = format!("{}\n", serde_json::to_string_pretty(&verdict_schema()).unwrap());
    assert!(committed == printed, "run: attest schema verdict > docs/verdict.schema.json");
    let committed = include_str!("../../docs/session.schema.json");
    let printed = format!("{}\n", serde_json::to_string_pretty(&session_schema()).unwrap());
    assert!(committed == printed, "run: attest schema session > docs/session.schema.json");
}

#[test]
fn every_code_is_in_the_schema() {
    let schema = verdict_schema();
    let rejections = schema["properties"]["code"]["enum"].as_array().unwrap();
    assert!(rejections.contains(&json!("rejected-by-policy")));
    for reason in rejection::Reason::ALL {
        assert!(rejections.contains(&json!(reason.code())), "{}", reason.code());
    }
    for fault in FaultCode::ALL {
        assert!(rejections.contains(&json!(fault.code())), "{}", fault.code());
    }
    let mut distinct = verdict_codes();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), rejections.len(), "two reasons share a code");
    let reasons = schema["$defs"]["Reason"]["properties"]["code"]["enum"].as_array().unwrap();
    assert_eq!(reasons.len(), codes::names().len());
    assert_eq!(schema["$defs"]["Grade"]["oneOf"].as_array().map(Vec::len), Some(5));
}

/// What of `value` does not fit `schema`, for as much of JSON Schema as is used.
fn misfit(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return misfit(root, target, value, at);
    }
    for one_of in ["oneOf", "anyOf"] {
        if let Some(options) = schema[one_of].as_array() {
            let fits = options.iter().any(|option| misfit(root, option, value, at).is_none());
            return (!fits).then(|| format!("{at}: {value} fits none of {one_of}"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{at}: {value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Some(format!("{at}: {value} is not in the enumeration"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return Some(format!("{at}: {value} is no {types:?}"));
    }
    if let Some(object) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !object.contains_key(name) {
                return Some(format!("{at}: {name} is missing"));
            }
        }
        for (name, member) in object {
            let Some(of_member) = schema["properties"].get(name) else {
                return Some(format!("{at}: {name} is not in the schema"));
            };
            let wrong = misfit(root, of_member, member, &format!("{at}.{name}"));
            if wrong.is_some() {
                return wrong;
            }
        }
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    items
        .filter(|_| schema.get("items").is_some())
        .find_map(|(index, item)| misfit(root, &schema["items"], item, &format!("{at}[{index}]")))
}

fn assert_fits(verdict: &Verdict) {
    let (schema, value) = (verdict_schema(), serde_json::to_value(verdict).unwrap());
    assert_eq!(misfit(&schema, &schema, &value, "verdict"), None);
    // As a round of a session, before one that was not reached.
    let round =
        RoundVerdict { round: 0, kind: "fp64", on: None, beside: None, verdict: verdict.clone() };
    let not_reached = vec![RoundNotReached { round: 1, kind: "memory" }];
    let session = SessionVerdict::of_rounds(vec![round], not_reached);
    let (schema, value) = (session_schema(), serde_json::to_value(session).unwrap());
    assert_eq!(misfit(&schema, &schema, &value, "session"), None);
}

#[test]
fn verdicts_of_every_kind_fit() {
    const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];
    let coin = Coin::new([7; 32]).unwrap();
    let run = |change: &dyn Fn(&mut ChallengeSpec), coin| {
        let mut spec = spec();
        change(&mut spec);
        let challenge = Challenge::issue(spec).unwrap();
        let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), coin, None);
        (challenge, result)
    };
    let (challenge, mut result) = run(&|_| (), Some(coin));
    let session = Some(SessionRecord { commitment: result.commitment, coin });
    let record = IssuerRecord { nonce_spent_on: Some(result.commitment), session };
    let table: FloorTable = |work, iterations, model| {
        let flop = work.cost().amount as f64 * f64::from(iterations);
        (model == "reference").then_some(flop / 1e9)
    };
    let circumstances = Circumstances {
        issuer: Issuer::Record(record),
        elapsed: Some(Duration::from_secs(1)),
        floors: Some(table),
        ..Default::default()
    };
    let live = verify(&challenge, &result, &circumstances, &Oracle);
    let verdict = Verdict::of(&live, OmittedShare::default());
    assert_fits(&verdict);
    let judgement = Policy::default().judge(&Facts::of(live.as_ref().unwrap()));
    assert!(judgement.reasons.len() > 2, "{judgement:?}");
    assert_fits(&verdict.judged(judgement));

    result.commitment.0[0] ^= 1;
    let rejected = verify(&challenge, &result, &Circumstances::default(), &Oracle);
    assert_fits(&Verdict::of(&rejected, OmittedShare::default()));
    let fault = Err(Failure::CouldNotRun(RecomputeError("no memory\nClose something.".into())));
    assert_fits(&Verdict::of(&fault, OmittedShare::default()));

    let (challenge, result) = run(&|_| (), None);
    let everything =
        verify_full(&challenge, &result, &Circumstances::default(), Extent::EveryIteration);
    assert_fits(&Verdict::of(&everything, OmittedShare::default()));
}

#[test]
fn verdicts_of_sessions_without_a_result_fit() {
    for &code in FaultCode::ALL {
        assert_fits(&Ended::of_fault(&Fault::new(code, "expected a hello, got none")).verdict);
    }
}

#[test]
fn docs_list_how_sessions_fail() {
    let docs = include_str!("../../docs/sessions.md");
    for fault in FaultCode::ALL {
        let row = format!("\n| `{}` | ", fault.code());
        assert!(docs.contains(&row), "docs/sessions.md lacks:{row}");
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    let schema = verdict_schema();
    let fault = Err(Failure::CouldNotRun(RecomputeError("x\ny".into())));
    let good = serde_json::to_value(Verdict::of(&fault, OmittedShare::default())).unwrap();
    for (field, wrong) in [
        ("schema", json!(1)),
        ("outcome", json!("fine")),
        ("facts", json!([{}])),
        ("more", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert!(misfit(&schema, &schema, &bad, "verdict").is_some(), "{field}");
    }
}
