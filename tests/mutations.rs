//! Every one-field change of every vector's result is rejected: the JSON is
//! walked generically, and each node is changed in every way listed here. Then
//! the same with arbitrary edits of the text.

use crate::common::{Remembering, Vector, vector, vectors};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::rejection::Rejection;
use attest::protocol::result::{ReadError, ResultDoc};
use attest::protocol::verify::{Failure, verify};
use proptest::prelude::*;
use rayon::prelude::*;
use serde_json::Value;
use std::ops::Range;

/// Texts longer than this are read from memory only, as that is faster.
const LONG_TEXT: usize = 100_000;

/// Reads and verifies the text as a stranger would, without any record.
fn outcome(vector: &Vector, text: &[u8], oracle: &Remembering) -> Result<ResultDoc, Failure> {
    let result = ResultDoc::from_bytes(text, &vector.challenge);
    if text.len() < LONG_TEXT {
        match (&result, ResultDoc::read(text, &vector.challenge)) {
            (Ok(memory), Ok(stream)) => assert_eq!(*memory, stream),
            (Err(_), Err(ReadError::Form(_))) => {}
            (memory, stream) => panic!("from memory {memory:?}, from a stream {stream:?}"),
        }
    }
    let result = result.map_err(Rejection::from)?;
    verify(&vector.challenge, &result, &Circumstances::default(), oracle)?;
    Ok(result)
}

/// One change of the text: a range replaced.
struct Change {
    range: Range<usize>,
    by: String,
    what: &'static str,
}

/// How many of the ways to change a node are tried.
#[derive(Clone, Copy, PartialEq)]
enum Ways {
    /// All.
    Every,
    /// One, another one at each node, and a flipped bit for hex: for most
    /// entries of very long lists, whose every change is found by the same
    /// checks as their neighbours'.
    OneEach,
}

/// Lists longer than this get [`Ways::OneEach`] in their middle.
const LONG_LIST: usize = 100;

/// Writes `value` without white space and notes how each node can be changed.
struct Walk {
    text: String,
    changes: Vec<Change>,
    flips: usize,
    turns: usize,
}

impl Walk {
    fn over(value: &Value) -> Self {
        let mut walk = Self { text: String::new(), changes: Vec::new(), flips: 0, turns: 0 };
        walk.node(value, Ways::Every);
        assert_eq!(walk.text, value.to_string());
        walk
    }

    fn change(&mut self, range: Range<usize>, by: impl Into<String>, what: &'static str) {
        let by = by.into();
        if self.text[range.clone()] != by {
            self.changes.push(Change { range, by, what });
        }
    }

    /// Of the changes noted since there were `before`, keeps those that are due.
    fn keep_due(&mut self, before: usize, ways: Ways) {
        let new = self.changes.len() - before;
        if ways == Ways::OneEach && new > 0 {
            self.turns += 1;
            self.changes.swap(before, before + self.turns % new);
            self.changes.truncate(before + 1);
        }
    }

    fn node(&mut self, value: &Value, ways: Ways) {
        let start = self.text.len();
        match value {
            Value::Array(entries) => self.array(entries, ways),
            Value::Object(members) => self.object(members, ways),
            other => self.text.push_str(&other.to_string()),
        }
        let whole = start..self.text.len();
        let before = self.changes.len();
        self.change(whole.clone(), "null", "became null");
        match value {
            Value::Bool(value) => self.change(whole, (!value).to_string(), "negated"),
            Value::Number(number) => self.number(whole, number.as_i64().expect("an integer")),
            Value::String(text) => self.string(whole, text),
            _ => {}
        }
        match (value, ways) {
            (Value::String(text), Ways::OneEach) => {
                self.changes.truncate(before);
                self.flip(start, text);
            }
            _ => self.keep_due(before, ways),
        }
    }

