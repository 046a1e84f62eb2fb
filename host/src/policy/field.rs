//! A field of a policy file: its name, its comment in the template, its bounds.
//!
//! Guarantees: one row of the table (`table.rs`) is the whole declaration: the
//! structs, their defaults, the reader's bounds, the template and the tests of
//! docs/policy.md derive from it.
//! Deliberately lacks: what a field demands of a result; that is a rule's.

use super::Policy;
use super::driver_version::DriverVersion;
use crate::appraisal::models;
use crate::protocol::json::printable;
use std::collections::BTreeMap;

/// A field, as the table has it.
pub(super) struct Field {
    /// The TOML table that it is in; empty for the top level.
    pub(super) table: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
    /// What the template says above it, line by line; none if it shares the comment
    /// of the field before.
    pub(super) says: &'static [&'static str],
    /// What it may be.
    pub(super) bounds: Bounds,
    /// Its value in a policy.
    pub(super) get: for<'p> fn(&'p Policy) -> Got<'p>,
}

/// What values a field may have.
#[derive(Clone, Copy)]
pub(super) enum Bounds {
    /// Whatever its type can be.
    Any,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// Likewise, from the value of another field on.
    WholeFrom(fn(&Policy) -> u64, u64),
    /// A number from the first to the second.
    Number(f64, f64),
    /// A number above 0 and below this.
    Between0And(f64),
    /// A number above 0, at most this.
    Above0UpTo(f64),
    /// A text of 1 to this number of bytes.
    Text(u64),
    /// At most the first number of names, each of 1 to the second number of bytes.
    Names(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A driver's version, or nothing.
    Version,
    /// Models of the table, each once, with a number above 0, at most this.
    Priced(f64),
}

/// A field's value.
pub(super) enum Got<'p> {
    Flag,
    Whole(u64),
    Number(f64),
    Text(&'p str),
    Names(&'p [String]),
    Priced(&'p BTreeMap<String, f64>),
}

impl From<&bool> for Got<'_> {
    fn from(_: &bool) -> Self {
        Self::Flag
    }
}

impl From<&u64> for Got<'_> {
    fn from(&value: &u64) -> Self {
        Self::Whole(value)
    }
}

impl From<&f64> for Got<'_> {
    fn from(&value: &f64) -> Self {
        Self::Number(value)
    }
}

impl<'p> From<&'p String> for Got<'p> {
    fn from(value: &'p String) -> Self {
        Self::Text(value)
    }
}

impl<'p> From<&'p Vec<String>> for Got<'p> {
    fn from(value: &'p Vec<String>) -> Self {
        Self::Names(value)
    }
}

impl<'p> From<&'p BTreeMap<String, f64>> for Got<'p> {
    fn from(value: &'p BTreeMap<String, f64>) -> Self {
        Self::Priced(value)
    }
}

/// A value outside its bounds.
pub(super) struct Breach {
    pub(super) field: &'static Field,
    pub(super) got: String,
    pub(super) expected: String,
}

impl Field {
    /// `table.name`, or the name alone at the top level.
    pub(super) fn path(&self) -> String {
        match self.table {
            "" => self.name.to_owned(),
            table => format!("{table}.{}", self.name),
        }
    }

    /// What of this field's value in `policy` is outside its bounds.
    pub(super) fn breach(&'static self, policy: &Policy) -> Option<Breach> {
        let value = (self.get)(policy);
        let expected = self.bounds.broken_by(&value, policy)?;
        Some(Breach { field: self, got: shown(&value, self.bounds), expected })
    }
}

impl Bounds {
    /// What is allowed, if the value isn't. A value of a type that the bounds are not
    /// for breaks them.
    fn broken_by(self, value: &Got<'_>, policy: &Policy) -> Option<String> {
        let fits = match (self, value) {
            (Self::Any, _) => true,
            (Self::Whole(low, high), Got::Whole(got)) => (low..=high).contains(got),
            (Self::WholeFrom(low, high), Got::Whole(got)) => (low(policy)..=high).contains(got),
            (Self::Number(low, high), Got::Number(got)) => (low..=high).contains(got),
            (Self::Between0And(high), &Got::Number(got)) => got > 0.0 && got < high,
            (Self::Above0UpTo(high), &Got::Number(got)) => got > 0.0 && got <= high,
            (Self::Text(high), Got::Text(text)) => (1..=high).contains(&(text.len() as u64)),
            (Self::Names(count, _), Got::Names(names)) => {
                odd_name_bytes(names, self).is_none() && names.len() as u64 <= count
            }
            (Self::OneOf(words), Got::Text(text)) => words.contains(text),
            (Self::Version, Got::Text(text)) => {
                text.is_empty() || text.parse::<DriverVersion>().is_ok()
            }
            (Self::Priced(high), Got::Priced(prices)) => odd_price(prices, high).is_none(),
            _ => false,
        };
        (!fits).then(|| match (self, value) {
            (Self::Names(_, high), Got::Names(names)) if odd_name_bytes(names, self).is_some() => {
                Self::Text(high).expected(policy)
            }
            _ => self.expected(policy),
        })
    }

