//! Reading a policy from TOML.
//!
//! Guarantees: what was read satisfies the bounds in the fields' documentation;
//! an error names file, line and column, shows the line, and says what is
//! allowed there.
//! Deliberately lacks: merging of files. A policy is one file and the defaults.

use super::field::Breach;
use super::table::FIELDS;
use super::{Policy, ROUNDS_MAX};
use crate::toml_place::{Misplaced, at, parse, place, place_in_entry};

/// Longest policy, bytes; one with every field and comment has a fraction of it.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

const SEE_TEMPLATE: &str = "See `attest policy init` for a policy with every field.";

/// Why a text is no policy. Two lines: what is wrong where, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Too long to be one.
    #[error(
        "{name} has {got_bytes} bytes; a policy has at most {POLICY_BYTES_MAX}\nCheck that it is a policy: `attest policy init` prints one."
    )]
    TooLong {
        /// The file.
        name: String,
        /// Its length.
        got_bytes: usize,
    },
    /// Something is wrong at one place of it.
    #[error(transparent)]
    At(#[from] Misplaced),
}

impl Policy {
    /// Reads a policy; `name` is the file's, for errors. Fields that are left out
    /// have their defaults.
    ///
    /// # Errors
    /// The first thing that is no TOML, no field of a policy, of the wrong type
    /// or outside its bounds.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong { name: name.to_owned(), got_bytes: text.len() });
        }
        let policy: Self = parse(text, name, SEE_TEMPLATE)?;
        if let Some(Breach { field, got, expected }) =
            FIELDS.iter().find_map(|field| field.breach(&policy))
        {
            let what = format!("{} is {got}", field.path());
            let allowed = format!("Allowed is {expected}.");
            return Err(at(name, text, place(text, field.table, field.name), &what, allowed).into());
        }
        let count = policy.rounds.len();
        if !(1..=ROUNDS_MAX).contains(&count) {
            let allowed = format!("Allowed are 1 to {ROUNDS_MAX}.");
            let what = format!("{count} rounds");
            return Err(at(name, text, place(text, "", "round"), &what, allowed).into());
        }
        for (index, round) in policy.rounds.iter().enumerate() {
            if let Some((field, got, expected)) = round.breach(policy.rounds.get(index + 1)) {
                let what = format!("{field} of round {index} is {got}");
                let allowed = format!("Allowed is {expected}.");
                let place = place_in_entry(text, "round", index, field);
                return Err(at(name, text, place, &what, allowed).into());
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::Bounds;
    use super::*;
    use crate::policy::codes::Action;

    fn error(text: &str) -> String {
        Policy::from_toml(text, "p.toml").unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_default_policy() {
        assert_eq!(Policy::from_toml("", "p.toml"), Ok(Policy::default()));
    }

    #[test]
    fn fields_are_taken_and_the_rest_is_default() {
        let text = "[time]\nslack = 2\n[findings]\ndevice-count = \"warn\"\n";
        let policy = Policy::from_toml(text, "p.toml").unwrap();
        assert_eq!(policy.time.slack, 2.0);
        assert_eq!(policy.time.startup_allowance_ms, 300);
        assert_eq!(policy.findings.action("device-count"), Some(Action::Warn));
        assert_eq!(policy.findings.action("uuid-differs"), Some(Action::Reject));
        assert_ne!(policy.digest(), Policy::default().digest());
    }

    #[test]
    fn errors_name_place_line_and_what_is_allowed() {
        assert_eq!(
            error("# mine\n[time]\n  slak = 1.5 # typo\n"),
            "p.toml:3:3: unknown field `slak`, in `slak = 1.5 # typo`\n\
             Allowed is one of `duration_target_s`, `slack`, `startup_allowance_ms`, \
             `round_trip_allowance_ms`."
        );
        assert_eq!(
            error("[time]\nslack = 0.5\n"),
            "p.toml:2:9: time.slack is 0.5, in `slack = 0.5`\nAllowed is a number from 1 to 100."
        );
        assert_eq!(
            error("[time]\nslack = \"fast\"\n"),
            "p.toml:2:9: invalid type: string \"fast\", in `slack = \"fast\"`\nAllowed is f64."
        );
        let unknown = error("[findings]\nno-such-code = \"warn\"\n");
        assert!(unknown.starts_with("p.toml:2:1: unknown field `no-such-code`, in "), "{unknown}");
        assert!(unknown.contains("`uuid-in-two-sessions`"), "{unknown}");
        let action = error("[findings]\ndevice-count = \"shrug\"\n");
        assert!(action.starts_with("p.toml:2:16: unknown variant `shrug`, in "), "{action}");
        assert!(action.ends_with("one of `reject`, `warn`, `ignore`."), "{action}");
    }

    #[test]
    fn what_is_no_toml_is_an_error_at_its_place() {
        let error = error("[time]\nslack 1.5\n");
        assert!(error.starts_with("p.toml:2:"), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(Policy::from_toml("[time]\nslack = 2\nslack = 2\n", "p.toml").is_err());
    }

    /// TOML values at the edges of what is allowed, and just outside.
    fn edges(bounds: Bounds) -> [Vec<String>; 2] {
        let texts = |lengths: &[u64]| {
            let text = |&bytes: &u64| format!("{:?}", "x".repeat(bytes as usize));
            lengths.iter().map(text).collect::<Vec<_>>()
        };
        let names = |count: u64, bytes| {
            format!("[{}]", format!("{},", texts(&[bytes])[0]).repeat(count as usize))
        };
        let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let numbers = |values: &[f64]| values.iter().map(|value| format!("{value:?}")).collect();
        match bounds {
            Bounds::Any => [list(&["true", "false"]), list(&["1"])],
            Bounds::Whole(low, high) => {
                let below = low.checked_sub(1).map_or("-1".to_owned(), |below| below.to_string());
                [vec![low.to_string(), high.to_string()], vec![below, (high + 1).to_string()]]
            }
            Bounds::WholeFrom(low, high) => {
                let low = low(&Policy::default());
                edges(Bounds::Whole(low, high))
            }
            Bounds::Number(low, high) => [
                numbers(&[low, high]),
                numbers(&[low - 0.01, 1.01 * high, f64::INFINITY, f64::NAN]),
            ],
            Bounds::Between0And(high) => {
                [numbers(&[1e-300, high.next_down()]), numbers(&[0.0, high, f64::NAN])]
            }
            Bounds::Above0UpTo(high) => {
                [numbers(&[1e-300, high]), numbers(&[0.0, high.next_up(), f64::NAN])]
            }
            Bounds::Text(high) => [texts(&[1, high]), texts(&[0, high + 1])],
            Bounds::Names(count, bytes) => [
                vec!["[]".to_owned(), names(count, bytes)],
                vec![names(1, 0), names(1, bytes + 1), names(count + 1, 1)],
            ],
            Bounds::Priced(high) => [
                vec!["{}".to_owned(), format!("{{\"NVIDIA H200\" = {high}, L4 = 0.01}}")],
                vec![
                    format!("{{H200 = {}}}", high.next_up()),
                    "{H200 = 0}".to_owned(),
                    "{H200 = nan}".to_owned(),
                    "{Abacus = 1}".to_owned(),
                    "{H200 = 1, \"NVIDIA H200\" = 2}".to_owned(),
                ],
            ],
            Bounds::OneOf(words) => {
                let quoted = words.iter().map(|word| format!("{word:?}")).collect();
                [quoted, list(&[r#""""#, r#""Required""#, r#""never""#])]
            }
            Bounds::Version => {
                let allowed = list(&[r#""""#, r#""535""#, r#""1.2.3.4""#]);
                [allowed, list(&[r#""new""#, r#""1.2.3.4.5""#])]
            }
        }
    }

    #[test]
    fn every_bound_is_kept_and_seen_broken() {
        for field in FIELDS {
            let [allowed, broken] = edges(field.bounds);
            let header = match field.table {
                "" => String::new(),
                table => format!("[{table}]\n"),
            };
            for value in allowed {
                let text = format!("{header}{} = {value}\n", field.name);
                let read = Policy::from_toml(&text, "p.toml");
                assert!(read.is_ok(), "{text}: {}", read.unwrap_err());
            }
            for value in broken {
                let text = format!("{header}{} = {value}\n", field.name);
                let (line, error) = (text.lines().count(), error(&text));
                assert!(error.starts_with(&format!("p.toml:{line}:")), "{text}: {error}");
                let shown = format!(", in `{}", field.name);
                assert!(error.contains(&shown) && error.contains("\nAllowed is "), "{error}");
            }
        }
        let order = error("[devices]\ngpu_count_min = 3\ngpu_count_max = 2");
        assert!(order.ends_with("gpu_count_max = 2`\nAllowed is a whole number from 3 to 64."));
        assert!(error("[session]\nvalid_for_s = -1").contains("p.toml:2:"));
        let many = format!("[devices]\nmodels = [{}]", "\"a\",".repeat(65));
        assert!(error(&many).contains("at most 64 names"));
    }

    #[test]
    fn long_files_and_strange_text_are_refused_in_bounded_words() {
        assert!(error(&"#".repeat(POLICY_BYTES_MAX + 1)).contains("at most 65536"));
        let error = error(&format!("[time]\n{} = 1\n", "é\u{7}".repeat(3000)));
        assert!(error.len() < 5000 && !error.contains('\u{7}'), "{error}");
    }
}
