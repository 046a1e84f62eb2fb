//! The network part: between the last pong and the first challenge.
//!
//! Guarantees: a direction's clock runs from its first byte to the miner's word that all have
//! come, or to the last byte, by this side's clock; nothing that goes back counts that came
//! before it was asked for.

use super::{Action, Cause, Raised, State, ValidatorSession};
use crate::protocol::digest::Digest;
use crate::protocol::verdict::NetworkShown;
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode};
use crate::session::message::{FromMiner, FromValidator, ROUNDS_VERSION, line_of};
use crate::session::network::{Broken, Incoming, Key, Outgoing, limit};
use std::time::Duration;

/// What is asked of the network.
#[derive(Clone)]
pub struct NetworkAsk {
    /// Bytes each way, at least 1.
    pub bytes: u64,
    /// Of the stream to the miner, and of the one back; nobody else knows them.
    pub keys: [Key; 2],
}

impl std::fmt::Debug for NetworkAsk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkAsk").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// One direction at a time.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) until: Duration,
    since: Duration,
    ask: NetworkAsk,
    way: Way,
}

#[derive(Debug)]
enum Way {
    ToMiner(Outgoing),
    Back { stream: Incoming, to_miner_bytes_per_s: u64 },
}

impl From<Broken> for Cause {
    fn from(broken: Broken) -> Self {
        Fault::new(FaultCode::NetworkMismatch, broken).into()
    }
}

impl ValidatorSession {
    /// After the last pong: the network part, if there is one, or else the first challenge.
    pub(super) fn after_pongs(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Raised> {
        let ask = self.network_ask.take().filter(|ask| ask.bytes > 0);
        let Some(ask) = ask.filter(|_| self.version >= ROUNDS_VERSION) else {
            return self.next_turn(out);
        };
        let since = now.since_start;
        out.push(Action::Send(line_of(&FromValidator::Network { bytes: ask.bytes })));
        let mut stream = Outgoing::new(ask.keys[0], ask.bytes);
        send_pieces(&mut stream, out);
        let until = since.saturating_add(limit(ask.bytes));
        let exchange = Exchange { until, since, ask, way: Way::ToMiner(stream) };
        self.state = State::Network(Box::new(exchange));
        Ok(())
    }

    /// A message of the miner's in the network part.
    pub(super) fn on_exchange(
        &mut self,
        now: Now,
        message: FromMiner,
        kind: &str,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let unexpected = self.unexpected(kind);
        let State::Network(exchange) = &mut self.state else { return Err(unexpected.into()) };
        let took = now.since_start.saturating_sub(exchange.since);
        let rate = bytes_per_s(exchange.ask.bytes, took);
        match (&mut exchange.way, message) {
            (Way::ToMiner(stream), FromMiner::Received { bytes }) => {
                stream.received(bytes)?;
                send_pieces(stream, out);
            }
            (Way::ToMiner(stream), FromMiner::Digest { digest }) if stream.is_received() => {
                if digest != stream.digest() {
                    let detail = "the hash of what came is not that of what was sent";
                    return Err(Fault::new(FaultCode::NetworkMismatch, detail).into());
                }
                if !self.input.is_empty() {
                    let detail = "bytes came back before they were asked for";
                    return Err(Fault::new(FaultCode::Flooded, detail).into());
                }
                let [_, key] = exchange.ask.keys;
                let stream = Incoming::known(key, exchange.ask.bytes);
                out.push(Action::Send(line_of(&FromValidator::SendBack { key: Digest(key) })));
                exchange.way = Way::Back { stream, to_miner_bytes_per_s: rate };
                exchange.since = now.since_start;
                exchange.until = now.since_start.saturating_add(limit(exchange.ask.bytes));
            }
            (Way::Back { stream, to_miner_bytes_per_s }, FromMiner::Piece { data }) => {
                let bytes = stream.take(&data)?;
                out.push(Action::Send(line_of(&FromValidator::Received { bytes })));
                if stream.is_complete() {
                    let to_miner_bytes_per_s = *to_miner_bytes_per_s;
                    let bytes_each_way = exchange.ask.bytes;
                    self.network = Some(NetworkShown {
                        bytes_each_way,
                        to_miner_bytes_per_s,
                        to_validator_bytes_per_s: rate,
                    });
                    self.next_turn(out)?;
                }
            }
            _ => return Err(unexpected.into()),
        }
        Ok(())
    }
}

/// As many as the window takes.
fn send_pieces(stream: &mut Outgoing, out: &mut Vec<Action>) {
    let line = |data| Action::Send(line_of(&FromValidator::Piece { data }));
    out.extend(stream.pieces().map(line));
}

/// Rounded down; a clock that has not moved shows nothing.
fn bytes_per_s(bytes: u64, took: Duration) -> u64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 }
}