    fn number(&mut self, whole: Range<usize>, number: i64) {
        let plain = number.to_string();
        for (by, what) in [
            ((number + 1).to_string(), "grew by one"),
            ((number - 1).to_string(), "shrank by one"),
            ((number + (1 << 32)).to_string(), "grew by 2^32"),
            ("9007199254740992".to_owned(), "became 2^53"),
            ("18446744073709551616".to_owned(), "became 2^64"),
            (format!("{plain}.0"), "became real"),
            (format!("{plain}e0"), "got an exponent"),
            (format!("{plain}.5"), "got a fraction"),
            (format!("0{plain}"), "got a leading zero"),
            ("-0".to_owned(), "became minus zero"),
            ("1e999".to_owned(), "overflowed"),
            (format!("\"{plain}\""), "became a string"),
            (format!("[{plain}]"), "became an array"),
            ("true".to_owned(), "became a boolean"),
        ] {
            self.change(whole.clone(), by, what);
        }
        if number > 0 {
            self.change(whole, (-number).to_string(), "negated");
        }
    }

    fn string(&mut self, whole: Range<usize>, text: &str) {
        let is_hex = text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex {
            let inside = whole.start + 1..whole.end - 1;
            self.change(inside.end..inside.end, "x", "got longer");
            self.change(inside, "", "became empty");
            self.change(whole, "0", "became a number");
            return;
        }
        self.flip(whole.start, text);
        let inside = whole.start + 1..whole.end - 1;
        self.change(inside.clone(), text.to_uppercase(), "became upper case");
        self.change(inside.end - 1..inside.end, "", "lost a digit");
        self.change(inside.end - 2..inside.end, "", "lost a byte");
        self.change(inside.end..inside.end, "00", "got longer");
        self.change(inside.end - 1..inside.end, "g", "got a digit that is none");
        self.change(inside.start..inside.start, " ", "got white space");
        self.change(inside, "", "became empty");
        self.change(whole, "[]", "became an array");
    }

    /// Another digit and another bit each time, so that all positions occur.
    fn flip(&mut self, start: usize, text: &str) {
        self.flips += 1;
        let (digit, bit) = (self.flips % text.len(), self.flips / text.len() % 4);
        let at = start + 1 + digit;
        let flipped = u8::from_str_radix(&text[digit..=digit], 16).unwrap() ^ (1 << bit);
        self.change(at..at + 1, format!("{flipped:x}"), "had a bit flipped");
    }

    fn array(&mut self, entries: &[Value], ways: Ways) {
        let start = self.text.len();
        self.text.push('[');
        let mut spans = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            self.text.push_str(if at > 0 { "," } else { "" });
            let first = self.text.len();
            let in_middle = entries.len() > LONG_LIST && (3..entries.len() - 1).contains(&at);
            self.node(entry, if in_middle { Ways::OneEach } else { ways });
            spans.push(first..self.text.len());
        }
        self.text.push(']');
        let end = self.text.len();
        for (at, span) in spans.iter().enumerate() {
            let before = self.changes.len();
            let copy = self.text[span.clone()].to_owned();
            self.change(span.end..span.end, format!(",{copy}"), "element duplicated");
            let with_comma = match at {
                0 => span.start..spans.get(1).map_or(span.end, |next| next.start),
                _ => span.start - 1..span.end,
            };
            self.change(with_comma, "", "element removed");
            if let Some(next) = spans.get(at + 1) {
                let swapped = format!("{},{copy}", &self.text[next.clone()]);
                self.change(span.start..next.end, swapped, "elements swapped");
            }
            let in_middle = entries.len() > LONG_LIST && (3..entries.len() - 1).contains(&at);
            self.keep_due(before, if in_middle { Ways::OneEach } else { ways });
        }
        let before = self.changes.len();
        let comma = if entries.is_empty() { "" } else { "," };
        for (extra, what) in
            [("0", "number added"), ("\"\"", "string added"), ("{}", "object added")]
        {
            self.change(end - 1..end - 1, format!("{comma}{extra}"), what);
        }
        self.change(start..end, "[]", "emptied");
        self.change(start..end, "{}", "became an object");
        self.keep_due(before, ways);
    }

    fn object(&mut self, members: &serde_json::Map<String, Value>, ways: Ways) {
        let start = self.text.len();
        self.text.push('{');
        let mut spans = Vec::new();
        for (at, (key, value)) in members.iter().enumerate() {
            self.text.push_str(if at > 0 { "," } else { "" });
            let first = self.text.len();
            let key_text = Value::from(key.as_str()).to_string();
            self.text.push_str(&key_text);
            self.text.push(':');
            self.node(value, ways);
            spans.push((first..self.text.len(), key_text));
        }
        self.text.push('}');
        let end = self.text.len();
        for (at, (span, key)) in spans.iter().enumerate() {
            let before = self.changes.len();
            let copy = self.text[span.clone()].to_owned();
            self.change(span.end..span.end, format!(",{copy}"), "field duplicated");
            self.change(span.end..span.end, format!(",{key}:0"), "field given twice");
            let with_comma = match at {
                0 => span.start..spans.get(1).map_or(span.end, |(next, _)| next.start),
                _ => span.start - 1..span.end,
            };
            self.change(with_comma, "", "field removed");
            self.change(span.start..span.start + 1, "\"_", "field renamed");
            self.keep_due(before, ways);
        }
        let before = self.changes.len();
        let comma = if members.is_empty() { "" } else { "," };
        for (extra, what) in [
            ("\"more\":1", "unknown field added"),
            ("\"more\":null", "unknown null added"),
            ("\"\":\"\"", "nameless field added"),
        ] {
            self.change(end - 1..end - 1, format!("{comma}{extra}"), what);
        }
        self.change(start..end, "[]", "became an array");
        self.change(start..end, "{}", "emptied");
        self.keep_due(before, ways);
    }
}

