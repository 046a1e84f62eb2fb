//! What a session showed, in a few lines and in the units that people buy by.
//!
//! Guarantees: every figure is rounded down; a model is named as what was shown to be
//! possible or impossible, whatever the miner claims.
//! Deliberately lacks: the outcome, which stands before it.

use super::{ExcludedModel, ModelsShown, PriceShown, Shown};

/// Bytes of a GiB.
const GIB: f64 = (1_u64 << 30) as f64;
/// Most models that are named as possible, and as impossible.
const NAMED: (usize, usize) = (3, 2);

/// The lines: figures, models, how many of each, the price; those that have something to say.
pub fn headline(
    shown: &Shown,
    models: Option<&ModelsShown>,
    price: Option<&PriceShown>,
) -> Vec<String> {
    let mut lines = vec![figures(shown)];
    lines.extend(models.map(which));
    lines.extend(models.and_then(|models| together(shown, models)));
    lines.extend(price.map(cheapest));
    lines
}

fn figures(shown: &Shown) -> String {
    let (who, each, others) = match shown.lanes {
        1 => ("lane 0".to_owned(), "", ""),
        2 => ("lanes 0 and 1".to_owned(), ", each", "the other"),
        lanes => (format!("lanes 0 to {}", lanes - 1), ", each", "the others"),
    };
    let rate = |figure: Option<u64>, unit: &str, of: &str| {
        figure.map(|rate| format!("{}{of}", with_prefix(rate as f64, unit)))
    };
    let turn = if shown.held_at_once || shown.lanes == 1 { "" } else { ", maybe in turn," };
    let memory = shown.held_bytes.map(|bytes| {
        let read = rate(shown.read_bytes_per_s, "B/s", "");
        let at = read.map_or(String::new(), |read| format!(" at {read}"));
        format!("at least {} GiB{turn}{at}", digits(bytes as f64 / GIB))
    });
    let own: Vec<String> = [
        rate(shown.fp64_flops, "FLOP/s", " FP64"),
        rate(shown.int8_ops_per_s, "OPS", " int8"),
        memory,
    ]
    .into_iter()
    .flatten()
    .collect();
    let links = rate(shown.link_bytes_per_s, "B/s", &format!(" from {others}"));
    let said: Vec<String> =
        [(!own.is_empty()).then(|| own.join(", ")), links].into_iter().flatten().collect();
    match said.len() {
        0 => format!("{who}{each}: nothing is shown of rates and sizes"),
        _ => format!("{who}{each}: {}", said.join("; ")),
    }
}

fn which(models: &ModelsShown) -> String {
    let possible = models.possible.iter().map(|model| short_name(model)).collect();
    let excluded = models.excluded.iter().map(|ExcludedModel { model, by }| {
        let by: Vec<_> = by.iter().map(|by| by.word()).collect();
        format!("{} ({})", short_name(model), by.join(", "))
    });
    let some = |names: Vec<String>, most| match first(names, most) {
        Some(names) => names,
        None => "no model of the table".to_owned(),
    };
    format!(
        "could be: {}        can't be: {}",
        some(possible, NAMED.0),
        some(excluded.collect(), NAMED.1)
    )
}

fn together(shown: &Shown, models: &ModelsShown) -> Option<String> {
    let counts: Vec<String> =
        models.few().map(|of| format!("{} {}", of.count, short_name(&of.model))).collect();
    let together = if shown.lanes == 1 { "" } else { "together " };
    (!counts.is_empty()).then(|| format!("{together}as much as {}", counts.join(" = ")))
}

fn cheapest(price: &PriceShown) -> String {
    let devices: Vec<String> =
        price.cheapest.iter().map(|of| format!("{} {}", of.count, short_name(&of.model))).collect();
    format!(
        "for {:.2} {} an hour {} would do; the claim costs {:.2}",
        price.cheapest_per_hour,
        price.currency,
        devices.join(" and "),
        price.claimed_per_hour
    )
}

/// A model's name as people say it: without its vendor, its line and the kind of its memory.
pub fn short_name(model: &str) -> String {
    const LEFT_OUT: [&str; 7] =
        ["NVIDIA", "GeForce", "Tesla", "HBM3", "HBM3e", "Generation", "Edition"];
    let words: Vec<&str> = model.split(' ').filter(|word| !LEFT_OUT.contains(word)).collect();
    match words.is_empty() {
        true => model.to_owned(),
        false => words.join(" "),
    }
}

/// "a, b, … 2 more"; `None` for an empty list.
fn first(mut names: Vec<String>, most: usize) -> Option<String> {
    let more = names.len().saturating_sub(most);
    names.truncate(most);
    match (names.len(), more) {
        (0, _) => None,
        (_, 0) => Some(names.join(", ")),
        _ => Some(format!("{}, … {more} more", names.join(", "))),
    }
}

