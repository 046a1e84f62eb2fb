//! What a session has around it: whom it is with, what a transport adds to its streams, and
//! what is told of it.

use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::names::Commitment;
use crate::protocol::signature::PublicKey;
use crate::protocol::verdict::Verdict;
use crate::session::clock::Stamps;
use crate::session::message::MinerHello;
use std::pin::Pin;
use std::time::Duration;

/// Whom a session is with, as far as its transport knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peering {
    /// The key that it has proven.
    pub key: Option<PublicKey>,
    /// Where it is, as in [`Meeting::address`](crate::ledger::Meeting::address).
    pub address: Option<String>,
}

/// Whether a session is to go on.
pub type GoesOn = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What is asked before the first challenge of a session goes out.
pub struct Start {
    /// Asked with its digest before it is put on record.
    pub named: Box<dyn FnOnce(Digest) -> GoesOn + Send>,
    /// Asked once it is on record.
    pub recorded: GoesOn,
}

/// What a transport adds to its streams.
#[derive(Default)]
pub struct Extras {
    /// When what the reader hands out came, if the transport knows better than the reader.
    pub stamps: Option<Stamps>,
    /// Whether and when the first challenge may be sent: at once if absent.
    pub start: Option<Start>,
}

/// How far a session has come, for whoever watches.
#[derive(Debug)]
pub enum Stage<'a> {
    /// The miner is there; the round trip is measured.
    Met(&'a MinerHello, Duration),
    /// The challenge of the round of this number, from 0, is out.
    Challenged(usize, &'a Challenge),
    /// The commitment of the round of this number is there.
    Committed(usize, &'a Commitment),
    /// The coin of the round of this number is out.
    CoinSent(usize),
    /// The complete result of a round is there: the round's number, and how many openings it has.
    Complete(usize, usize),
    /// The round of this number is judged.
    Judged(usize, &'a Verdict),
}
