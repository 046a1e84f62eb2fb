//! A document as evidence may hold it.
//!
//! Guarantees: no null, no number but integers below 2⁵³.

use crate::protocol::challenge::INTEGER_MAX;
use serde::Serialize;
use serde_json::Value;

/// `document` as JSON, with what is not known left out, and numbers that evidence may
/// not hold written as texts.
pub(super) fn sanitise(document: &impl Serialize) -> Value {
    // Structs and maps have texts for keys, and nothing here can fail.
    legal_value(serde_json::to_value(document).expect("plain data is JSON"))
}

fn legal_value(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude <= INTEGER_MAX => Value::Number(number),
                _ => Value::String(number.to_string()),
            }
        }
        Value::Array(values) => {
            let known = values.into_iter().filter(|value| !value.is_null());
            Value::Array(known.map(legal_value).collect())
        }
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(name, value)| (name, legal_value(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn odd_values_become_what_evidence_may_hold_and_others_stay() {
        let odd = json!({
            "huge": u64::MAX, "low": i64::MIN, "real": 1.5, "absent": null, "list": [1, null, [2.5]],
            "most": INTEGER_MAX, "least": -(INTEGER_MAX as i64), "text": "a", "is": true,
        });
        let expected = json!({
            "huge": "18446744073709551615", "low": "-9223372036854775808", "real": "1.5",
            "list": [1, ["2.5"]], "most": INTEGER_MAX, "least": -(INTEGER_MAX as i64),
            "text": "a", "is": true,
        });
        assert_eq!(sanitise(&odd), expected);
    }
}
