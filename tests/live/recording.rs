//! A ledger that writes down what it was asked, in order, and can be made to fail.

use attest::ledger::{
    self, Acceptance, Accepting, Dodges, Entry, Filter, HistoryFinding, Ledger, LedgerError,
    Location, Mark, Meeting, MeetingFilter, Met, Peer, Pruned, Pruning, RoundOf, Seen, Settlement,
    Sighting,
};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::IssuerRecord;
use attest::protocol::digest::Digest;
use attest::protocol::names::Commitment;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A real ledger in a folder of its own.
pub struct Recording {
    inner: Arc<dyn Ledger>,
    steps: Mutex<Vec<(Digest, &'static str)>>,
    fails_at: Option<&'static str>,
    /// The step that is done once without a word of it.
    silent_at: Mutex<Option<&'static str>>,
    /// How long every step takes beside its own time.
    slow_by: Duration,
    meetings: Mutex<Vec<Meeting>>,
    _folder: tempfile::TempDir,
}

impl Recording {
    pub fn new() -> Arc<Self> {
        Self::failing_at(None)
    }

    /// One whose step of this name fails.
    pub fn failing_at(step: impl Into<Option<&'static str>>) -> Arc<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::File(folder.path().join("ledger.sqlite"));
        let inner = ledger::open(&location).expect("a ledger");
        let steps = Mutex::default();
        let (fails_at, slow_by) = (step.into(), Duration::ZERO);
        let meetings = Mutex::default();
        let silent_at = Mutex::default();
        Arc::new(Self { inner, steps, fails_at, silent_at, slow_by, meetings, _folder: folder })
    }

    /// One whose step of this name is done once, and nobody can know it.
    pub fn silent_at(step: &'static str) -> Arc<Self> {
        let ledger = Self::new();
        *ledger.silent_at.lock().unwrap() = Some(step);
        ledger
    }

    /// One whose every step takes this long.
    pub fn slow(slow_by: Duration) -> Arc<Self> {
        let mut ledger = Self::new();
        Arc::get_mut(&mut ledger).expect("nobody else has it").slow_by = slow_by;
        ledger
    }

    /// The meetings that were put on record, in order.
    pub fn met(&self) -> Vec<Meeting> {
        self.meetings.lock().unwrap().clone()
    }

    /// The steps of all challenges, in the order in which they came.
    pub fn steps(&self) -> Vec<&'static str> {
        self.steps.lock().unwrap().iter().map(|(_, step)| *step).collect()
    }

    /// All challenges on record.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner.list(&Filter::default()).expect("a list")
    }

    /// The only challenge on record.
    pub fn only(&self) -> Entry {
        let [entry] = <[Entry; 1]>::try_from(self.entries()).expect("one challenge");
        entry
    }

    fn step(&self, c: &Digest, what: &'static str) -> Result<(), LedgerError> {
        if self.fails_at == Some(what) {
            let cause = "made to fail".to_owned();
            return Err(LedgerError::Order { challenge: *c, what, cause });
        }
        std::thread::sleep(self.slow_by);
        self.steps.lock().unwrap().push((*c, what));
        Ok(())
    }

    /// What is answered after a step that came to `done`.
    fn answer<T>(&self, what: &'static str, done: T) -> Result<T, LedgerError> {
        match self.silent_at.lock().unwrap().take_if(|silent| *silent == what) {
            None => Ok(done),
            Some(what) => {
                let (location, cause) = ("a test".to_owned(), "made silent".to_owned());
                Err(LedgerError::Unknown { location, what, cause })
            }
        }
    }
}

impl Ledger for Recording {
    fn issue_round(
        &self,
        challenge: &Challenge,
        token: &str,
        at: u64,
        round: Option<RoundOf>,
    ) -> Result<(), LedgerError> {
        self.step(&challenge.digest(), "issue")?;
        self.inner.issue_round(challenge, token, at, round)?;
        self.answer("issue", ())
    }

    fn record(&self, c: &Digest) -> Result<Option<IssuerRecord>, LedgerError> {
        self.inner.record(c)
    }

    fn accept_session(
        &self,
        c: &Digest,
        accepting: &Accepting<'_>,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError> {
        self.step(c, "accept_session")?;
        self.answer("accept_session", self.inner.accept_session(c, accepting)?)
    }

    fn history(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        self.inner.history(c, devices, now, window)
    }

    fn marks(&self, newest: u32) -> Result<Vec<Mark>, LedgerError> {
        self.inner.marks(newest)
    }

    fn recall(&self, challenges: &[Digest]) -> Result<Vec<(Entry, Vec<Seen>)>, LedgerError> {
        self.inner.recall(challenges)
    }

    fn sign(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        self.step(c, "sign")?;
        self.inner.sign(c, devices, now, window)
    }

    fn settle(&self, c: &Digest, settlement: &Settlement) -> Result<(), LedgerError> {
        self.step(c, "settle")?;
        self.inner.settle(c, settlement)?;
        self.answer("settle", ())
    }

    fn settle_offline(
        &self,
        c: &Digest,
        commitment: &Commitment,
        at: u64,
        devices: &[Sighting],
        window: Duration,
        settlement: &Settlement,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError> {
        self.inner.settle_offline(c, commitment, at, devices, window, settlement)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Entry>, LedgerError> {
        self.inner.list(filter)
    }

    fn show(&self, c: &Digest) -> Result<Option<(Entry, Vec<Seen>)>, LedgerError> {
        self.inner.show(c)
    }

    fn meet(&self, meeting: &Meeting) -> Result<(), LedgerError> {
        self.meetings.lock().unwrap().push(meeting.clone());
        self.inner.meet(meeting)
    }

    fn dodges(&self, peer: Peer, at: Option<&str>, since: u64) -> Result<Dodges, LedgerError> {
        self.inner.dodges(peer, at, since)
    }

    fn meetings(&self, filter: &MeetingFilter) -> Result<Vec<Met>, LedgerError> {
        self.inner.meetings(filter)
    }

    fn prune(&self, before: u64, now: u64, pruning: Pruning) -> Result<Pruned, LedgerError> {
        self.inner.prune(before, now, pruning)
    }
}
