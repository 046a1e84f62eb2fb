//! What it would have cost at least to fake a claim: the cheapest devices that together could
//! have done what was shown, by a list of prices.
//!
//! Guarantees: pure; no cheaper devices of the list could have done it, to within a
//! thousandth, by what the table says that they can do at most; work that does not depend on
//! how many lanes and prices there are, beyond which the cheapest that was found counts.
//! Deliberately lacks: prices of its own, and whether a cheap fake is worth a rejection: the
//! policy's. And what it costs to make several devices answer as one.

use super::exclusion::{Need, largest, needs, whole};
use super::models::{self, Model};
use crate::protocol::verdict::{Equivalent, PriceShown, Shown};
use std::collections::BTreeMap;

/// Devices that are no cheaper than the best found by more than this share are not looked at.
const TOLERANCE: f64 = 1e-3;
/// Most steps of a search.
const STEPS_MAX: u32 = 200_000;

/// Prices of devices.
#[derive(Clone, Copy, Debug)]
pub struct PriceList<'a> {
    /// As people name it.
    pub currency: &'a str,
    /// Of one device for an hour, by the model's name. What is not above 0 does not count.
    pub per_hour: &'a BTreeMap<String, f64>,
}

impl PriceList<'_> {
    /// The price of a device of this model.
    pub fn of(&self, name: &str) -> Option<f64> {
        let found = self.per_hour.iter().find(|(listed, _)| models::is_same_name(listed, name));
        found.map(|(_, &price)| price).filter(|price| price.is_finite() && *price > 0.0)
    }
}

/// The price of the devices that are `claimed`, one name a lane, beside the least for which
/// what was shown could have been done; `None` if a claimed model has no price or nothing was
/// shown.
pub fn of(shown: &Shown, claimed: &[&str], list: &PriceList<'_>) -> Option<PriceShown> {
    let claimed_per_hour: Option<f64> = claimed.iter().map(|name| list.of(name)).sum();
    let claimed_per_hour = claimed_per_hour.filter(|price| *price > 0.0)?;
    let (cheapest_per_hour, cheapest) = Search::among(offers(shown, list)).cheapest()?;
    let currency = list.currency.to_owned();
    Some(PriceShown { currency, claimed_per_hour, cheapest_per_hour, cheapest })
}

/// A model that has a price.
struct Offer {
    model: &'static Model,
    price: f64,
    /// The share of each kind's work that one device does.
    shares: Vec<f64>,
    /// Devices that do all of it alone.
    alone: u64,
}

/// Of each model with a price, the cheapest alone first.
fn offers(shown: &Shown, list: &PriceList<'_>) -> Vec<Offer> {
    let offer = |model: &'static Model| {
        let (price, needs) = (list.of(&model.name)?, needs(shown, model));
        let alone = whole(largest(&needs, |need| need.all_lanes));
        let share = |need: &Need| if need.all_lanes > 0.0 { 1.0 / need.all_lanes } else { 1.0 };
        let shares = needs.iter().map(share).collect();
        (!needs.is_empty()).then_some(Offer { model, price, shares, alone })
    };
    let mut offers: Vec<Offer> = models::all().iter().filter_map(offer).collect();
    offers.sort_by(|a, b| (a.price * a.alone as f64).total_cmp(&(b.price * b.alone as f64)));
    offers
}

/// Looks for the devices that together do all of the work of every kind for the least price:
/// depth first, a branch being left when what is missing, bought where that kind is cheapest, would
/// make it no cheaper than what is known.
struct Search {
    offers: Vec<Offer>,
    /// Of each offer and those behind it, the least price of each kind's whole work.
    least: Vec<Vec<f64>>,
    best: Option<(f64, Vec<u64>)>,
    steps: u32,
}