    fn expected(self, policy: &Policy) -> String {
        match self {
            Self::Any => "a value of its type".to_owned(),
            Self::Whole(low, high) => format!("a whole number from {low} to {high}"),
            Self::WholeFrom(low, high) => {
                format!("a whole number from {} to {high}", low(policy))
            }
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::Between0And(high) => format!("a number above 0 and below {high}"),
            Self::Above0UpTo(high) => format!("a number above 0, at most {high}"),
            Self::Text(high) => format!("1 to {high} bytes of text"),
            Self::Names(count, _) => format!("at most {count} names"),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                words.join(", ")
            }
            Self::Priced(high) => format!(
                "a price above 0, at most {high}, for each of some models of docs/policy.md"
            ),
            Self::Version => r#"up to four numbers like "580.82.07", or "" for any"#.to_owned(),
        }
    }
}

/// The length of the first name that is too short or too long.
fn odd_name_bytes(names: &[String], bounds: Bounds) -> Option<usize> {
    let Bounds::Names(_, high) = bounds else { return None };
    names.iter().map(String::len).find(|&bytes| !(1..=high).contains(&(bytes as u64)))
}

/// What is wrong with the first price that is out of bounds, of no model or of one twice.
fn odd_price(prices: &BTreeMap<String, f64>, high: f64) -> Option<String> {
    let mut seen: Vec<&str> = Vec::new();
    prices.iter().find_map(|(name, &price)| {
        let shown = || printable(name);
        let Some(model) = models::find(name) else {
            return Some(format!("of {:?}, which is no model that is known", shown()));
        };
        if seen.contains(&model.name.as_str()) {
            return Some(format!("of {:?} twice", model.name));
        }
        seen.push(&model.name);
        let fits = price > 0.0 && price <= high;
        (!fits).then(|| format!("{price} for {:?}", shown()))
    })
}

fn shown(value: &Got<'_>, bounds: Bounds) -> String {
    match value {
        Got::Flag => "a flag".to_owned(),
        Got::Whole(got) => got.to_string(),
        Got::Number(got) => got.to_string(),
        Got::Text(text) => match bounds {
            Bounds::Version | Bounds::OneOf(_) => format!("{:?}", printable(text)),
            _ => format!("{} bytes long", text.len()),
        },
        Got::Names(names) => match odd_name_bytes(names, bounds) {
            Some(bytes) => format!("{bytes} bytes long"),
            None => format!("{} names long", names.len()),
        },
        Got::Priced(prices) => match bounds {
            Bounds::Priced(high) => odd_price(prices, high).unwrap_or_default(),
            _ => format!("{} prices", prices.len()),
        },
    }
}

/// Declares the fields: `Policy`, one struct for each table, their defaults, and
/// `FIELDS`, in the order of the file.
macro_rules! fields {
    (
        { $($(#[doc = $top_says:literal])* $top:ident: $top_type:ty = $top_default:expr, $top_bounds:expr;)* }
        $(
            $(#[$meta:meta])*
            $table:ident: $Table:ident {
                $($(#[doc = $says:literal])* $field:ident: $type:ty = $default:expr, $bounds:expr;)*
            }
        )*
    ) => {
        /// A validator's demands. Every field has a default; docs/policy.md says why.
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Policy {
            $(
                $(#[doc = $top_says])*
                #[doc = concat!("\nDefault: `", stringify!($top_default), "`; `", stringify!($top_bounds), "`.")]
                pub $top: $top_type,
            )*
            $(#[doc = concat!("`[", stringify!($table), "]`.")] pub $table: $Table,)*
            /// `[[round]]`: what a session asks for, in this order; 1 to 16 rounds.
            #[serde(rename = "round")]
            pub rounds: Vec<$crate::policy::Round>,
            /// `[findings]`: what each finding does.
            pub findings: $crate::policy::Findings,
        }

        impl Default for Policy {
            fn default() -> Self {
                Self {
                    $($top: $top_default,)*
                    $($table: $Table::default(),)*
                    rounds: $crate::policy::Round::defaults(),
                    findings: $crate::policy::Findings::default(),
                }
            }
        }

        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $Table {
                $(
                    $(#[doc = $says])*
                    #[doc = concat!("\nDefault: `", stringify!($default), "`; `", stringify!($bounds), "`.")]
                    pub $field: $type,
                )*
            }

            impl Default for $Table {
                fn default() -> Self {
                    Self { $($field: $default,)* }
                }
            }
        )*

        /// All fields but those of `[findings]`, in the order of the file.
        pub(super) static FIELDS: &[Field] = &[
            $(Field {
                table: "",
                name: stringify!($top),
                says: &[$($top_says),*],
                bounds: $top_bounds,
                get: |policy| Got::from(&policy.$top),
            },)*
            $($(Field {
                table: stringify!($table),
                name: stringify!($field),
                says: &[$($says),*],
                bounds: $bounds,
                get: |policy| Got::from(&policy.$table.$field),
            },)*)*
        ];
    };
}
pub(super) use fields;
