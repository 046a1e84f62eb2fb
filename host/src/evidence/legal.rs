//! Anything as evidence may hold it.
//!
//! Guarantees: no null, no number but integers below 2⁵³, texts and lists of
//! bounded length. A driver or a library that says something odd costs one fact,
//! not the run.

use crate::protocol::challenge::INTEGER_MAX;
use serde_json::Value;

/// Longest text, characters.
const TEXT_CHARS_MAX: usize = 1024;
/// Longest list.
const LIST_MAX: usize = 256;

/// Longest text where evidence is to be as short as it can be.
const TEXT_CHARS_SHORT: usize = 256;

/// `value` with what evidence may not hold left out, cut, or written as text.
pub(super) fn legal(value: Value) -> Value {
    bounded(value, TEXT_CHARS_MAX)
}

/// As [`legal`], with texts of a few lines at most.
pub(super) fn brief(value: Value) -> Value {
    bounded(value, TEXT_CHARS_SHORT)
}

fn bounded(value: Value, chars_max: usize) -> Value {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude <= INTEGER_MAX => Value::Number(number),
                _ => Value::String(number.to_string()),
            }
        }
        Value::String(text) if text.len() > chars_max => {
            Value::String(text.chars().take(chars_max).collect())
        }
        Value::Array(values) => {
            let known = values.into_iter().filter(|value| !value.is_null());
            Value::Array(known.take(LIST_MAX).map(|value| bounded(value, chars_max)).collect())
        }
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, value)| !value.is_null());
            let legal = |(name, value)| (name, bounded(value, chars_max));
            Value::Object(known.map(legal).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn odd_values_become_legal_and_others_stay() {
        let odd = json!({
            "huge": u64::MAX, "low": i64::MIN, "real": 1.5, "absent": null, "list": [1, null, [2.5]],
            "most": INTEGER_MAX, "least": -(INTEGER_MAX as i64), "text": "a", "is": true,
        });
        let expected = json!({
            "huge": "18446744073709551615", "low": "-9223372036854775808", "real": "1.5",
            "list": [1, ["2.5"]], "most": INTEGER_MAX, "least": -(INTEGER_MAX as i64),
            "text": "a", "is": true,
        });
        assert_eq!(legal(odd), expected);
    }

    #[test]
    fn lengths_are_bounded() {
        let long = legal(json!({"text": "ü".repeat(5000), "list": vec![0; 5000]}));
        assert_eq!(long["text"].as_str().unwrap().chars().count(), TEXT_CHARS_MAX);
        assert_eq!(long["list"].as_array().unwrap().len(), LIST_MAX);
        let short = brief(json!(["ü".repeat(5000)]));
        assert_eq!(short[0].as_str().unwrap().chars().count(), TEXT_CHARS_SHORT);
    }
}
