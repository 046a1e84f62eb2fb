//! Device models, in a verdict: which of a validator's table can't have done a
//! lane's work, and how many of each would have been needed for all of it.
//!
//! Deliberately lacks: the table, and the arithmetic. They are the validator's own.

use super::headline::short_name;
use super::{Fact, Grade, Verdict, fact};
use schemars::JsonSchema;
use serde::Serialize;

/// By what a model is too slow or too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExcludedBy {
    /// Its FP64 rate.
    Fp64,
    /// Its rate of int8 products.
    Int8,
    /// The size of its memory.
    Memory,
    /// The bandwidth of its memory.
    Bandwidth,
}

impl ExcludedBy {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp64 => "fp64",
            Self::Int8 => "int8",
            Self::Memory => "memory",
            Self::Bandwidth => "bandwidth",
        }
    }

    /// In text.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fp64 => "FP64",
            _ => self.name(),
        }
    }
}

/// A model of which one device can't have been a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExcludedModel {
    /// Its name in the table.
    pub model: String,
    /// By what, at least one.
    pub by: Vec<ExcludedBy>,
}

/// How many devices of a model the work of all lanes would have taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Equivalent {
    /// Its name in the table.
    pub model: String,
    /// At least this many.
    pub count: u64,
}

/// What a run shows of models, by the validator's clock and table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelsShown {
    /// Models of which one device can't have been a lane, the one that came nearest first.
    pub excluded: Vec<ExcludedModel>,
    /// The other models of the table, the one that had least to spare first.
    pub possible: Vec<String>,
    /// How many of each model would have done for all lanes at least, in that order:
    /// `possible`, then `excluded`.
    pub equivalents: Vec<Equivalent>,
}

impl Verdict {
    /// The verdict with what the run shows of models.
    pub fn with_models(mut self, shown: Option<ModelsShown>) -> Self {
        if let Some(shown) = &shown {
            self.facts.extend(shown.facts());
            self.facts.sort_by_key(|fact| fact.grade);
        }
        Self { models: shown, ..self }
    }
}

impl ModelsShown {
    fn facts(&self) -> Vec<Fact> {
        let excluded = self.excluded.iter().map(|ExcludedModel { model, by }| {
            let by: Vec<_> = by.iter().map(|by| by.name()).collect();
            format!("{} ({})", short_name(model), by.join(", "))
        });
        let possible = self.possible.iter().map(|model| short_name(model));
        let counts: Vec<String> =
            self.few().map(|of| format!("{} {}", of.count, short_name(&of.model))).collect();
        [
            ("one device a lane can have been", some(possible.collect())),
            ("one device a lane can't have been", some(excluded.collect())),
            ("all lanes together did as much as", (!counts.is_empty()).then(|| counts.join(" = "))),
        ]
        .into_iter()
        .filter_map(|(what, list)| {
            Some(fact(Grade::Measured, "models", format!("{what} {}", list?)))
        })
        .collect()
    }

    /// The nearest model that is possible, and up to three that are not: the nearest, one
    /// in the middle, the farthest.
    pub(super) fn few(&self) -> impl Iterator<Item = &Equivalent> {
        let (possible, excluded) = self.equivalents.split_at(self.possible.len());
        let at = [0, excluded.len() / 2, excluded.len().saturating_sub(1)];
        let mut chosen: Vec<&Equivalent> = at.iter().filter_map(|&at| excluded.get(at)).collect();
        chosen.dedup();
        possible.first().into_iter().chain(chosen)
    }
}

/// "a, b, c and 2 more"; `None` for an empty list.
fn some(mut names: Vec<String>) -> Option<String> {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.len(), more) {
        (0, _) => None,
        (_, 0) => Some(names.join(", ")),
        _ => Some(format!("{} and {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Equivalent, ExcludedBy, ExcludedModel, ModelsShown};

    fn shown(possible: &[&str], excluded: &[&str]) -> ModelsShown {
        let named = |model: &&str| (*model).to_owned();
        let all = possible.iter().chain(excluded).map(named).zip(1..);
        ModelsShown {
            excluded: excluded
                .iter()
                .map(|model| ExcludedModel {
                    model: named(model),
                    by: vec![ExcludedBy::Memory, ExcludedBy::Bandwidth],
                })
                .collect(),
            possible: possible.iter().map(named).collect(),
            equivalents: all.map(|(model, count)| Equivalent { model, count }).collect(),
        }
    }

    fn texts(shown: &ModelsShown) -> Vec<String> {
        shown.facts().into_iter().map(|fact| fact.text).collect()
    }

    #[test]
    fn a_few_models_stand_for_all() {
        let all = shown(&["NVIDIA A", "B"], &["NVIDIA C", "D", "E", "F", "G"]);
        assert_eq!(
            texts(&all),
            [
                "one device a lane can have been A, B",
                "one device a lane can't have been C (memory, bandwidth), D (memory, bandwidth), \
                 E (memory, bandwidth) and 2 more",
                "all lanes together did as much as 1 A = 3 C = 5 E = 7 G",
            ]
        );
    }

    #[test]
    fn lists_without_models_are_left_out() {
        let only = |possible: &[&str], excluded: &[&str]| texts(&shown(possible, excluded));
        assert_eq!(only(&[], &[]), [""; 0]);
        assert_eq!(
            only(&["A"], &[]),
            ["one device a lane can have been A", "all lanes together did as much as 1 A"]
        );
        assert_eq!(only(&[], &["A"])[1..], ["all lanes together did as much as 1 A".to_owned()]);
    }
}
