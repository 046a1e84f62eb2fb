//! What a URL asks for.
//!
//! Guarantees: each parameter is known, said once and bounded; what is written back into a
//! URL says the same.

use super::snapshot::{Item, Snapshot};
use crate::protocol::digest::Uuid;
use crate::protocol::json::is_shown;
use crate::protocol::signature::EncodedKey;
use crate::report::history::End;
use form_urlencoded::Serializer;
use std::time::Duration;

/// The most parameters of one URL.
const PARAMETERS_MAX: usize = 16;
/// Longest text to look for, characters.
pub(super) const TEXT_MAX: usize = 100;
/// The last page that can be asked for.
pub(super) const PAGE_MAX: u32 = 10_000;

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    time: Duration,
}

/// Those that can be chosen.
pub(super) const SPANS: [Span; 4] = [
    Span { name: "1h", words: "last hour", time: Duration::from_secs(3600) },
    Span { name: "24h", words: "last 24 hours", time: Duration::from_secs(24 * 3600) },
    Span { name: "7d", words: "last 7 days", time: Duration::from_secs(7 * 24 * 3600) },
    Span { name: "30d", words: "last 30 days", time: Duration::from_secs(30 * 24 * 3600) },
];

/// Which challenges, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) outcome: Option<End>,
    pub(super) miner: Option<EncodedKey>,
    pub(super) device: Option<Uuid>,
    /// In what a miner claims of its lanes, in small letters.
    pub(super) model: Option<String>,
    pub(super) span: Option<Span>,
    /// Anywhere, in small letters.
    pub(super) text: Option<String>,
    /// From 0.
    pub(super) page: u32,
}

/// A parameter that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) what: String,
    pub(super) advice: &'static str,
}

/// As a URL names it.
pub(super) fn name_of(end: End) -> &'static str {
    match end {
        End::Verified => "verified",
        End::Rejected => "rejected",
        End::Expired => "expired",
        End::Open => "open",
    }
}

