//! A session as people see it: each step in a line, its end as text or JSON.

use super::sessions::Over;
use crate::outcome::shown_json;
use crate::paint::{Paint, duration, grouped, wrapped};
use attest::protocol::challenge::Challenge;
use attest::protocol::receipt::Receipt;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Stage;
use attest::session::message::{Device, MinerHello};
use attest::session::validator::{Ended, Legs};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A session's steps, each in a line.
#[derive(Default)]
pub(super) struct Steps {
    /// Whether a second round has begun: from then on lines say which they are of.
    are_several: AtomicBool,
}

impl Steps {
    /// What happens, in a line.
    pub(super) fn line(&self, stage: &Stage<'_>) -> String {
        match stage {
            Stage::Met(hello, round_trip) => format!(
                "miner       {}, {}, round trip {}",
                hello.software.escape_debug(),
                devices(hello),
                duration(*round_trip)
            ),
            Stage::Challenged(round, challenge) => {
                self.are_several.fetch_or(*round > 0, Ordering::Relaxed);
                format!(
                    "challenge   {}{} iterations of {}, limit {}",
                    self.numbered(*round),
                    grouped(u64::from(challenge.iterations())),
                    challenge.work(),
                    duration(Duration::from_millis(challenge.limit_ms())),
                )
            }
            Stage::Committed(round, commitment) => {
                format!("commitment  {}{commitment}", self.numbered(*round))
            }
            Stage::CoinSent(round) => {
                format!("coin        {}drawn after the nonce was spent", self.numbered(*round))
            }
            Stage::Complete(round, openings) => {
                let openings = grouped(*openings as u64);
                format!("result      {}{openings} openings", self.numbered(*round))
            }
            Stage::Judged(round, verdict) => {
                let text = verdict.render_text();
                let first = text.lines().next().unwrap_or_default();
                format!("judged      {}{first}", self.numbered(*round))
            }
        }
    }

    fn numbered(&self, round: usize) -> String {
        match self.are_several.load(Ordering::Relaxed) {
            true => format!("round {round}: "),
            false => String::new(),
        }
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
    let Over { ended, .. } = over;
    let name = if name.is_empty() { String::new() } else { paint.strong(name) + "  " };
    let session = ended.session.render_text();
    let (headline, rest) = session.split_once('\n').unwrap_or((&session, ""));
    let headline = match ended.session.outcome {
        Outcome::Verified => paint.good(headline),
        Outcome::Rejected | Outcome::CouldNotRun => paint.bad(headline),
    };
    format!("{name}{headline}\n{}", wrapped(rest, 15))
}

/// How long its parts took, in lines: what came before the rounds, then each round; of one
/// round in one line, of none in none.
pub(super) fn times(ended: &Ended) -> Vec<String> {
    let last = ended.earlier.last().map_or(0, |round| round.round + 1);
    let of_last = ended.challenge.is_some().then_some((last, &ended.legs));
    let rounds: Vec<(usize, &Legs)> =
        ended.earlier.iter().map(|round| (round.round, &round.legs)).chain(of_last).collect();
    let said = |name: String, legs: Legs| {
        (legs != Legs::default()).then(|| format!("times       {name}{}", legs_text(&legs)))
    };
    if rounds.len() < 2 {
        return said(String::new(), ended.legs).into_iter().collect();
    }
    let before = said(String::new(), ended.legs.before_a_challenge());
    let each = rounds.into_iter().filter_map(|(round, legs)| {
        said(format!("round {round}: "), Legs { hello: None, round_trip: None, ..*legs })
    });
    before.into_iter().chain(each).collect()
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

/// The end of a session for machines: a JSON object in a line, the session's verdict with
/// what each round was and took.
pub(super) fn json_line(Over { address, ended, .. }: &Over) -> String {
    let mut value = serde_json::to_value(&ended.session).expect("a verdict has string keys");
    let mut add = |round: usize, challenge: &Challenge, legs, receipt: &Option<Receipt>| {
        let listed = value["rounds"].as_array_mut().into_iter().flatten();
        for of_round in listed.filter(|value| value["round"] == round) {
            of_round["challenge"] = json!(challenge.token());
            of_round["times"] = times_json(legs);
            if let Some(receipt) = receipt {
                of_round["receipt"] = json!(receipt);
            }
        }
    };
    for round in &ended.earlier {
        add(round.round, &round.challenge, &round.legs, &round.receipt);
    }
    if let Some(challenge) = &ended.challenge {
        add(ended.earlier.len(), challenge, &ended.legs, &ended.receipt);
    }
    value["times"] = times_json(&ended.legs.before_a_challenge());
    if let Some(address) = address {
        value["address"] = json!(address);
    }
    if let Some(hello) = &ended.hello {
        value["miner"] = json!(hello);
    }
    shown_json(&value.to_string())
}

fn times_json(legs: &Legs) -> serde_json::Value {
    let took = |(name, took): (&str, Option<Duration>)| {
        Some((format!("{name}_us"), json!(took?.as_micros() as u64)))
    };
    legs_of(legs).into_iter().filter_map(took).collect::<serde_json::Map<_, _>>().into()
}
