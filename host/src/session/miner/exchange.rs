//! A miner's side of the network part.
//!
//! Guarantees: nothing of what comes is kept; no more goes back than was said to have come;
//! there is one network part a session.

use super::{Action, End, MinerSession, State};
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode};
use crate::session::message::{FromMiner, FromValidator, line_of};
use crate::session::network::{Broken, Incoming, NETWORK_BYTES_MAX, Outgoing, limit};
use crate::session::refusal::{Refusal, RefusalCode};

/// The network part: so many bytes each way, one way at a time.
#[derive(Debug)]
pub(super) enum Exchange {
    In(Incoming),
    /// They have come, and are to go back when the validator says so.
    Between(u64),
    Out(Outgoing),
    Over,
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        Self::Fault(Fault::new(FaultCode::NetworkMismatch, broken))
    }
}

impl MinerSession {
    /// So many bytes are to come, and as many to go back.
    pub(super) fn begin_exchange(&mut self, now: Now, bytes: u64) -> Result<(), End> {
        if bytes == 0 || bytes > NETWORK_BYTES_MAX {
            let detail =
                format!("{bytes} bytes are to come and go, from 1 to {NETWORK_BYTES_MAX} may");
            return Err(End::Refused(Refusal::new(RefusalCode::TooLarge, detail)));
        }
        self.exchange = Some(Exchange::In(Incoming::hashed(bytes)));
        self.network_until(now, bytes);
        Ok(())
    }

    fn network_until(&mut self, now: Now, bytes: u64) {
        let within = limit(bytes).saturating_add(self.terms.patience.next);
        self.go(State::Network, Some(now.since_start.saturating_add(within)));
    }

    /// A message of the validator's in the network part.
    pub(super) fn on_exchange(
        &mut self,
        now: Now,
        message: FromValidator,
        kind: &str,
        out: &mut Vec<Action>,
    ) -> Result<(), End> {
        let mut send = |message: FromMiner| out.push(Action::Send(line_of(&message)));
        match (self.exchange.as_mut(), message) {
            (Some(Exchange::In(stream)), FromValidator::Piece { data }) => {
                send(FromMiner::Received { bytes: stream.take(&data)? });
                if stream.is_complete() {
                    let digest = stream.digest().expect("it is hashed");
                    send(FromMiner::Digest { digest });
                    self.exchange = Some(Exchange::Between(stream.total()));
                }
            }
            (Some(&mut Exchange::Between(total)), FromValidator::SendBack { key }) => {
                let mut stream = Outgoing::new(key.0, total);
                stream.pieces().for_each(|data| send(FromMiner::Piece { data }));
                self.exchange = Some(Exchange::Out(stream));
                self.network_until(now, total);
            }
            (Some(Exchange::Out(stream)), FromValidator::Received { bytes }) => {
                stream.received(bytes)?;
                stream.pieces().for_each(|data| send(FromMiner::Piece { data }));
                if stream.is_received() {
                    self.exchange = Some(Exchange::Over);
                    let next = now.since_start.saturating_add(self.terms.patience.next);
                    self.go(State::Challenge, Some(next));
                }
            }
            _ => {
                let detail = format!("{kind} does not come next in the network part");
                return Err(self.fault(FaultCode::UnexpectedMessage, detail));
            }
        }
        Ok(())
    }
}
