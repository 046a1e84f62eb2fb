//! The default policy as a file with comments, to be changed by hand.
//!
//! Guarantees: read back it is [`Policy::default`]; it has every field and every
//! finding, none of them commented out (tested).
//! Deliberately lacks: the writing of other policies; they would lose their
//! authors' comments.

use super::Policy;
use super::codes::{self, Action, Configurable, Observation};
use crate::appraisal::plausible;
use std::fmt::Write as _;

const FIELDS: &str = include_str!("default.toml");

impl Policy {
    /// The default policy with comments, TOML.
    pub fn template() -> String {
        let [mut machine, mut history, mut claims, mut own] = [const { String::new() }; 4];
        for Configurable { name, default } in codes::configurable() {
            let action = match default {
                Action::Reject => "reject",
                Action::Warn => "warn",
                Action::Ignore => "ignore",
            };
            let observation = Observation::ALL.iter().find(|code| code.name() == *name);
            let place = match observation {
                Some(code) => {
                    // Writing to a String cannot fail.
                    let _ = writeln!(own, "# {}", code.what());
                    &mut own
                }
                None if codes::is_history(name) => &mut history,
                None if plausible::CODES.iter().any(|(code, _)| code == name) => &mut claims,
                None => &mut machine,
            };
            let _ = writeln!(place, "{name} = \"{action}\"");
        }
        format!(
            "{FIELDS}\
             # The miner's machine about itself (docs/findings.md):\n{machine}\n\
             # The ledger about a device's history:\n{history}\n\
             # What cannot be true of the model that a lane names:\n{claims}\n\
             # The validator about the result:\n{own}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::{Table, Value};

    #[test]
    fn it_is_the_default_policy_with_every_field() {
        let text = Policy::template();
        assert_eq!(Policy::from_toml(&text, "template"), Ok(Policy::default()));
        let shown: Table = toml::from_str(&text).unwrap();
        let all = Table::try_from(Policy::default()).unwrap();
        assert_eq!(shown.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
        for (name, value) in &all {
            if let Value::Table(fields) = value {
                let keys = |table: &Table| table.keys().cloned().collect::<Vec<_>>();
                assert_eq!(keys(shown[name].as_table().unwrap()), keys(fields), "[{name}]");
            }
        }
    }

    #[test]
    fn every_field_is_explained_and_no_line_is_long() {
        let text = Policy::template();
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
        let explained = FIELDS.split("\n\n").skip(1);
        assert!(
            explained
                .filter(|table| table.contains(" = "))
                .all(|table| table.contains("\n# ") || table.starts_with('#'))
        );
    }
}
