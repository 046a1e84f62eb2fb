//! The data block of a report's page, read and checked up to the leaves.
//!
//! Guarantee: the bytes that are checked are the bytes in the page; no script has parsed or
//! rewritten them.

use crate::leaves::Scalar;
use attest_protocol::challenge::Challenge;
use attest_protocol::circumstances::Circumstances;
use attest_protocol::rejection::Rejection;
use attest_protocol::result::ResultDoc;
use attest_protocol::verify::{Failure, UpToLeaves, verify_up_to_leaves};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most rounds of a page; a session has fewer.
pub const ROUNDS_MAX: usize = 64;

/// The block, as far as it is needed.
#[derive(Deserialize)]
struct Block<'a> {
    schema: u32,
    #[serde(borrow)]
    rounds: Vec<RoundText<'a>>,
}

#[derive(Deserialize)]
struct RoundText<'a> {
    round: u64,
    challenge: String,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// One round: a challenge and a result that fits it, but for its leaves.
pub struct Round {
    number: u64,
    challenge: Challenge,
    result: ResultDoc,
    checked: UpToLeaves,
}

/// What a round has to check, and by what to tell it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoundInShort {
    /// Its number, as in the page.
    pub round: u64,
    /// The kind of work: the challenge's `challenge_type`.
    pub kind: &'static str,
    /// The work in words.
    pub work: String,
    /// The challenge's digest, in hex.
    pub challenge: String,
    /// The result's commitment, in hex.
    pub commitment: String,
    /// Leaves that the result opens.
    pub openings: usize,
}

/// A leaf that was recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// Its lane.
    pub lane: u32,
    /// Its iteration, from 1.
    pub iteration: u32,
    /// Its index.
    pub leaf: u64,
    /// Why it is wrong: what was found, what is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Why nothing can be recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The round, if it is one round's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// The code of a rejection, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub text: String,
}

impl Fault {
    fn of_page(text: impl Into<String>) -> Self {
        Self { round: None, code: None, text: text.into() }
    }
}

/// Reads a page's data and checks each round that has a result: the steps of
/// docs/protocol.md that come before the leaves and need no record, clock or table.
///
/// # Errors
/// The first fault.
pub fn read(json: &str) -> Result<Vec<Round>, Fault> {
    let block: Block<'_> = serde_json::from_str(json)
        .map_err(|error| Fault::of_page(format!("the page's data can't be read: {error}")))?;
    if block.schema != 1 {
        return Err(Fault::of_page(format!("the page's data has schema {}", block.schema)));
    }
    if block.rounds.len() > ROUNDS_MAX {
        return Err(Fault::of_page(format!("the page has {} rounds", block.rounds.len())));
    }
    let with_result = block.rounds.iter().filter_map(|round| Some((round, round.result?.get())));
    let rounds = with_result.map(|(round, result)| Round::read(round, result));
    let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
    if rounds.is_empty() {
        return Err(Fault::of_page("the page has no result"));
    }
    Ok(rounds)
}

impl Round {
    fn read(text: &RoundText<'_>, result: &str) -> Result<Self, Fault> {
        let fault = |code: Option<&str>, text_of: String| Fault {
            round: Some(text.round),
            code: code.map(str::to_owned),
            text: text_of,
        };
        let challenge = Challenge::from_token(&text.challenge)
            .map_err(|error| fault(None, format!("the challenge is invalid: {error}")))?;
        let rejected =
            |rejection: Rejection| fault(Some(rejection.reason.code()), rejection.to_string());
        let result = ResultDoc::from_bytes(result.as_bytes(), &challenge)
            .map_err(|error| rejected(error.into()))?;
        let checked = verify_up_to_leaves(&challenge, &result, &Circumstances::default())
            .map_err(rejected)?;
        Ok(Self { number: text.round, challenge, result, checked })
    }

    /// What it has to check.
    pub fn in_short(&self) -> RoundInShort {
        RoundInShort {
            round: self.number,
            kind: self.challenge.work().challenge_type(),
            work: self.challenge.work().in_short(),
            challenge: self.challenge.digest().to_string(),
            commitment: self.result.commitment.to_string(),
            openings: self.result.openings.len(),
        }
    }

