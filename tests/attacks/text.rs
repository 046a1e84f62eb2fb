//! Messages of a session that are no proper JSON, or say a thing twice: the same
//! rules as for files (tests/bad_input), met with through a live session.

use super::{Say, ended_with, live, request};
use crate::live::peer::hello;
use attest::session::message::{FromMiner, line_of};
use attest::session::validator::Ended;
use serde_json::json;

/// A session whose miner changes the text of its commitment and of its openings.
async fn with_texts(
    commitment: impl FnOnce(String) -> Vec<u8>,
    openings: impl FnOnce(String) -> Vec<u8>,
) -> Ended {
    let line = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    live(&super::Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send(&commitment(line(say.commitment_line()))).await;
        peer.send("\n").await;
        match peer.next().await {
            Some(attest::session::message::FromValidator::Coin { coin, .. }) => {
                peer.send(&openings(line(say.openings_line(coin)))).await;
                peer.send("\n").await;
                peer.linger().await;
            }
            Some(_) | None => peer.linger().await,
        }
    })
    .await
}

/// The miner's own member beside the rest of an object that opens with `start`.
fn beside(text: &str, start: &str, member: &str) -> Vec<u8> {
    let changed = text.replacen(start, &format!("{start}{member},"), 1);
    assert_ne!(changed, text, "{start}");
    changed.into_bytes()
}

#[tokio::test]
async fn texts_as_they_are() {
    ended_with("verified", &with_texts(String::into_bytes, String::into_bytes).await);
    // White space and other orders of fields are allowed.
    let spaced = |text: String| text.replacen(",\"", " , \"", 3).into_bytes();
    ended_with("verified", &with_texts(spaced, spaced).await);
}

#[tokio::test]
async fn keys_given_twice() {
    let roots = "\"iteration_roots\":[]";
    for (start, member) in [
        ("\"message\":\"commitment\",", "\"message\":\"commitment\""),
        ("\"message\":\"commitment\",", "\"commitment\":\"00\""),
        ("\"message\":\"commitment\",", "\"lanes\":[]"),
        ("\"message\":\"commitment\",", "\"l\\u0061nes\":[]"),
        ("\"lanes\":[{", roots),
        ("\"lanes\":[{", "\"\\u0075uid\":\"00000000000000000000000000000000\""),
    ] {
        let changed = |text: String| beside(&text, start, member);
        ended_with("malformed", &with_texts(changed, String::into_bytes).await);
    }
    // In evidence too, where further fields are free.
    for member in
        ["\"a\":1,\"a\":1", "\"a\":1,\"\\u0061\":2", "\"schema\":1", "\"a\":{\"b\":1,\"b\":1}"]
    {
        let changed = |text: String| beside(&text, "\"evidence\":{", member);
        ended_with("malformed", &with_texts(changed, String::into_bytes).await);
    }
    for member in ["\"openings\":[]", "\"c\\u006fin\":\"00\"", "\"message\":\"openings\""] {
        let changed = |text: String| beside(&text, "\"message\":\"openings\",", member);
        ended_with("malformed", &with_texts(String::into_bytes, changed).await);
    }
}

#[tokio::test]
async fn unicode() {
    // Surrogates alone, overlong forms, a byte-order mark, digits of other scripts,
    // a control character, a null.
    for member in [
        &b"\"x\":\"\\ud800\""[..],
        b"\"x\":\"\\udc00\\ud800\"",
        b"\"x\":\"\xc0\xaf\"",
        b"\"x\":\"\xed\xa0\x80\"",
        b"\"x\":\"\xff\"",
        b"\"x\":\"\x01\"",
        b"\xef\xbb\xbf\"x\":1",
        "\"x\":\u{ff11}".as_bytes(),
        b"\"x\":null",
        b"\"x\":1.5",
        b"\"x\":9007199254740992",
        b"\"x\":1e2",
    ] {
        let changed = |text: String| {
            let at = text.find("\"evidence\":{").unwrap() + "\"evidence\":{".len();
            let (head, tail) = text.as_bytes().split_at(at);
            [head, member, b",", tail].concat()
        };
        let ended = with_texts(changed, String::into_bytes).await;
        let code = ended.verdict.code;
        let expected = ["malformed", "evidence-malformed"];
        assert!(code.is_some_and(|code| expected.contains(&code)), "{:?}", ended.verdict);
    }
    // Names that only look alike are other names, and other names are unknown.
    for name in ["l\u{430}nes", "lanes\u{200b}", "LANES", "lanes\\u0000"] {
        let changed =
            |text: String| text.replacen("\"lanes\"", &format!("\"{name}\""), 1).into_bytes();
        ended_with("malformed", &with_texts(changed, String::into_bytes).await);
    }
    // What says the same in other letters is the same: the evidence's digest is
    // over its canonical form.
    let escaped =
        |text: String| text.replacen("\"reference\"", "\"\\u0072eference\"", 1).into_bytes();
    ended_with("verified", &with_texts(escaped, String::into_bytes).await);
}

