//! The protocol's JSON rules, on top of `serde_json`.
//!
//! Guarantees: no duplicate key at any depth (compared after unescaping), no
//! null, no lone surrogate, at most [`NESTING_MAX`] levels, and never more
//! bytes of content or values in memory than the caller's `Budget` has: what is
//! beyond it is refused while it is read. Numbers keep exactly
//! what `serde_json` read: an integer if the text was one, otherwise the
//! nearest binary64 (an overflow is an error).
//!
//! Deliberately lacks: a number policy of its own. Whether a number may be
//! negative or real is for the fields to say.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Levels of arrays and objects, the outermost counting 1.
pub const NESTING_MAX: usize = 16;

/// Reads exactly one JSON value from `bytes` under the protocol's rules.
///
/// # Errors
/// Whatever breaks a rule, with line and column.
pub fn read_value(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    read_value_of(bytes, usize::MAX)
}

/// As [`read_value`], of at most `values_max` JSON values, the outermost included: an
/// object of one member takes hundreds of times its text once it is parsed.
///
/// # Errors
/// Whatever breaks a rule, with line and column.
pub fn read_value_of(bytes: &[u8], values_max: usize) -> Result<Value, serde_json::Error> {
    let budget = Budget::new(bytes.len(), values_max);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = StrictValue::new(NESTING_MAX, &budget).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// What a document may still hold.
pub(crate) struct Budget {
    bytes_left: Cell<usize>,
    values_left: Cell<usize>,
    values_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize, values_max: usize) -> Self {
        Self { bytes_left: Cell::new(bytes_max), values_left: Cell::new(values_max), values_max }
    }
}

/// A value inside a document: how many levels it may still open, and what the
/// document may still hold.
#[derive(Clone, Copy)]
pub(crate) struct StrictValue<'b> {
    levels_left: usize,
    budget: &'b Budget,
}

impl<'b> StrictValue<'b> {
    pub(crate) fn new(levels_left: usize, budget: &'b Budget) -> Self {
        Self { levels_left, budget }
    }

    /// Takes what a key's shortest JSON text costs at least.
    fn spend<E: de::Error>(self, bytes: usize) -> Result<(), E> {
        match self.budget.bytes_left.get().checked_sub(bytes) {
            Some(left) => {
                self.budget.bytes_left.set(left);
                Ok(())
            }
            None => Err(E::custom("more content than is allowed here")),
        }
    }

    /// Takes one value whose shortest JSON text has at least `bytes` bytes.
    fn spend_value<E: de::Error>(self, bytes: usize) -> Result<(), E> {
        let Some(left) = self.budget.values_left.get().checked_sub(1) else {
            let most = self.budget.values_max;
            return Err(E::custom(format!("more than {most} JSON values, which is too many here")));
        };
        self.budget.values_left.set(left);
        self.spend(bytes)
    }

    fn open<E: de::Error>(self) -> Result<Self, E> {
        self.spend_value(2)?;
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left, ..self }),
            None => Err(E::custom(format!("nested more than {NESTING_MAX} deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value other than null")
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.spend_value(4)?;
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.spend_value(1)?;
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.spend_value(2)?;
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.spend_value(1)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.spend_value(value.len() + 2)?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.open()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.open()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            inner.spend(key.len() + 3)?;
            if members.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate field `{key}`")));
            }
            let value = map.next_value_seed(inner)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// Whether a terminal shows `c` as itself and in its own place: it is not a control
/// character, and none that is unseen, turns text around or joins the letter before.
pub fn is_shown(c: char) -> bool {
    match c {
        // What Unicode calls letters, and fonts leave blank.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => false,
        // `Debug` escapes all the others, and these three for another reason.
        '"' | '\'' | '\\' => true,
        c => c.escape_debug().len() == 1,
    }
}

/// `c`, or U+FFFD for what is not shown as itself.
pub fn shown(c: char) -> char {
    if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }
}

/// An error's text, fit for a terminal: a stranger's document may have put
/// control characters, letters that turn text around, or megabytes, into it.
pub fn printable(error: &impl fmt::Display) -> String {
    const CHARS_MAX: usize = 400;
    let text = error.to_string();
    let mut short: String = text.chars().take(CHARS_MAX).map(shown).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Deserialises an optional field that is present: a null is an error, as the
/// field's own type refuses it.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{is_shown, read_value, read_value_of};

    #[test]
    fn letters_are_shown_and_what_hides_or_moves_them_is_not() {
        for c in "aZ0 \"'\\~\u{e9}\u{df}\u{3bb}\u{4e2d}\u{5d0}\u{1f600}\u{fffd}".chars() {
            assert!(is_shown(c), "{c:?}");
        }
        let controls = (0..0x20).chain(0x7f..0xa1).filter_map(char::from_u32);
        let moving = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        let unseen = "\u{ad}\u{115f}\u{180e}\u{200b}\u{200c}\u{200d}\u{2028}\u{2029}\u{2060}\u{3164}\u{feff}\u{fe0f}\u{e0020}";
        for c in controls.chain(moving.chars()).chain(unseen.chars()).chain("\u{301}".chars()) {
            assert!(!is_shown(c), "{c:?}");
        }
    }

    #[test]
    fn accepts_what_the_rules_allow() {
        for text in ["0", " {\"a\":[true,-1,1.5e3,\"\\ud83d\\ude00\"]}\n", "\"\"", "[]"] {
            assert!(read_value(text.as_bytes()).is_ok(), "{text}");
        }
        let sixteen = format!("{}{}", "[".repeat(16), "]".repeat(16));
        assert!(read_value(sixteen.as_bytes()).is_ok());
    }

    #[test]
    fn values_are_counted_while_they_are_read() {
        // An object, an array in it, and three values in that.
        let text = b"{\"a\":[1,\"b\",true]}";
        assert!(read_value_of(text, 5).is_ok());
        assert!(
            read_value_of(text, 4).unwrap_err().to_string().contains("more than 4 JSON values")
        );
        // The rest is not looked at: that it is not JSON goes unseen.
        let endless = format!("[{}", "{\"\":0},".repeat(10_000));
        let error = read_value_of(endless.as_bytes(), 100).unwrap_err();
        assert!(error.column() < 1000, "{error}");
    }

    #[test]
    fn refuses_what_the_rules_forbid() {
        let seventeen = format!("{}{}", "[".repeat(17), "]".repeat(17));
        for text in [
            "",
            "null",
            "[null]",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"x\":{\"a\":1,\"a\":1}}",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\ud800\"",
            "01",
            "1e999",
            "+1",
            ".5",
            "1.",
            "NaN",
            "[1,]",
            "{}{}",
            "\u{feff}{}",
            "\"\u{1}\"",
            &seventeen,
        ] {
            assert!(read_value(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read_value(b"\"\xff\"").is_err());
    }
}
