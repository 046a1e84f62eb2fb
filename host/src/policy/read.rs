//! Reading a policy from TOML.
//!
//! Guarantees: what was read satisfies the bounds in the fields' documentation;
//! an error names file, line and column, shows the line, and says what is
//! allowed there.
//! Deliberately lacks: merging of files. A policy is one file and the defaults.

use super::Policy;
use super::driver_version::DriverVersion;
use crate::protocol::challenge::{INTEGER_MAX, LANES_MAX};
use crate::protocol::json::printable;
use std::fmt::Display;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Longest policy, bytes; one with every field and comment has a fraction of it.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

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
    #[error("{name}:{line}:{column}: {what}, in `{text}`\n{allowed}")]
    At {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong.
        what: String,
        /// The line as it stands in the file.
        text: String,
        /// What is allowed.
        allowed: String,
    },
}

/// A field that breaks its bound.
struct Breach {
    /// Table and field; a top-level field's table is empty.
    path: (&'static str, &'static str),
    got: String,
    expected: String,
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
        let policy: Self = toml::from_str(text).map_err(|error| {
            let (what, allowed) = in_two(error.message());
            at(name, text, error.span(), what, allowed)
        })?;
        match policy.first_breach() {
            None => Ok(policy),
            Some(Breach { path: (table, field), got, expected }) => {
                let full = [table, field].join(".");
                let full = full.trim_start_matches('.');
                let what = format!("{full} is {got}");
                let allowed = format!("Allowed is {expected}.");
                Err(at(name, text, place(text, table, field), what, allowed))
            }
        }
    }

    /// The first field outside its bounds.
    fn first_breach(&self) -> Option<Breach> {
        let (devices, time, telemetry) = (&self.devices, &self.time, &self.telemetry);
        let (soundness, session, history) = (&self.soundness, &self.session, &self.history);
        let integer = |path, got: u64, low: u64, high: u64| {
            let expected = format!("a whole number from {low} to {high}");
            breach(path, got, (low..=high).contains(&got), expected)
        };
        let number = |path, got: f64, low: f64, high: f64| {
            let expected = format!("a number from {low} to {high}");
            breach(path, got, (low..=high).contains(&got), expected)
        };
        let inside = |path, got: f64, high: f64| {
            let expected = match high < 2.0 {
                true => format!("a number above 0 and below {high}"),
                false => format!("a number above 0, at most {high}"),
            };
            let fits = got > 0.0 && (got < high || got == high && high >= 2.0);
            breach(path, got, fits, expected)
        };
        let version = |path, got: &str| {
            let fits = got.is_empty() || got.parse::<DriverVersion>().is_ok();
            let expected = r#"up to four numbers like "580.82.07", or "" for any"#.to_owned();
            breach(path, format_args!("{:?}", printable(&got)), fits, expected)
        };
        let name_bytes = self.name.len() as u64;
        let model_bytes = devices.models.iter().map(String::len).max().unwrap_or(1) as u64;
        let lanes_max = u64::from(LANES_MAX);
        None.or_else(|| text_length(("", "name"), name_bytes, 100))
            .or_else(|| integer(("session", "valid_for_s"), session.valid_for_s, 1, 604_800))
            .or_else(|| integer(("session", "dodges_max"), session.dodges_max, 0, 1000))
            .or_else(|| {
                integer(("session", "dodge_window_s"), session.dodge_window_s, 1, 2_592_000)
            })
            .or_else(|| inside(("soundness", "omitted_share"), soundness.omitted_share, 1.0))
            .or_else(|| {
                let p = soundness.escape_probability_max;
                inside(("soundness", "escape_probability_max"), p, 1.0)
            })
            .or_else(|| text_length(("devices", "models"), model_bytes, 256))
            .or_else(|| {
                let path = ("devices", "models");
                let count = devices.models.len();
                let got = format!("{count} names long");
                breach(path, got, count <= 64, "at most 64 names".to_owned())
            })
            .or_else(|| integer(("devices", "gpu_count_min"), devices.gpu_count_min, 1, lanes_max))
            .or_else(|| {
                let (low, got) = (devices.gpu_count_min, devices.gpu_count_max);
                integer(("devices", "gpu_count_max"), got, low, lanes_max)
            })
            .or_else(|| {
                integer(("devices", "memory_min_bytes"), devices.memory_min_bytes, 0, INTEGER_MAX)
            })
            .or_else(|| number(("devices", "sm_share_min"), devices.sm_share_min, 0.0, 1.0))
            .or_else(|| version(("devices", "driver_version_min"), &devices.driver_version_min))
            .or_else(|| version(("devices", "driver_version_max"), &devices.driver_version_max))
            .or_else(|| inside(("time", "duration_target_s"), time.duration_target_s, 86_400.0))
            .or_else(|| number(("time", "slack"), time.slack, 1.0, 100.0))
            .or_else(|| {
                integer(("time", "startup_allowance_ms"), time.startup_allowance_ms, 0, 600_000)
            })
            .or_else(|| {
                let got = time.round_trip_allowance_ms;
                integer(("time", "round_trip_allowance_ms"), got, 0, 600_000)
            })
            .or_else(|| {
                number(("telemetry", "clock_share_min"), telemetry.clock_share_min, 0.0, 1.0)
            })
            .or_else(|| {
                let got = telemetry.power_median_min_w;
                number(("telemetry", "power_median_min_w"), got, 0.0, 10_000.0)
            })
            .or_else(|| integer(("history", "window_days"), history.window_days, 1, 3650))
    }
}