impl Filter {
    /// Reads the part of a URL behind the `?`.
    ///
    /// # Errors
    /// [`Refused`]: an unknown parameter, one that is there twice, or a value out of bounds.
    pub(super) fn read(query: &str) -> Result<Self, Refused> {
        let mut filter = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX + 1) {
            if seen.contains(&name.to_string()) || seen.len() == PARAMETERS_MAX {
                let what = "a filter stands in the address twice".to_owned();
                return Err(Refused { what, advice: "Name each once." });
            }
            seen.push(name.to_string());
            let value = value.trim();
            // An empty field of the form.
            if !value.is_empty() {
                filter.set(&name, value)?;
            }
        }
        Ok(filter)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        let wrong = |advice| {
            move || Refused {
                what: format!("the filter {name:?} has a value that is not taken"),
                advice,
            }
        };
        match name {
            "outcome" => {
                let end = End::ALL.into_iter().find(|end| name_of(*end) == value);
                let advice = "It is verified, rejected, expired or open.";
                self.outcome = Some(end.ok_or_else(wrong(advice))?);
            }
            "miner" => {
                let advice = "It is a public key: 64 hex digits.";
                self.miner = Some(value.parse().map_err(|_| wrong(advice)())?);
            }
            "device" => {
                let advice = "It is a UUID: 32 hex digits, or GPU-xxxxxxxx-….";
                self.device = Some(uuid(value).ok_or_else(wrong(advice))?);
            }
            "span" => {
                let span = SPANS.into_iter().find(|span| span.name == value);
                self.span = Some(span.ok_or_else(wrong("It is 1h, 24h, 7d or 30d."))?);
            }
            "page" => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let page = value.parse::<u32>().ok().filter(|_| digits);
                let page = page.filter(|page| (1..=PAGE_MAX).contains(page));
                self.page = page.ok_or_else(wrong("It is a number from 1 on."))? - 1;
            }
            "model" | "text" => {
                let fits = value.chars().count() <= TEXT_MAX && value.chars().all(is_shown);
                let advice = "It has at most 100 characters, all of which are shown.";
                let text = Some(value.to_lowercase()).filter(|_| fits).ok_or_else(wrong(advice))?;
                *(if name == "model" { &mut self.model } else { &mut self.text }) = Some(text);
            }
            _ => {
                let what = "the address has a filter that is not known".to_owned();
                let advice = "There are outcome, miner, device, model, span, text and page.";
                return Err(Refused { what, advice });
            }
        }
        Ok(())
    }

    /// As a URL has it, with a `?` if there is anything.
    pub(super) fn query(&self) -> String {
        let mut out = Serializer::new(String::new());
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.append_pair(name, &value);
            }
        };
        add("outcome", self.outcome.map(|end| name_of(end).to_owned()));
        add("miner", self.miner.map(|key| key.to_string()));
        add("device", self.device.map(|uuid| uuid.to_string()));
        add("model", self.model.clone());
        add("span", self.span.map(|span| span.name.to_owned()));
        add("text", self.text.clone());
        add("page", (self.page > 0).then(|| (self.page + 1).to_string()));
        match out.finish() {
            query if query.is_empty() => query,
            query => format!("?{query}"),
        }
    }

    /// The same on another page.
    pub(super) fn at_page(&self, page: u32) -> Self {
        Self { page, ..self.clone() }
    }

    /// Whether anything but the page is asked for.
    pub(super) fn is_narrow(&self) -> bool {
        self.at_page(0) != Self::default()
    }

    /// The challenges that it asks for, the newest first, all pages of them.
    pub(super) fn of<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Item> {
        let ms = |span: Span| u64::try_from(span.time.as_millis()).unwrap_or(u64::MAX);
        let since = self.span.map_or(0, |span| snapshot.read_unix_ms.saturating_sub(ms(span)));
        let wanted = |item: &&Item| {
            let (record, entry) = (&item.record, &item.record.entry);
            let holds = |texts: &str, wanted: &Option<String>| {
                wanted.as_ref().is_none_or(|wanted| texts.contains(&**wanted))
            };
            entry.issued_unix_ms >= since
                && self.outcome.is_none_or(|end| end == item.end)
                && self.miner.is_none_or(|key| record.miner() == Some(key))
                && self.device.is_none_or(|uuid| record.names(uuid))
                && holds(&record.claims_text, &self.model)
                && (self.text.is_none()
                    || holds(&record.text, &self.text)
                    || snapshot
                        .address(entry)
                        .is_some_and(|at| holds(&at.to_lowercase(), &self.text)))
        };
        snapshot.items.iter().filter(wanted).collect()
    }
}

/// A UUID as it is written anywhere.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix("GPU-").or(text.strip_prefix("MIG-")).unwrap_or(text);
    digits.replace('-', "").to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back() {
        let key = "ab".repeat(32);
        let query = format!(
            "outcome=rejected&miner={key}&device={}&model=h100+80&span=7d&text=%3Cscript%3E%26&page=3",
            "01".repeat(16)
        );
        let filter = Filter::read(&query).unwrap();
        assert_eq!(filter.text.as_deref(), Some("<script>&"));
        assert_eq!((filter.page, filter.outcome), (2, Some(End::Rejected)));
        assert_eq!(filter.query(), format!("?{query}"));
        assert_eq!(Filter::read("outcome=&text=++&page=1").unwrap(), Filter::default());
        assert_eq!(Filter::default().query(), "");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let long = format!("text={}", "x".repeat(TEXT_MAX + 1));
        let many: String = (0..20).map(|n| format!("{n}=&")).collect();
        for query in [
            "outcome=fine",
            "miner=ab",
            "device=GPU-1",
            "span=1y",
            "page=0",
            "page=-1",
            "page=%2B1",
            "page=99999999999",
            "text=%E2%80%AEx",
            "model=a%00b",
            "x=1",
            "text=a&text=b",
            &long,
            &many,
        ] {
            assert!(Filter::read(query).is_err(), "{query}");
        }
    }
}