impl Search {
    fn among(offers: Vec<Offer>) -> Self {
        let kinds = offers.first().map_or(0, |offer| offer.shares.len());
        let mut least = vec![vec![f64::INFINITY; kinds]];
        for offer in offers.iter().rev() {
            let behind = least.last().expect("it starts with one");
            let prices = offer.shares.iter().zip(behind);
            least.push(prices.map(|(share, &behind)| behind.min(offer.price / share)).collect());
        }
        least.reverse();
        let best = offers.first().map(|offer| {
            let counts = (0..offers.len()).map(|at| if at == 0 { offer.alone } else { 0 });
            (offer.price * offer.alone as f64, counts.collect())
        });
        Self { offers, least, best, steps: 0 }
    }

    fn cheapest(mut self) -> Option<(f64, Vec<Equivalent>)> {
        let missing = vec![1.0; self.offers.first()?.shares.len()];
        self.step(0, &missing, 0.0, &mut Vec::new());
        let (price, counts) = self.best?;
        let devices = self.offers.iter().zip(counts).filter(|(_, count)| *count > 0);
        let named =
            |(offer, count): (&Offer, u64)| Equivalent { model: offer.model.name.clone(), count };
        Some((price, devices.map(named).collect()))
    }

    fn step(&mut self, at: usize, missing: &[f64], spent: f64, counts: &mut Vec<u64>) {
        self.steps += 1;
        let best = self.best.as_ref().map_or(f64::INFINITY, |(price, _)| *price);
        // A rounding error is no missing work.
        let open = |share: f64| share > 1e-12;
        if !missing.iter().any(|&share| open(share)) {
            if spent < best {
                let mut counts = counts.clone();
                counts.resize(self.offers.len(), 0);
                self.best = Some((spent, counts));
            }
            return;
        }
        let rest = missing.iter().zip(&self.least[at]);
        let rest = rest.filter(|(share, _)| open(**share)).map(|(share, least)| share * least);
        let bound = spent + rest.fold(0.0, f64::max);
        if bound >= best * (1.0 - TOLERANCE) || self.steps > STEPS_MAX {
            return;
        }
        let Offer { price, ref shares, .. } = self.offers[at];
        let shares = shares.clone();
        let all = missing.iter().zip(&shares).map(|(missing, share)| missing / share);
        let most = whole(all.fold(0.0, f64::max) - 1e-9);
        for count in (0..=most).rev() {
            let devices = count as f64;
            let left: Vec<f64> = missing
                .iter()
                .zip(&shares)
                .map(|(missing, share)| missing - devices * share)
                .collect();
            counts.push(count);
            self.step(at + 1, &left, spent + devices * price, counts);
            counts.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: &str = "NVIDIA H200";
    const V100: &str = "Tesla V100-SXM2-16GB";
    const L40S: &str = "NVIDIA L40S";
    const A100: &str = "NVIDIA A100-SXM4-80GB";

    fn list(prices: &[(&str, f64)]) -> BTreeMap<String, f64> {
        prices.iter().map(|(name, price)| ((*name).to_owned(), *price)).collect()
    }

    /// What an H200 showed, a lane.
    fn session(lanes: u32) -> Shown {
        Shown {
            lanes,
            fp64_flops: Some(53_100_000_000_000),
            int8_ops_per_s: Some(861_000_000_000_000),
            held_bytes: Some(121_711_668_705),
            held_at_once: true,
            read_bytes_per_s: Some(4_104_000_000_000),
            memory_bytes_per_s: Some(3_950_000_000_000),
            ..Shown::default()
        }
    }

    fn price(shown: &Shown, claimed: &[&str], prices: &[(&str, f64)]) -> Option<PriceShown> {
        of(shown, claimed, &PriceList { currency: "USD", per_hour: &list(prices) })
    }

    fn devices(shown: &PriceShown) -> Vec<(&str, u64)> {
        shown.cheapest.iter().map(|of| (of.model.as_str(), of.count)).collect()
    }

    /// Every combination of counts up to `most`.
    fn by_hand(shown: &Shown, prices: &[(&str, f64)], most: u64) -> f64 {
        let rows: Vec<(Vec<Need>, f64)> = prices
            .iter()
            .map(|(name, price)| (needs(shown, models::find(name).unwrap()), *price))
            .collect();
        let combinations = (most + 1).pow(rows.len() as u32);
        let counts = |index: u64| {
            (0..rows.len()).map(move |at| index / (most + 1).pow(at as u32) % (most + 1))
        };
        let does = |index: u64| {
            (0..rows[0].0.len()).all(|kind| {
                let done = rows.iter().zip(counts(index));
                done.map(|((needs, _), count)| count as f64 / needs[kind].all_lanes).sum::<f64>()
                    >= 1.0
            })
        };
        (0..combinations)
            .filter(|&index| does(index))
            .map(|index| rows.iter().zip(counts(index)).map(|((_, p), n)| p * n as f64).sum())
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_cheapest_is_found_among_mixed_devices() {
        let prices = [(H200, 3.5), (V100, 0.2), (L40S, 0.6), (A100, 1.3)];
        for lanes in [1, 2] {
            let claimed = vec![H200; lanes as usize];
            let found = price(&session(lanes), &claimed, &prices).unwrap();
            let expected = by_hand(&session(lanes), &prices, 16);
            assert!((found.cheapest_per_hour / expected - 1.0).abs() <= TOLERANCE, "{found:?}");
            assert!(found.cheapest_per_hour < f64::from(lanes) * 3.5, "{found:?}");
            let sum: f64 = devices(&found)
                .iter()
                .map(|(name, count)| {
                    prices.iter().find(|row| row.0 == *name).unwrap().1 * *count as f64
                })
                .sum();
            assert!((sum - found.cheapest_per_hour).abs() < 1e-9);
        }
        // Whatever one kind takes, another model does cheaper: no single model is best.
        let mixed = [(A100, 1.0), (L40S, 1.0)];
        let two = price(&session(1), &[A100], &mixed).unwrap();
        assert!((two.cheapest_per_hour - by_hand(&session(1), &mixed, 8)).abs() < 1e-9);
    }

    #[test]
    fn an_honest_claim_costs_no_more_than_itself() {
        let alone = price(&session(8), &[H200; 8], &[(H200, 3.5)]).unwrap();
        // 121.7 GB of 141 GiB: seven H200s would have done.
        assert_eq!(devices(&alone), [(H200, 7)]);
        assert_eq!((alone.claimed_per_hour, alone.cheapest_per_hour), (28.0, 24.5));
        assert!((alone.share() - 0.875).abs() < 1e-12);
        let one = price(&session(1), &["H200"], &[(H200, 3.5), (A100, 1.9)]).unwrap();
        assert_eq!(devices(&one), [(H200, 1)], "older drivers leave out the vendor");
    }

    #[test]
    fn without_prices_or_evidence_there_is_no_price() {
        assert_eq!(price(&session(1), &[H200], &[(A100, 1.0)]), None);
        assert_eq!(price(&session(2), &[H200, A100], &[(A100, 1.0)]), None);
        assert_eq!(price(&Shown { lanes: 1, ..Shown::default() }, &[H200], &[(H200, 1.0)]), None);
        for no_price in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(price(&session(1), &[H200], &[(H200, no_price)]), None);
        }
    }

    #[test]
    fn a_search_among_all_models_and_for_many_lanes_ends() {
        let all: Vec<(&str, f64)> = models::all()
            .iter()
            .zip(1..)
            .map(|(model, n)| (model.name.as_str(), 0.1 + 0.07 * f64::from(n)))
            .collect();
        for lanes in [1, 64] {
            let found = price(&session(lanes), &vec![H200; lanes as usize], &all).unwrap();
            assert!(found.cheapest_per_hour <= found.claimed_per_hour);
        }
    }
}
