//! What is on record, in memory: so that whoever looks costs the ledger nothing.
//!
//! Guarantees: as many challenges as asked for and [`MEETINGS_MAX`] meetings at most, the
//! newest, without tokens and verdicts' text; only what has changed is read again.

use crate::ledger::{Ending, Entry, Ledger, LedgerError, Mark, Meeting, MeetingFilter, Met};
use crate::ledger::{RECALL_MAX, Seen};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::Shown;
use crate::report::Told;
use crate::report::history::{End, Row, reason};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Meetings that are kept.
const MEETINGS_MAX: usize = 2000;
/// Longest text of one claim, characters.
const TEXT_MAX: usize = 400;
/// Claims that are kept of one challenge.
const CLAIMS_MAX: usize = 64;

/// One challenge.
#[derive(Debug)]
pub(super) struct Record {
    /// Without token and verdict.
    pub(super) entry: Entry,
    pub(super) devices: Vec<Seen>,
    pub(super) shown: Option<Shown>,
    /// What the miner claims of its lanes.
    pub(super) claims: Vec<String>,
    /// The claims in small letters.
    pub(super) claims_text: String,
    /// All that can be looked for, in small letters.
    pub(super) text: String,
    mark: Mark,
}

impl Record {
    fn new(mut entry: Entry, devices: Vec<Seen>, mark: Mark) -> Self {
        let told = entry.verdict_json.take().and_then(|json| Told::read(&json).ok());
        entry.token = String::new();
        let cut = |text: &str| text.chars().take(TEXT_MAX).collect::<String>();
        let mut claims: Vec<String> = Vec::new();
        if let Some(told) = &told {
            claims.extend(told.claims_of_lanes().take(CLAIMS_MAX).map(cut));
        }
        let claims_text = claims.join("\n").to_lowercase();
        let mut text = vec![entry.challenge.to_string(), claims_text.clone()];
        let miners = [entry.miner, devices.first().and_then(|seen| seen.device.miner)];
        text.extend(miners.into_iter().flatten().map(|key| key.to_string()));
        text.extend(reason(&entry).map(str::to_lowercase));
        for Seen { device, .. } in &devices {
            text.push(device.uuid.to_string());
            let others = [&device.serial, &device.pci, &device.host];
            text.extend(others.into_iter().flatten().map(|other| other.to_lowercase()));
        }
        Self {
            shown: told.as_ref().and_then(Told::shown),
            claims,
            claims_text,
            text: text.join("\n"),
            entry,
            devices,
            mark,
        }
    }

    /// The miner that it is bound to; before its verdict, the one that named its devices.
    pub(super) fn miner(&self) -> Option<EncodedKey> {
        self.entry.miner.or_else(|| self.devices.first()?.device.miner)
    }

    /// Whether device `uuid` was named for it.
    pub(super) fn names(&self, uuid: Uuid) -> bool {
        self.devices.iter().any(|seen| seen.device.uuid == uuid)
    }

    /// What the miner claims of device `uuid`, without the name itself.
    pub(super) fn claim_of(&self, uuid: Uuid) -> Option<String> {
        let uuid = uuid.to_string();
        let claim = self.claims.iter().find(|claim| claim.contains(&uuid))?;
        let claim = claim.replacen(&format!(", uuid {uuid}"), "", 1);
        Some(claim.split_once(": ").map_or(claim.as_str(), |(_, of_lane)| of_lane).to_owned())
    }
}

/// A challenge, and how it stands now.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) record: Arc<Record>,
    pub(super) end: End,
}

impl Item {
    /// As reports have it.
    pub(super) fn row(&self) -> Row<'_> {
        let Record { entry, devices, shown, .. } = &*self.record;
        Row { entry, devices, end: self.end, shown: *shown }
    }
}

/// The newest of what is on record.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Changes with what it has; never the same in two runs of the program.
    pub(super) revision: u64,
    /// When it was read, ms since 1970.
    pub(super) read_unix_ms: u64,
    /// The newest first.
    pub(super) items: Vec<Item>,
    /// The newest first.
    pub(super) meetings: VecDeque<Met>,
    /// Older challenges are on record.
    pub(super) is_cut: bool,
    addresses: HashMap<Digest, String>,
}