    /// Recomputes the leaf of opening `index`, and follows its path to the committed root;
    /// `None` if there is no such opening.
    pub fn leaf(&self, index: usize) -> Option<Leaf> {
        let opening = self.result.openings.get(index)?;
        let checked = self.checked.leaf(&self.challenge, &self.result, index, &Scalar);
        let fault = checked.err().map(|failure| match failure {
            Failure::Rejected(rejection) => rejection.to_string(),
            Failure::CouldNotRun(error) => error.to_string(),
        });
        let (lane, iteration, leaf) = (opening.lane, opening.iteration, opening.leaf);
        Some(Leaf { lane, iteration, leaf, fault })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Round, read};
    use serde_json::{Value, json};

    /// The complete runs of tests/vectors, made by independent programs: of every kind of
    /// work, with one lane and with several.
    fn runs() -> Vec<(String, Value)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
        let run = json.filter_map(|path| {
            let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let result = file.get_mut("result")?.take();
            let round = json!({"round": 0, "challenge": file["challenge"], "result": result});
            let block = json!({"schema": 1, "verdict": {}, "rounds": [round]});
            Some((path.file_name()?.to_string_lossy().into_owned(), block))
        });
        run.collect()
    }

    type Change = fn(&mut Value);

    fn loaded(block: &Value) -> Result<Vec<Round>, Fault> {
        read(&block.to_string())
    }

    fn flip(hex: &mut Value) {
        let text = hex.as_str().unwrap();
        let first = u8::from_str_radix(&text[..1], 16).unwrap() ^ 1;
        *hex = Value::from(format!("{first:x}{}", &text[1..]));
    }

    #[test]
    fn every_opened_leaf_of_every_vector_is_right() {
        let mut kinds = std::collections::BTreeSet::new();
        for (name, block) in runs() {
            let rounds = loaded(&block).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            kinds.insert(rounds[0].in_short().kind);
            let openings = rounds[0].in_short().openings;
            for index in 0..openings {
                let leaf = rounds[0].leaf(index).unwrap();
                assert_eq!(leaf.fault, None, "{name}, opening {index}");
            }
            assert!(rounds[0].leaf(openings).is_none());
        }
        assert_eq!(kinds.len(), 3, "{kinds:?}");
    }

    #[test]
    fn a_flipped_bit_in_an_opening_is_one_wrong_leaf() {
        for (name, mut block) in runs() {
            flip(&mut block["rounds"][0]["result"]["openings"][0]["path"][0]);
            let rounds = loaded(&block).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            assert!(rounds[0].leaf(0).unwrap().fault.is_some(), "{name}");
            assert_eq!(rounds[0].leaf(1).unwrap().fault, None, "{name}");
        }
    }

    #[test]
    fn a_flipped_bit_before_the_leaves_is_a_fault_with_a_code() {
        for (name, block) in runs() {
            let changes: [(&str, Change); 3] = [
                ("commitment-mismatch", |r| flip(&mut r["lanes"][0]["iteration_roots"][0])),
                ("commitment-mismatch", |r| flip(&mut r["commitment"])),
                ("challenge-mismatch", |r| flip(&mut r["challenge_digest"])),
            ];
            let whole = block["rounds"][0]["result"]["commitment"].clone();
            for (code, change) in changes {
                let mut block = block.clone();
                change(&mut block["rounds"][0]["result"]);
                let fault = loaded(&block).err().unwrap();
                let is_signed = block["rounds"][0]["result"]["miner_signature"].is_string();
                let of_commitment = block["rounds"][0]["result"]["commitment"] != whole;
                let code = if is_signed && of_commitment { "signature-invalid" } else { code };
                assert_eq!(fault.code.as_deref(), Some(code), "{name}: {fault:?}");
            }
        }
    }

    #[test]
    fn pages_without_results_say_so() {
        for (block, text) in [
            (json!({"schema": 1, "rounds": []}), "no result"),
            (
                json!({"schema": 1, "rounds": [{"round": 0, "challenge": "x", "result": null}]}),
                "no result",
            ),
            (json!({"schema": 2, "rounds": []}), "schema 2"),
            (json!([]), "can't be read"),
        ] {
            let fault = loaded(&block).err().unwrap();
            assert!(fault.text.contains(text), "{fault:?}");
        }
    }
}