fn breach(
    path: (&'static str, &'static str),
    got: impl Display,
    fits: bool,
    expected: String,
) -> Option<Breach> {
    (!fits).then(|| Breach { path, got: got.to_string(), expected })
}

fn text_length(path: (&'static str, &'static str), got: u64, high: u64) -> Option<Breach> {
    let fits = (1..=high).contains(&got);
    breach(path, format!("{got} bytes long"), fits, format!("1 to {high} bytes of text"))
}

/// The parser's words in two: what is wrong, and what it expected instead.
fn in_two(message: &str) -> (String, String) {
    let message = message.trim_end();
    let (what, expected) = match message.split_once(", expected ") {
        Some((what, expected)) => (what, format!("Allowed is {}.", expected.trim_end())),
        None => (message, "See `attest policy init` for a policy with every field.".to_owned()),
    };
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (one_line(what), one_line(&expected))
}

/// The error at a place of the text; without one, at its start.
fn at(
    name: &str,
    text: &str,
    span: Option<Range<usize>>,
    what: String,
    allowed: String,
) -> PolicyError {
    let mut start = span.map_or(0, |span| span.start).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = text[line_start..].lines().next().unwrap_or("").trim();
    PolicyError::At {
        name: name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        what: printable(&what),
        text: printable(&line_text),
        allowed,
    }
}

/// Where the value of a field stands in a text that is TOML.
fn place(text: &str, table: &str, field: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let inner = match table {
        "" => document.get_ref(),
        _ => match document.get_ref().get(table)?.get_ref() {
            DeValue::Table(inner) => inner,
            _ => return None,
        },
    };
    Some(inner.get(field)?.span())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn every_bound_is_seen_broken() {
        let cases = [
            "name = \"\"",
            "[session]\nvalid_for_s = 0",
            "[session]\ndodges_max = 1001",
            "[session]\ndodge_window_s = 0",
            "[session]\ndodge_window_s = 2592001",
            "[soundness]\nomitted_share = 1",
            "[soundness]\nomitted_share = nan",
            "[soundness]\nescape_probability_max = 0",
            "[devices]\nmodels = [\"\"]",
            "[devices]\ngpu_count_min = 0",
            "[devices]\ngpu_count_max = 65",
            "[devices]\ngpu_count_min = 3\ngpu_count_max = 2",
            "[devices]\nmemory_min_bytes = 9007199254740992",
            "[devices]\nsm_share_min = 1.01",
            "[devices]\ndriver_version_min = \"new\"",
            "[devices]\ndriver_version_max = \"1.2.3.4.5\"",
            "[time]\nduration_target_s = 0",
            "[time]\nduration_target_s = 86401",
            "[time]\nslack = inf",
            "[time]\nstartup_allowance_ms = 600001",
            "[time]\nround_trip_allowance_ms = 600001",
            "[telemetry]\nclock_share_min = -0.1",
            "[telemetry]\npower_median_min_w = 10001",
            "[history]\nwindow_days = 0",
            "[history]\nwindow_days = 3651",
        ];
        for text in cases {
            let (line, field) = (text.lines().count(), text.lines().last().unwrap());
            let error = error(text);
            assert!(error.starts_with(&format!("p.toml:{line}:")), "{text}: {error}");
            assert!(error.contains(&format!("in `{field}`\nAllowed is ")), "{error}");
        }
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
