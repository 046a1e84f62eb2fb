//! The default policy as a file with comments, to be changed by hand.
//!
//! Guarantees: read back it is [`Policy::default`]; it has every field and every
//! finding, none of them commented out (tested).
//! Deliberately lacks: the writing of other policies; they would lose their
//! authors' comments.

use super::codes::{self, Action, Configurable};
use super::table::FIELDS;
use super::{Policy, RULES, Round};
use crate::appraisal::plausible;
use std::fmt::Write as _;

const HEAD: &str = "\
# What a validator demands of a result beyond the protocol.
# Every value below is the default: a field that is left out has it.
# docs/policy.md says why each default is what it is.

";

const FINDINGS: &str = "
# What each finding does: \"reject\", \"warn\" or \"ignore\".
[findings]
";

/// All fields with their comments and defaults, table by table.
fn fields() -> String {
    let defaults = serde_json::to_value(Policy::default()).expect("a policy is JSON");
    let (mut text, mut open) = (String::new(), "");
    for field in FIELDS {
        if field.table != open {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{}]\n", field.table);
            open = field.table;
        }
        for line in field.says {
            let _ = writeln!(text, "#{line}");
        }
        let default = match field.table {
            "" => &defaults[field.name],
            table => &defaults[table][field.name],
        };
        // Flags, numbers, texts and lists of defaults look the same in JSON and TOML.
        let _ = writeln!(text, "{} = {default}", field.name);
    }
    text
}

const ROUNDS: &str = "
# What a session asks for, one round after the other, 1 to 16 of them; what each shows:
# \"fp64\" and \"integer\" rates of products, \"memory\" bytes held and the rate at which they
# are read, \"links\" the rate at which lanes read of each other. `seconds` is how long a
# round should last, `memory_share` how much of a model's memory each lane's arena takes.
# A session counts for nothing without a round that is `required`; another is left out if
# it cannot be sized for the miner's devices. A round may also fix fields of its challenge:
# matrix_dim, num_matrices, arena_blocks, half_passes, peer_blocks, num_iterations.
# `on = \"host\"` asks the machine's CPUs, with the sizes that the round fixes; with
# `beside = true` at the same time as the devices answer the [[round]] after it.
";

/// The default rounds.
fn rounds() -> String {
    let mut text = ROUNDS.to_owned();
    for Round { kind, seconds, memory_share, required, .. } in Round::defaults() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[round]]\nkind = \"{}\"\nseconds = {seconds:?}", kind.name());
        if let Some(share) = memory_share {
            let _ = writeln!(text, "memory_share = {share:?}");
        }
        let _ = writeln!(text, "required = {required}");
    }
    text
}

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
            let place = match RULES.iter().find(|rule| rule.code == *name) {
                Some(rule) => {
                    // Writing to a String cannot fail.
                    let _ = writeln!(own, "# {}", rule.what);
                    &mut own
                }
                None if codes::is_history(name) => &mut history,
                None if plausible::CODES.iter().any(|(code, _)| code == name) => &mut claims,
                None => &mut machine,
            };
            let _ = writeln!(place, "{name} = \"{action}\"");
        }
        format!(
            "{HEAD}{}{}{FINDINGS}\
             # The miner's machine about itself (docs/findings.md):\n{machine}\n\
             # The ledger about a device's history:\n{history}\n\
             # What cannot be true of the model that a lane names:\n{claims}\n\
             # The validator about the result:\n{own}",
            fields(),
            rounds(),
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
        // A field without a comment of its own shares that of the field before.
        for pair in FIELDS.windows(2) {
            let shares = pair[1].says.is_empty();
            assert!(!shares || pair[0].table == pair[1].table, "{}", pair[1].path());
        }
    }
}
