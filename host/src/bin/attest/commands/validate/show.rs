//! A session as people see it: each step in a line, its end as text or JSON.

use super::sessions::Over;
use crate::commands::verify::painted;
use crate::outcome::shown_json;
use crate::paint::{Paint, duration, grouped};
use attest::session::drive::Stage;
use attest::session::message::{Device, MinerHello};
use attest::session::validator::Legs;
use serde_json::json;
use std::time::Duration;

/// What happens, in a line.
pub(super) fn line(stage: &Stage<'_>) -> String {
    match stage {
        Stage::Met(hello, round_trip) => format!(
            "miner       {}, {}, round trip {}",
            hello.software.escape_debug(),
            devices(hello),
            duration(*round_trip)
        ),
        Stage::Challenged(challenge) => {
            format!(
                "challenge   {} iterations of {}, limit {}",
                grouped(u64::from(challenge.iterations())),
                challenge.work(),
                duration(Duration::from_millis(challenge.limit_ms())),
            )
        }
        Stage::Committed(commitment) => format!("commitment  {commitment}"),
        Stage::CoinSent => "coin        drawn after the nonce was spent".to_owned(),
        Stage::Complete(openings) => format!("result      {} openings", grouped(*openings as u64)),
    }
}

/// "2 x NVIDIA H200", as the miner says.
fn devices(hello: &MinerHello) -> String {
    let mut groups: Vec<(&Device, usize)> = Vec::new();
    for device in &hello.devices {
        match groups.iter_mut().find(|(first, _)| first.model == device.model) {
            Some((_, count)) => *count += 1,
            None => groups.push((device, 1)),
        }
    }
    let group =
        |(device, count): &(&Device, usize)| format!("{count} x {}", device.model.escape_debug());
    match groups.len() {
        0 => "no devices named".to_owned(),
        _ => groups.iter().map(group).collect::<Vec<String>>().join(", "),
    }
}

/// The end of a session for people; `name` says which of several.
pub(super) fn text(over: &Over, name: &str, paint: Paint) -> String {
    let name = if name.is_empty() { String::new() } else { paint.strong(name) + "  " };
    format!("{name}{}", painted(&over.ended.verdict, paint))
}

/// How long its parts took; nothing if it had none.
pub(super) fn times(legs: &Legs) -> Option<String> {
    (*legs != Legs::default()).then(|| format!("times       {}", legs_text(legs)))
}

fn legs_of(legs: &Legs) -> [(&'static str, Option<Duration>); 6] {
    [
        ("hello", legs.hello),
        ("round_trip", legs.round_trip),
        ("commitment", legs.commitment),
        ("coin", legs.coin),
        ("openings", legs.openings),
        ("judging", legs.judging),
    ]
}

fn legs_text(legs: &Legs) -> String {
    let known = legs_of(legs).into_iter().filter_map(|(name, took)| Some((name, took?)));
    let texts: Vec<String> = known
        .map(|(name, took)| format!("{} {}", name.replace('_', " "), duration(took)))
        .collect();
    texts.join(", ")
}

/// The end of a session for machines: a JSON object in a line.
pub(super) fn json_line(Over { address, ended, .. }: &Over) -> String {
    let took = |(name, took): (&str, Option<Duration>)| {
        Some((format!("{name}_us"), json!(took?.as_micros() as u64)))
    };
    let times: serde_json::Map<_, _> = legs_of(&ended.legs).into_iter().filter_map(took).collect();
    let mut value = json!({"schema": 1, "verdict": ended.verdict, "times": times});
    if let Some(address) = address {
        value["address"] = json!(address);
    }
    if let Some(hello) = &ended.hello {
        value["miner"] = json!(hello);
    }
    if let Some(challenge) = &ended.challenge {
        value["challenge"] = json!(challenge.token());
    }
    if let Some(receipt) = &ended.receipt {
        value["receipt"] = json!(receipt);
    }
    shown_json(&value.to_string())
}