fn with_prefix(amount: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 6] =
        [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    let (scale, prefix) =
        PREFIXES.into_iter().find(|(scale, _)| amount >= *scale).unwrap_or((1.0, ""));
    format!("{} {prefix}{unit}", digits(amount / scale))
}

/// Three significant digits rounded down, without zeros behind the point; below 1 two decimals.
fn digits(amount: f64) -> String {
    let decimals = match amount {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let scale = 10_f64.powi(decimals);
    let text = format!("{:.*}", decimals as usize, (amount * scale).floor() / scale);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Equivalent, ExcludedBy};
    use super::*;

    fn h200(lanes: u32) -> Shown {
        Shown {
            lanes,
            fp64_flops: Some(53_190_000_000_000),
            int8_ops_per_s: Some(861_999_000_000_000),
            held_bytes: Some(131_797_897_270),
            held_at_once: true,
            read_bytes_per_s: Some(4_209_000_000_000),
            memory_bytes_per_s: Some(4_000_000_000_000),
            link_bytes_per_s: None,
        }
    }

    fn models() -> ModelsShown {
        let excluded = |model: &str, by: &[ExcludedBy]| ExcludedModel {
            model: model.to_owned(),
            by: by.to_vec(),
        };
        let of = |model: &str, count| Equivalent { model: model.to_owned(), count };
        ModelsShown {
            excluded: vec![
                excluded("NVIDIA B200", &[ExcludedBy::Fp64]),
                excluded("NVIDIA H100 80GB HBM3", &[ExcludedBy::Memory, ExcludedBy::Bandwidth]),
                excluded("NVIDIA GeForce RTX 4090", &[ExcludedBy::Int8]),
            ],
            possible: vec!["NVIDIA H200".into(), "NVIDIA GH200 144G HBM3e".into()],
            equivalents: vec![
                of("NVIDIA H200", 2),
                of("NVIDIA GH200 144G HBM3e", 2),
                of("NVIDIA B200", 3),
                of("NVIDIA H100 80GB HBM3", 4),
                of("NVIDIA GeForce RTX 4090", 10),
            ],
        }
    }

    #[test]
    fn two_lanes_with_links() {
        let shown = Shown { link_bytes_per_s: Some(371_900_000_000), ..h200(2) };
        let price = PriceShown {
            currency: "USD".into(),
            claimed_per_hour: 7.0,
            cheapest_per_hour: 3.5,
            cheapest: vec![Equivalent { model: "NVIDIA GeForce RTX 4090".into(), count: 10 }],
        };
        assert_eq!(
            headline(&shown, Some(&models()), Some(&price)),
            [
                "lanes 0 and 1, each: 53.1 TFLOP/s FP64, 861 TOPS int8, at least 122 GiB at \
                 4.2 TB/s; 371 GB/s from the other",
                "could be: H200, GH200 144G        can't be: B200 (FP64), \
                 H100 80GB (memory, bandwidth), … 1 more",
                "together as much as 2 H200 = 3 B200 = 4 H100 80GB = 10 RTX 4090",
                "for 3.50 USD an hour 10 RTX 4090 would do; the claim costs 7.00",
            ]
        );
    }

    #[test]
    fn what_was_not_shown_is_not_said() {
        let first = |shown: &Shown| headline(shown, None, None).remove(0);
        assert_eq!(
            first(&h200(1)),
            "lane 0: 53.1 TFLOP/s FP64, 861 TOPS int8, at least 122 GiB at 4.2 TB/s"
        );
        let none = Shown { lanes: 8, ..Shown::default() };
        assert_eq!(first(&none), "lanes 0 to 7, each: nothing is shown of rates and sizes");
        let links = Shown { link_bytes_per_s: Some(1), ..none };
        assert_eq!(first(&links), "lanes 0 to 7, each: 1 B/s from the others");
        let in_turn = Shown { held_at_once: false, fp64_flops: None, ..h200(2) };
        assert_eq!(
            first(&in_turn),
            "lanes 0 and 1, each: 861 TOPS int8, at least 122 GiB, maybe in turn, at 4.2 TB/s"
        );
        assert_eq!(headline(&h200(1), None, None).len(), 1);
        let nothing = which(&ModelsShown::default());
        assert_eq!(
            nothing,
            "could be: no model of the table        can't be: no model of the table"
        );
    }

    #[test]
    fn figures_are_rounded_down_to_three_digits() {
        let cases = [
            (999.99, "999"),
            (99.99, "99.9"),
            (4.2, "4.2"),
            (4.199, "4.19"),
            (53.0, "53"),
            (100.0, "100"),
            (0.129, "0.12"),
            (0.0, "0"),
            (1_234.5, "1234"),
        ];
        for (amount, text) in cases {
            assert_eq!(digits(amount), text);
        }
        assert_eq!(with_prefix(1e18, "OPS"), "1000 POPS");
        assert_eq!(with_prefix(20_600_000.0, "FLOP/s"), "20.6 MFLOP/s");
    }
}