#[tokio::test]
async fn deep_and_oversized() {
    for levels in [15, 1_000, 100_000] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let changed =
            |text: String| beside(&text, "\"evidence\":{", &format!("\"x\":{open}{close}"));
        ended_with("malformed", &with_texts(changed, String::into_bytes).await);
    }
    let levels = 13;
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    let changed = |text: String| beside(&text, "\"evidence\":{", &format!("\"x\":{open}{close}"));
    // Deep enough to be allowed, and no longer what was committed to.
    ended_with("commitment-mismatch", &with_texts(changed, String::into_bytes).await);
    // More than a mebibyte of evidence, within the message's own limit.
    let much = format!("\"x\":\"{}\"", "a".repeat(1 << 20));
    let changed = |text: String| beside(&text, "\"evidence\":{", &much);
    ended_with("malformed", &with_texts(changed, String::into_bytes).await);
    let changed = |text: String| [text.into_bytes(), vec![b' '; 3 << 20]].concat();
    ended_with("message-too-long", &with_texts(changed, String::into_bytes).await);
    // More lists than the challenge has room for.
    let changed = |text: String| {
        let lane = "{\"uuid\":\"00000000000000000000000000000000\",\"iteration_roots\":[]},";
        text.replacen("\"lanes\":[", &format!("\"lanes\":[{lane}"), 1).into_bytes()
    };
    ended_with("malformed", &with_texts(changed, String::into_bytes).await);
}

#[tokio::test]
async fn numbers_that_overflow() {
    // Places whose low 32 bits are right, and places beyond 64 bits.
    for (from, to) in [
        ("\"lane\":0", "\"lane\":4294967296"),
        ("\"lane\":0", "\"lane\":18446744073709551616"),
        ("\"lane\":0", "\"lane\":-0"),
        ("\"iteration\":1", "\"iteration\":4294967297"),
        ("\"iteration\":1", "\"iteration\":1e0"),
        ("\"iteration\":1", "\"iteration\":01"),
    ] {
        let changed = |text: String| text.replacen(from, to, 1).into_bytes();
        ended_with("malformed", &with_texts(String::into_bytes, changed).await);
    }
    let changed = |text: String| {
        let at = text.find("\"leaf\":").unwrap() + "\"leaf\":".len();
        let end = at + text[at..].find(',').unwrap();
        let leaf: u128 = text[at..end].parse().unwrap();
        format!("{}{}{}", &text[..at], leaf + (1 << 64), &text[end..]).into_bytes()
    };
    ended_with("malformed", &with_texts(String::into_bytes, changed).await);
    // In what the miner says that it has.
    for (field, value) in [
        ("memory_bytes", json!(u64::MAX)),
        ("memory_bytes", json!(1e300)),
        ("memory_bytes", json!(-1)),
    ] {
        let mut text = serde_json::to_value(FromMiner::Hello(hello(None))).unwrap();
        let mut device = json!({"kind": "cpu", "model": "a CPU", "memory_bytes": 1});
        device[field] = value.clone();
        text["devices"] = json!([device]);
        let fits = value.as_u64().is_some();
        let ended = live(&super::Recording::new(), request(), async |mut peer| {
            // The kind of a message comes first.
            let members = text.as_object_mut().unwrap();
            members.remove("message");
            let rest = text.to_string();
            peer.line(&format!("{{\"message\":\"hello\",{}", &rest[1..])).await;
            if fits {
                // A claim, and no more: the session goes on as ever.
                peer.next().await;
                peer.next().await;
                peer.send(line_of(&FromMiner::Pong {})).await;
                let say = Say::honestly(&peer.challenge().await);
                peer.send(say.commitment_line()).await;
                let coin = peer.coin().await;
                peer.send(say.openings_line(coin)).await;
            }
            peer.linger().await;
        })
        .await;
        ended_with(if fits { "verified" } else { "malformed-message" }, &ended);
    }
}
