//! A schedule: how often miners are challenged, and which of them together.

use crate::protocol::signature::EncodedKey;
use crate::toml_place::{self, Misplaced};
use serde::Deserialize;
use std::time::Duration;

/// Longest schedule that is read, bytes: 100,000 keys and some.
pub const SCHEDULE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Miners that belong to one owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its miners' keys.
    pub miners: Vec<EncodedKey>,
}

/// What makes a group of miners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Together {
    /// One owner.
    Owner,
    /// One host, as the agents say.
    Host,
    /// One subnet (/24, /48), as the server told the agents.
    Subnet,
    /// A device that several name, or a history of such.
    History,
}

/// When miners are challenged.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Length of a campaign, ms.
    pub period_ms: u64,
    /// Mean number of sessions of a miner in a campaign, 1 or more.
    pub sessions: f64,
    /// How often a task that could not run is tried again.
    pub retries: u32,
    /// How long to wait before that.
    pub retry_after: Duration,
    /// What makes a group.
    pub together: Vec<Together>,
    /// Owners.
    pub owners: Vec<Owner>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            period_ms: 24 * 3600 * 1000,
            sessions: 2.0,
            retries: 5,
            retry_after: Duration::from_secs(10),
            together: vec![Together::Owner, Together::Host, Together::Subnet, Together::History],
            owners: Vec::new(),
        }
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    period_s: Option<u64>,
    sessions: Option<f64>,
    retries: Option<u32>,
    retry_after_s: Option<u64>,
    together: Option<Vec<Together>>,
    #[serde(default, rename = "owner")]
    owners: Vec<Owner>,
}

/// A text that is no schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Longer than any schedule.
    #[error(
        "{name} has {bytes} bytes; a schedule has at most {SCHEDULE_BYTES_MAX}\nCheck that it is the right file."
    )]
    Long {
        /// The file.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// Something in it is no schedule's.
    #[error(transparent)]
    At(#[from] Misplaced),
}

impl Schedule {
    /// Reads the TOML text of the file `name`.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn from_toml(text: &str, name: &str) -> Result<Self, ScheduleError> {
        if text.len() > SCHEDULE_BYTES_MAX {
            return Err(ScheduleError::Long { name: name.to_owned(), bytes: text.len() });
        }
        let written: Written = toml_place::parse(text, name, "docs/fleet.md has its fields.")?;
        let default = Self::default();
        let period_s = written.period_s.unwrap_or(default.period_ms / 1000);
        let sessions = written.sessions.unwrap_or(default.sessions);
        let retry_after_s = written.retry_after_s.unwrap_or(default.retry_after.as_secs());
        let retries = written.retries.unwrap_or(default.retries);
        let limits = [
            ((1..=31 * 86_400).contains(&period_s), "period_s", "1 to 2678400"),
            ((1.0..=500.0).contains(&sessions), "sessions", "1 to 500"),
            ((1..=3600).contains(&retry_after_s), "retry_after_s", "1 to 3600"),
            (retries <= 100, "retries", "0 to 100"),
        ];
        if let Some((_, field, allowed)) = limits.iter().find(|(is_within, ..)| !is_within) {
            let what = format!("{field} is out of range");
            let allowed = format!("Allowed is {allowed}.");
            let place = toml_place::place(text, "", field);
            return Err(toml_place::at(name, text, place, &what, allowed).into());
        }
        Ok(Self {
            period_ms: period_s * 1000,
            sessions,
            retries,
            retry_after: Duration::from_secs(retry_after_s),
            together: written.together.unwrap_or(default.together),
            owners: written.owners,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_within_its_bounds() {
        let key = "01".repeat(32);
        let text = format!(
            "period_s = 600\nsessions = 10\ntogether = [\"owner\"]\n\
             [[owner]]\nname = \"a\"\nminers = [\"{key}\"]\n"
        );
        let read = Schedule::from_toml(&text, "s").unwrap();
        assert_eq!((read.period_ms, read.sessions, read.retries), (600_000, 10.0, 5));
        assert_eq!(read.owners[0].miners, [EncodedKey([1; 32])]);
        assert_eq!(Schedule::from_toml("", "s").unwrap(), Schedule::default());
        for bad in ["period_s = 0", "sessions = 0.5", "retries = 101", "when = 1", "sessions = nan"]
        {
            assert!(Schedule::from_toml(bad, "s").is_err(), "{bad}");
        }
    }
    #[test]
    fn an_error_has_its_place_and_what_is_allowed() {
        let error = |text: &str| Schedule::from_toml(text, "s.toml").unwrap_err().to_string();
        let two = |text: &str, first: &str, second: &str| {
            assert_eq!(error(text), format!("{first}\n{second}"));
        };
        two(
            "period_s = 600\n  retries = 101 # many\n",
            "s.toml:2:13: retries is out of range, in `retries = 101 # many`",
            "Allowed is 0 to 100.",
        );
        let unknown = error("period_s = 600\nwhen = 1\n");
        assert!(
            unknown.starts_with("s.toml:2:1: unknown field `when`, in `when = 1`\nAllowed is ")
        );
        let word = error("together = [\"owner\", \"house\"]\n");
        assert!(word.starts_with("s.toml:1:22: unknown variant `house`"), "{word}");
        let key = error("[[owner]]\nname = \"a\"\nminers = [\"01\"]\n");
        assert!(key.starts_with("s.toml:3:11: "), "{key}");
        let long = Schedule::from_toml(&" ".repeat(SCHEDULE_BYTES_MAX + 1), "s").unwrap_err();
        assert!(matches!(long, ScheduleError::Long { bytes, .. } if bytes > SCHEDULE_BYTES_MAX));
    }
}
