//! `[findings]`: what each finding does to a verdict.
//!
//! Guarantees: holds every configurable code, once; names that are not codes are
//! refused where they stand in the file.
//! Deliberately lacks: a wildcard. A code that a later version adds has that
//! version's default.

use super::codes::{Action, configurable, configurable_names};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What each finding does, by its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<&'static str, Action>);

impl Default for Findings {
    fn default() -> Self {
        Self(configurable().iter().map(|code| (code.name, code.default)).collect())
    }
}

impl Findings {
    /// What the finding of this code does; `None` if the code is not known.
    pub fn action(&self, code: &str) -> Option<Action> {
        self.0.get(code).copied()
    }
    /// Whether the finding of this code rejects.
    pub fn rejects(&self, code: &str) -> bool {
        self.action(code) == Some(Action::Reject)
    }
    /// Changes what a known code does; says whether it is known.
    pub fn set(&mut self, code: &str, action: Action) -> bool {
        self.0.get_mut(code).map(|of_code| *of_code = action).is_some()
    }
    /// All codes with what they do, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Action)> {
        self.0.iter().map(|(&code, &action)| (code, action))
    }
}

impl<'de> Deserialize<'de> for Findings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Findings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of finding codes")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Findings, A::Error> {
                let mut findings = Findings::default();
                while let Some(code) = map.next_key_seed(KnownCode)? {
                    findings.0.insert(code, map.next_value()?);
                }
                Ok(findings)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// Reads a code while the parser still knows where it stands.
struct KnownCode;

impl<'de> DeserializeSeed<'de> for KnownCode {
    type Value = &'static str;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownCode {
    type Value = &'static str;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a finding's code")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let known = configurable_names();
        known
            .iter()
            .find(|&&code| code == text)
            .copied()
            .ok_or_else(|| E::unknown_field(text, known))
    }
}