impl Snapshot {
    /// Reads what has changed since `self`.
    pub(super) fn refreshed(
        &self,
        ledger: &dyn Ledger,
        newest: u32,
        now_unix_ms: u64,
    ) -> Result<Self, LedgerError> {
        let mut marks = ledger.marks(newest + 1)?;
        let is_cut = marks.len() > newest as usize;
        marks.truncate(newest as usize);
        let known: HashMap<Digest, &Arc<Record>> =
            self.items.iter().map(|item| (item.record.entry.challenge, &item.record)).collect();
        let is_known = |mark: &Mark| known.get(&mark.challenge).is_some_and(|at| at.mark == *mark);
        let changed: Vec<Mark> = marks.iter().copied().filter(|mark| !is_known(mark)).collect();
        let mut read: HashMap<Digest, Arc<Record>> = HashMap::new();
        for some in changed.chunks(RECALL_MAX) {
            let names: Vec<Digest> = some.iter().map(|mark| mark.challenge).collect();
            for (entry, devices) in ledger.recall(&names)? {
                let Some(mark) = some.iter().find(|mark| mark.challenge == entry.challenge) else {
                    continue;
                };
                let record = Record::new(entry, devices, *mark);
                read.insert(mark.challenge, Arc::new(record));
            }
        }
        // What was pruned meanwhile is in neither.
        let record = |mark: &Mark| {
            let record = read.get(&mark.challenge).or_else(|| known.get(&mark.challenge).copied());
            record.map(Arc::clone)
        };
        let item = |record: Arc<Record>| {
            let end = End::of(&record.entry, now_unix_ms);
            Item { record, end }
        };
        let items: Vec<Item> = marks.iter().filter_map(record).map(item).collect();
        let (meetings, new_meetings) = self.meetings(ledger)?;
        let mut next = Self {
            revision: self.revision,
            read_unix_ms: now_unix_ms,
            items,
            meetings,
            is_cut,
            addresses: HashMap::new(),
        };
        next.addresses = next.meetings.iter().filter_map(|met| address(&met.meeting)).collect();
        if new_meetings || is_cut != self.is_cut || !next.stands_as(self) {
            next.revision = (self.revision + 1).max(now_unix_ms);
        }
        Ok(next)
    }

    fn stands_as(&self, other: &Self) -> bool {
        let same = |(a, b): (&Item, &Item)| a.end == b.end && Arc::ptr_eq(&a.record, &b.record);
        self.items.len() == other.items.len() && self.items.iter().zip(&other.items).all(same)
    }

    /// The newest meetings, and whether there are new ones.
    fn meetings(&self, ledger: &dyn Ledger) -> Result<(VecDeque<Met>, bool), LedgerError> {
        let last = self.meetings.front().map(|met| met.number);
        let mut filter = MeetingFilter { limit: 200, ..MeetingFilter::default() };
        let mut new: VecDeque<Met> = VecDeque::new();
        'all: while new.len() < MEETINGS_MAX {
            let page = ledger.meetings(&filter)?;
            let Some(end) = page.last() else { break };
            filter.before = Some(end.number);
            for met in page {
                if last.is_some_and(|last| met.number <= last) {
                    break 'all;
                }
                new.push_back(met);
            }
        }
        let any = !new.is_empty();
        new.extend(self.meetings.iter().cloned());
        new.truncate(MEETINGS_MAX);
        Ok((new, any))
    }

    /// From where the miner of a challenge answered, if that is known.
    pub(super) fn address(&self, entry: &Entry) -> Option<&str> {
        let session = entry.round.map_or(entry.challenge, |of| of.session);
        self.addresses.get(&session).map(String::as_str)
    }

    /// How many challenges ended so.
    pub(super) fn count(&self, end: End) -> usize {
        self.items.iter().filter(|item| item.end == end).count()
    }
}

fn address(meeting: &Meeting) -> Option<(Digest, String)> {
    match (&meeting.ending, &meeting.address) {
        (Ending::Challenged(c), Some(address)) => Some((*c, address.clone())),
        _ => None,
    }
}