#[test]
fn every_one_field_change_of_every_vector_is_rejected() {
    for vector in vectors() {
        let walk = Walk::over(&vector.value);
        let oracle = Remembering::default();
        outcome(&vector, walk.text.as_bytes(), &oracle).expect("unchanged, it verifies");
        let accepted: Vec<&Change> = walk
            .changes
            .par_iter()
            .filter(|change| {
                let mut text = walk.text.clone();
                text.replace_range(change.range.clone(), &change.by);
                !matches!(outcome(&vector, text.as_bytes(), &oracle), Err(Failure::Rejected(_)))
            })
            .collect();
        println!("{}: {} changes", vector.name, walk.changes.len());
        if let Some(first) = accepted.first() {
            let near = first.range.start.saturating_sub(60)..first.range.end.min(walk.text.len());
            panic!(
                "{}: {} of {} changes were accepted; first: {} at byte {} ({:?} became {:?})",
                vector.name,
                accepted.len(),
                walk.changes.len(),
                first.what,
                first.range.start,
                &walk.text[near],
                first.by
            );
        }
    }
}

#[test]
fn white_space_and_the_order_of_fields_are_no_change() {
    let vector = vector("two-lanes-counters.json");
    let oracle = Remembering::default();
    let pretty = serde_json::to_string_pretty(&vector.value).unwrap();
    assert_eq!(outcome(&vector, pretty.as_bytes(), &oracle).unwrap(), vector.result);
    let members = vector.value.as_object().unwrap();
    let reversed: Vec<String> = members
        .iter()
        .rev()
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    let reversed = format!("{{{}}}", reversed.join(","));
    assert_eq!(outcome(&vector, reversed.as_bytes(), &oracle).unwrap(), vector.result);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Whatever is done to the text, it is rejected or still says the same.
    #[test]
    fn edited_text_is_rejected_or_means_the_same(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        thread_local!(static CASE: (Vector, Remembering) =
            (vector("one-product.json"), Remembering::default()));
        CASE.with(|(vector, oracle)| {
            let mut text = vector.value.to_string().into_bytes();
            for (at, byte, kind) in edits {
                let at = at.index(text.len());
                match kind {
                    0 => text[at] = byte,
                    1 => text[at] ^= 1 << (byte % 8),
                    2 => { text.remove(at); }
                    _ => text.insert(at, byte),
                }
            }
            match outcome(vector, &text, oracle) {
                Err(Failure::Rejected(_)) => {}
                Ok(result) => prop_assert_eq!(result, vector.result.clone()),
                Err(other) => prop_assert!(false, "{}", other),
            }
            Ok(())
        })?;
    }

    /// Cut short anywhere, it is rejected.
    #[test]
    fn truncated_text_is_rejected(at in any::<prop::sample::Index>()) {
        thread_local!(static CASE: (Vector, Remembering) =
            (vector("two-lanes-counters.json"), Remembering::default()));
        CASE.with(|(vector, oracle)| {
            let text = vector.value.to_string();
            let cut = &text.as_bytes()[..at.index(text.len())];
            prop_assert!(matches!(outcome(vector, cut, oracle), Err(Failure::Rejected(_))));
            Ok(())
        })?;
    }
}
