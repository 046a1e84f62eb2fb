//! The round that a line of version 2 belongs to: `"round":N` right after the kind.
//!
//! Guarantees: without its number a line is byte for byte what version 1 says; a line has
//! one number or none, and whatever else is written there stays, to be refused as a field
//! that its message does not have.
//! Deliberately lacks: which messages belong to a round, and which rounds there are.

use super::fault::{Fault, FaultCode};
use super::message::kind_in_head;
use crate::policy::ROUNDS_MAX;

/// What stands before the number.
const NAME: &[u8] = b",\"round\":";

/// `line`, a message with further fields, as one of the round of this number; `None`: as it
/// is.
pub fn numbered(mut line: Vec<u8>, round: Option<usize>) -> Vec<u8> {
    if let (Some(round), Some(end)) = (round, end_of_kind(&line)) {
        let name = [NAME, round.to_string().as_bytes()].concat();
        line.splice(end..end, name);
    }
    line
}

/// Takes the number out of a line that must have one.
///
/// # Errors
/// `malformed-message` without one, or with one that no session has.
pub fn take_number(line: &mut Vec<u8>) -> Result<usize, Fault> {
    let (end, number) = number_of(line).ok_or_else(|| {
        let kind = kind_in_head(line).unwrap_or_default();
        let detail = format!("a {kind} that does not say first which round it is of");
        Fault::new(FaultCode::MalformedMessage, detail)
    })?;
    let start = end_of_kind(line).unwrap_or(end);
    line.drain(start..end);
    Ok(number)
}

/// The number, and where it ends.
fn number_of(line: &[u8]) -> Option<(usize, usize)> {
    let start = end_of_kind(line)?;
    let digits = line[start..].strip_prefix(NAME)?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, rest) = digits.split_at_checked(length.min(3))?;
    let number: usize = std::str::from_utf8(text).ok()?.parse().ok()?;
    // One way to write each number, and more fields after it.
    let is_plain = number.to_string().len() == length && rest.first() == Some(&b',');
    (is_plain && number < ROUNDS_MAX).then_some((start + NAME.len() + length, number))
}

/// Where the kind ends, with its quotation mark.
fn end_of_kind(line: &[u8]) -> Option<usize> {
    Some("{\"message\":\"".len() + kind_in_head(line)?.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_out_as_it_went_in_and_leaves_the_line_as_it_was() {
        let line = br#"{"message":"coin","coin":"00"}"#.to_vec();
        for round in [0, 1, 9, 10, ROUNDS_MAX - 1] {
            let mut named = numbered(line.clone(), Some(round));
            let head = format!(r#"{{"message":"coin","round":{round},"coin""#);
            assert!(named.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&named));
            assert_eq!(take_number(&mut named), Ok(round));
            assert_eq!(named, line);
        }
        assert_eq!(numbered(line.clone(), None), line);
    }

    #[test]
    fn what_is_not_one_plain_number_is_refused_and_left() {
        for fields in [
            r#""coin":"00""#,
            r#""round":16,"coin":"00""#,
            r#""round":00,"coin":"00""#,
            r#""round":1"#,
            r#""round":-1,"coin":"00""#,
            r#""round":1.0,"coin":"00""#,
            r#""round":"1","coin":"00""#,
            r#""round": 1,"coin":"00""#,
            r#""round":18446744073709551616,"coin":"00""#,
            r#""round":,"coin":"00""#,
            r#""coin":"00","round":1"#,
        ] {
            let line = format!(r#"{{"message":"coin",{fields}}}"#).into_bytes();
            let mut taken = line.clone();
            let fault = take_number(&mut taken).expect_err(fields);
            assert_eq!(fault.code, FaultCode::MalformedMessage);
            assert_eq!(taken, line);
        }
        assert!(take_number(&mut b"Last login".to_vec()).is_err());
        // A second one is left for the reader of the fields, who knows none.
        let mut twice = br#"{"message":"coin","round":1,"round":1,"coin":"00"}"#.to_vec();
        assert_eq!(take_number(&mut twice), Ok(1));
        assert_eq!(twice, br#"{"message":"coin","round":1,"coin":"00"}"#);
    }
}
