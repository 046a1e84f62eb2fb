//! The dies that signed a result's reports, in the ledger.
//!
//! Guarantees: a live session's dies are on record, durably, before its verdict is.
//! Deliberately lacks: judgement, and dies of reports that do not hold.

use crate::ledger::{HistoryFinding, Ledger, LedgerError, Sighting};
use crate::protocol::verified::Verified;
use std::fmt;
use std::time::Duration;

/// Where dies are looked up.
#[derive(Clone, Copy)]
pub struct DieRecords<'a> {
    /// What the validator remembers.
    pub ledger: &'a dyn Ledger,
    /// The time, ms since 1970.
    pub now_unix_ms: u64,
    /// Whether they are recorded, too.
    pub keeping: Keeping,
}

/// Whether dies are recorded when they are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// They are: a live session is about to be settled.
    Record,
    /// They are not: nothing is settled, or the settlement records them.
    Look,
}

impl DieRecords<'_> {
    /// What does not fit the history of the dies of `devices`, the devices of `verified`.
    pub(super) fn findings(
        &self,
        devices: &[Sighting],
        verified: &Verified,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        if devices.iter().all(|device| device.die.is_none()) {
            return Ok(Vec::new());
        }
        let c = verified.challenge().digest();
        match self.keeping {
            Keeping::Record => self.ledger.sign(&c, devices, self.now_unix_ms, window),
            Keeping::Look => {
                let found = self.ledger.history(&c, devices, self.now_unix_ms, window)?;
                Ok(found.into_iter().filter(|finding| finding.code.is_of_die()).collect())
            }
        }
    }
}

impl fmt::Debug for DieRecords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now_unix_ms, keeping, .. } = self;
        let mut shown = f.debug_struct("DieRecords");
        shown.field("now_unix_ms", now_unix_ms).field("keeping", keeping).finish_non_exhaustive()
    }
}
