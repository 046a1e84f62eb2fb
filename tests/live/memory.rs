//! A ledger in memory that writes down what it was asked, in order.

use attest::ledger::{Acceptance, HistoryFinding, Ledger, LedgerError, Settlement, Sighting};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{IssuerRecord, SessionRecord};
use attest::protocol::digest::Digest;
use std::collections::HashMap;
use std::sync::Mutex;

/// What is on record of one challenge.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub commitment: Option<Digest>,
    pub coin: Option<Digest>,
    pub settlement: Option<Settlement>,
    /// The steps, in the order in which they came.
    pub steps: Vec<&'static str>,
}

#[derive(Default)]
pub struct Memory(Mutex<HashMap<Digest, Entry>>);

impl Memory {
    /// The only challenge on record.
    pub fn only(&self) -> Entry {
        let entries = self.0.lock().unwrap();
        assert_eq!(entries.len(), 1);
        entries.values().next().unwrap().clone()
    }

    /// All challenges on record.
    pub fn all(&self) -> Vec<Entry> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn step<T>(
        &self,
        c: &Digest,
        what: &'static str,
        change: impl FnOnce(&mut Entry) -> Result<T, &'static str>,
    ) -> Result<T, LedgerError> {
        let mut entries = self.0.lock().unwrap();
        let wrong =
            |cause: &str| LedgerError::Order { challenge: *c, what, cause: cause.to_owned() };
        let entry = entries.get_mut(c).ok_or_else(|| wrong("not issued"))?;
        entry.steps.push(what);
        change(entry).map_err(wrong)
    }
}

impl Ledger for Memory {
    fn issue(&self, challenge: &Challenge, _: &str, _: u64) -> Result<(), LedgerError> {
        let entry = Entry { steps: vec!["issue"], ..Entry::default() };
        let before = self.0.lock().unwrap().insert(challenge.digest(), entry);
        assert!(before.is_none());
        Ok(())
    }

    fn record(&self, c: &Digest) -> Result<Option<IssuerRecord>, LedgerError> {
        Ok(self.0.lock().unwrap().get(c).map(|entry| IssuerRecord {
            nonce_spent_on: entry.commitment,
            session: entry
                .commitment
                .zip(entry.coin)
                .map(|(commitment, coin)| SessionRecord { commitment, coin }),
        }))
    }

    fn accept(&self, c: &Digest, commitment: &Digest, _: u64) -> Result<Acceptance, LedgerError> {
        self.step(c, "accept", |entry| {
            Ok(match entry.commitment {
                Some(before) => Acceptance::Spent(before),
                None => {
                    entry.commitment = Some(*commitment);
                    Acceptance::Accepted
                }
            })
        })
    }

    fn record_coin(&self, c: &Digest, coin: &Digest) -> Result<(), LedgerError> {
        self.step(c, "coin", |entry| match (entry.commitment, entry.coin) {
            (None, _) => Err("not accepted"),
            (_, Some(_)) => Err("a second coin"),
            _ => {
                entry.coin = Some(*coin);
                Ok(())
            }
        })
    }

    fn claim(
        &self,
        c: &Digest,
        devices: &[Sighting],
        _: u64,
        _: u64,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        assert!(!devices.is_empty());
        self.step(c, "claim", |_| Ok(Vec::new()))
    }

    fn settle(&self, c: &Digest, settlement: &Settlement) -> Result<(), LedgerError> {
        self.step(c, "settle", |entry| {
            entry.settlement.get_or_insert(settlement.clone());
            Ok(())
        })
    }
}
