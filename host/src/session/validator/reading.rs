//! Reading the lines of a miner whose length the challenge sets: parsing, hashing and
//! checking a signature, apart from the session, so that it can be done where it holds
//! up nobody.
//!
//! Guarantees: what is read is bounded while it is read, by the challenge and by
//! [`VALUES_MAX`].
//! Deliberately lacks: clocks, and any order of messages; a line comes with what was
//! awaited when it came.
//!
//! [`VALUES_MAX`]: crate::protocol::evidence::VALUES_MAX

use crate::ledger::NO_COMMITMENT;
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::{CANONICAL_BYTES_MAX, VALUES_MAX};
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::{Reason, Rejection};
use crate::protocol::result::ResultDoc;
use crate::protocol::signature::miner_message;
use crate::session::fault::{Fault, FaultCode};
use crate::session::message::{FromMiner, kind_of};

/// Most bytes that a parsed value takes beside its text: an object of one member has a
/// node of its own.
const VALUE_BYTES: u64 = 400;

/// A line that came while a commitment or openings were awaited.
#[derive(Debug)]
pub struct Reading {
    /// The number of the round that it is of.
    pub round: usize,
    pub(super) line: Vec<u8>,
    pub(super) challenge: Challenge,
    pub(super) awaited: Awaited,
}

/// What the line should be.
#[derive(Debug)]
pub(super) enum Awaited {
    Commitment,
    Openings(Box<CommitmentPart>),
}

/// What the line was.
#[derive(Debug)]
pub enum Content {
    /// A well-formed commitment, signed if the challenge names a miner.
    Commitment(CommitmentPart),
    /// The openings, with the commitment: the complete result.
    Result(ResultDoc),
}

/// Why the line was not accepted as either.
#[derive(Debug)]
pub enum NotRead {
    /// It does not belong here.
    Fault(Fault),
    /// It is a commitment, or openings, and not a valid one.
    Rejection(Rejection),
}

impl From<Fault> for NotRead {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<Rejection> for NotRead {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}

impl Reading {
    /// The most bytes that reading takes: the line, what becomes of it, and evidence
    /// parsed and in canonical form.
    pub fn cost_bytes(&self) -> u64 {
        2 * self.line.len() as u64 + CANONICAL_BYTES_MAX as u64 + VALUE_BYTES * VALUES_MAX as u64
    }

    /// Reads the line. Takes some time: up to a few times that of parsing its bytes.
    ///
    /// # Errors
    /// [`NotRead`].
    pub fn read(self) -> Result<Box<Content>, NotRead> {
        let Self { line, challenge, awaited, .. } = self;
        let kind = kind_of(&line)?;
        let content = match (awaited, kind) {
            (Awaited::Commitment, "commitment") => {
                Content::Commitment(read_commitment(&line, &challenge)?)
            }
            (Awaited::Openings(part), "openings") => {
                Content::Result(part.complete(&line, &challenge).map_err(Rejection::from)?)
            }
            (Awaited::Openings(_), "commitment") => {
                let detail = "a second commitment came";
                return Err(Fault::new(FaultCode::AnsweredTwice, detail).into());
            }
            (awaited, _) => return Err(other(awaited, &line, kind).into()),
        };
        Ok(Box::new(content))
    }
}

fn read_commitment(line: &[u8], challenge: &Challenge) -> Result<CommitmentPart, Rejection> {
    let part = CommitmentPart::read(line, challenge)?;
    let (c, commitment) = (challenge.digest(), part.commitment());
    if let (Some(key), Some(signature)) = (challenge.miner_id(), part.miner_signature())
        && !key.verifies(&miner_message(&c, &commitment), &signature)
    {
        let detail = format!("miner_signature does not verify for {commitment}");
        return Err(Rejection::new(Reason::SignatureInvalid, detail));
    }
    if commitment == NO_COMMITMENT {
        let detail = "a commitment of zeros is invalid";
        return Err(Rejection::new(Reason::CommitmentMismatch, detail));
    }
    Ok(part)
}

/// What any other line is.
fn other(awaited: Awaited, line: &[u8], kind: &str) -> Fault {
    let message = match kind {
        "commitment" | "openings" => None,
        _ => match FromMiner::read(line) {
            Ok(message) => Some(message),
            Err(fault) => return fault,
        },
    };
    if let Some(FromMiner::Failed { text }) = message {
        return Fault::new(FaultCode::MinerFailed, format!("the miner says: {text}"));
    }
    let awaited = match awaited {
        Awaited::Commitment => "commitment",
        Awaited::Openings(_) => "openings",
    };
    Fault::new(FaultCode::UnexpectedMessage, format!("expected {awaited}, got {kind}"))
}
