//! Tokens and the JSON in them.

use super::{field, json_of_spec, refused, token, with_raw};
use attest::protocol::challenge::Challenge;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};

#[test]
fn tokens_that_are_no_canonical_base64() {
    let good = token(&json_of_spec().to_string());
    Challenge::from_token(&good).unwrap();
    Challenge::from_token(&format!("{good}\n")).unwrap();
    Challenge::from_token(&format!("{good}\r\n")).unwrap();
    let (head, tail) = good.split_at(good.len() / 2);
    let one_over = json_of_spec().to_string() + &" ".repeat(3);
    let padded: Vec<String> = (0..3).map(|cut| token(&one_over[..one_over.len() - cut])).collect();
    let with_padding = padded.iter().find(|token| token.ends_with('=')).unwrap();
    let bits = with_padding.trim_end_matches('=');
    let last = bits.chars().last().unwrap();
    // The lowest bit of the last digit before the padding is not part of any byte.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let trailing_bit = format!("{}{next}{}", &bits[..bits.len() - 1], &with_padding[bits.len()..]);
    for token in [
        format!("{head}\n{tail}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n\n"),
        format!("{good}="),
        format!("{good}===="),
        format!("{head}-{tail}"),
        format!("{head}\u{e9}{tail}"),
        good[..good.len() - 1].to_owned(),
        with_padding.trim_end_matches('=').to_owned(),
        trailing_bit,
        STANDARD_NO_PAD.encode("{}xy"),
        URL_SAFE.encode([0xff; 30]),
        "not base64!".to_owned(),
    ] {
        let error = Challenge::from_token(&token).expect_err(&token);
        assert_eq!(error.code(), "token-not-base64", "{token}");
    }
}

#[test]
fn tokens_cut_short_at_any_place() {
    let good = token(&json_of_spec().to_string());
    for length in 0..good.len() {
        let error = Challenge::from_token(&good[..length]).expect_err("cut short");
        assert!(["token-not-base64", "challenge-malformed"].contains(&error.code()));
    }
}

#[test]
fn tokens_of_the_longest_length_and_one_more() {
    let json = json_of_spec().to_string();
    let fill = |bytes: usize| json.clone() + &" ".repeat(bytes - json.len());
    let longest = token(&fill(12 * 1024));
    assert_eq!(longest.len(), 16 * 1024);
    Challenge::from_token(&longest).unwrap();
    refused(&fill(12 * 1024 + 1), "token-too-long");
    let error = Challenge::from_token(&"A".repeat(1 << 20)).unwrap_err();
    assert_eq!(error.code(), "token-too-long");
}

#[test]
fn json_that_breaks_a_rule() {
    let good = json_of_spec().to_string();
    let open = &good[..good.len() - 1];
    for json in [
        "",
        "{}",
        "[]",
        "null",
        "0",
        &format!("\u{feff}{good}"),
        &format!("{good}{good}"),
        &format!("{good}x"),
        &format!("{open},}}"),
        &format!("{open},\"more\":1}}"),
        &format!("{open},\"version\":1}}"),
        &format!("{open},\"\\u0076ersion\":1}}"),
        &format!("{open},\"gpu_count\":null}}"),
        &format!("{open},\"gpu_model\":\"\\ud800\"}}"),
        &format!("{open},\"gpu_model\":\"\\udc00\\ud800\"}}"),
        &format!("{open},\"gpu_model\":\"a\nb\"}}"),
        &format!("{open},\"gpu_model\":{{\"a\":1,\"a\":1}}}}"),
        &format!("{open},\"gpu_model\":{}{}}}", "[".repeat(16), "]".repeat(16)),
        &format!("{open},\"gpu_model\":{}{}}}", "[".repeat(4000), "]".repeat(4000)),
        &format!("[{good}]"),
        &good.replace('"', "'"),
    ] {
        refused(json, "challenge-malformed");
    }
    // An array of the fields in their order is no object.
    let fields: Vec<String> =
        json_of_spec().as_object().unwrap().values().map(Value::to_string).collect();
    refused(&format!("[{}]", fields.join(",")), "challenge-malformed");
    let mut not_utf8 = good.into_bytes();
    let at = not_utf8.iter().position(|&b| b == b'x').unwrap();
    not_utf8[at] = 0xff;
    let error = Challenge::from_token(&STANDARD.encode(not_utf8)).unwrap_err();
    assert_eq!(error.code(), "challenge-malformed");
}

#[test]
fn every_missing_or_null_or_mistyped_field() {
    let spec = json_of_spec();
    for name in spec.as_object().unwrap().keys() {
        let mut without = spec.clone();
        without.as_object_mut().unwrap().remove(name);
        refused(&without.to_string(), "challenge-malformed");
        for value in [json!(null), json!([]), json!({}), json!(true)] {
            let error = field(name, value).expect_err(name);
            assert_eq!(error.code(), "challenge-malformed", "{name}");
        }
        let swapped = if spec[name].is_string() { json!(1) } else { json!("1") };
        assert_eq!(field(name, swapped).expect_err(name).code(), "challenge-malformed");
    }
    for name in [
        "gpu_count",
        "gpu_model",
        "min_memory_bytes",
        "max_duration_ms",
        "min_sm_utilization",
        "miner_id",
        "validator_id",
    ] {
        assert_eq!(field(name, json!(null)).expect_err(name).code(), "challenge-malformed");
    }
}

#[test]
fn numbers_of_the_wrong_syntax() {
    for raw in ["128.0", "1.28e2", "-128", "-0", "0128", "+128", "0x80", "1e999", "\"128\"", "NaN"]
    {
        refused(&with_raw("matrix_dim", raw), "challenge-malformed");
    }
    for raw in ["1e999", "01", ".5", "1.", "-", "Infinity"] {
        refused(&with_raw("verification_sample_rate", raw), "challenge-malformed");
    }
    for raw in ["-0", "-0.0", "-1", "0", "2", "1e400", "0.5000001"] {
        let error = Challenge::from_token(&token(&with_raw("verification_sample_rate", raw)));
        assert!(error.is_err(), "{raw}");
    }
    // A minus sign is wrong even before a zero.
    for raw in ["-0", "-0.0", "-0e5", "-1e-400"] {
        refused(&with_raw("min_sm_utilization", raw), "challenge-out-of-bounds");
    }
    for raw in ["0", "0.0", "1", "1.0", "1e0", "0.5", "5e-1", "1e-400"] {
        Challenge::from_token(&token(&with_raw("min_sm_utilization", raw))).expect(raw);
    }
    for raw in ["1", "1.0", "1e0", "10e-1", "0.000001", "1e-6"] {
        Challenge::from_token(&token(&with_raw("verification_sample_rate", raw))).expect(raw);
    }
}

#[test]
fn hex_that_is_none() {
    for raw in [
        "\"\"".to_owned(),
        format!("\"{}\"", "0".repeat(63)),
        format!("\"{}\"", "0".repeat(65)),
        format!("\"{}\"", "A".repeat(64)),
        format!("\"{}g\"", "0".repeat(63)),
        format!("\"0x{}\"", "0".repeat(62)),
        format!("\"{} \"", "0".repeat(63)),
        format!("\"{}\"", "\u{ff10}".repeat(64)),
    ] {
        refused(&with_raw("gpu_pow_seed", &raw), "challenge-malformed");
        refused(&with_raw("miner_id", &raw), "challenge-malformed");
    }
}
