//! A session's two streams over NATS: frames out and in, until both sides are done.
//!
//! Guarantees: what comes is stamped where it is received; what is lost on a connection that
//! is found again is sent again; no more is kept than two windows.
//! Deliberately lacks: knowledge of messages, and of the peer.

use super::frame::{CHUNK_BYTES_MAX, Got, Incoming, Outgoing, WINDOW_BYTES};
use crate::session::clock::{Moment, Stamps};
use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often acknowledgements leave, and what is to be sent again is looked for.
const TICK: Duration = Duration::from_millis(200);
/// How long a frame may be on its way before it is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// What has come and is not acknowledged is acknowledged at once from so many bytes on.
const ACKNOWLEDGE_BYTES: usize = WINDOW_BYTES / 4;
/// How often a side that has nothing to say acknowledges again, as a sign of life.
const SIGN: Duration = Duration::from_secs(4);
/// How long the last frames are sent again after this side is done.
const FAREWELL: Duration = Duration::from_secs(5);

/// Both streams of a session.
pub struct Streams {
    /// What comes.
    pub reader: Reader,
    /// When what the reader hands out came.
    pub stamps: Stamps,
    /// What goes.
    pub writer: DuplexStream,
}

/// The stream of what comes.
pub struct Reader {
    pieces: mpsc::UnboundedReceiver<(Moment, Vec<u8>)>,
    piece: Vec<u8>,
    taken: usize,
    waiting: Arc<AtomicUsize>,
    stamps: Stamps,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.taken == self.piece.len() {
            match self.pieces.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some((at, piece))) => {
                    self.stamps.set(at);
                    (self.piece, self.taken) = (piece, 0);
                }
            }
        }
        let length = buffer.remaining().min(self.piece.len() - self.taken);
        buffer.put_slice(&self.piece[self.taken..self.taken + length]);
        self.taken += length;
        self.waiting.fetch_sub(length, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

/// Opens a link that sends to `to` and receives from `frames`, and runs it until both sides
/// are done. If nothing is heard for `silence` while this side is connected, nothing more
/// comes. Within a tokio runtime.
pub fn open(client: Client, to: String, frames: Subscriber, silence: Duration) -> Streams {
    let (ours, writer) = duplex(CHUNK_BYTES_MAX);
    let (put, pieces) = mpsc::unbounded_channel();
    let (waiting, stamps) = (Arc::new(AtomicUsize::new(0)), Stamps::default());
    let reader = Reader {
        pieces,
        piece: Vec::new(),
        taken: 0,
        waiting: Arc::clone(&waiting),
        stamps: stamps.clone(),
    };
    let chunk_bytes = chunk_bytes(&client);
    let pump = Pump {
        client,
        to,
        outgoing: Outgoing::default(),
        incoming: Incoming::default(),
        put: Some(put),
        waiting,
        unacknowledged: None,
        moved: Instant::now(),
        signed: Instant::now(),
        heard: Instant::now(),
        silence,
        chunk_bytes,
    };
    tokio::spawn(pump.run(ours, frames));
    Streams { reader, stamps, writer }
}

/// Content of a frame: what the server takes, with room for the head.
fn chunk_bytes(client: &Client) -> usize {
    let max = client.max_payload();
    // Before the first connection it is not known.
    if max < 1024 { CHUNK_BYTES_MAX } else { CHUNK_BYTES_MAX.min(max - 64) }
}

struct Pump {
    client: Client,
    to: String,
    outgoing: Outgoing,
    incoming: Incoming<Moment>,
    /// Where what comes goes; `None` once nothing more does.
    put: Option<mpsc::UnboundedSender<(Moment, Vec<u8>)>>,
    /// Bytes that the reader has not taken.
    waiting: Arc<AtomicUsize>,
    /// Bytes that came since the last acknowledgement, if any frame did.
    unacknowledged: Option<usize>,
    /// When something was sent last, again or not.
    moved: Instant,
    /// When something was acknowledged last.
    signed: Instant,
    /// When something was heard last, or this side had no connection.
    heard: Instant,
    silence: Duration,
    chunk_bytes: usize,
}

impl Pump {
    async fn run(mut self, mut ours: DuplexStream, mut frames: Subscriber) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending: Vec<u8> = Vec::new();
        let mut piece = vec![0; CHUNK_BYTES_MAX];
        let mut done: Option<Instant> = None;
        loop {
            tokio::select! {
                message = frames.next() => {
                    let Some(message) = message else { break };
                    self.heard = Instant::now();
                    if !self.take(&message.payload).await {
                        self.put = None;
                    }
                }
                read = ours.read(&mut piece), if done.is_none() && self.outgoing.has_room() => {
                    let length = read.unwrap_or(0);
                    pending.extend_from_slice(&piece[..length]);
                    if let Some(end) = pending.iter().rposition(|&byte| byte == b'\n') {
                        let rest = pending.split_off(end + 1);
                        let message = std::mem::replace(&mut pending, rest);
                        for frame in self.outgoing.message(&message, self.chunk_bytes) {
                            self.send(frame).await;
                        }
                    }
                    if length == 0 {
                        let end = self.outgoing.end();
                        self.send(end).await;
                        done = Some(Instant::now());
                    }
                }
                _ = tick.tick() => {
                    if self.unacknowledged.is_some() {
                        self.acknowledge().await;
                    }
                    if self.client.connection_state() != State::Connected {
                        // No time passes for what cannot be said or heard.
                        self.heard = Instant::now();
                        done = done.map(|_| Instant::now());
                        continue;
                    }
                    if self.signed.elapsed() >= SIGN {
                        self.acknowledge().await;
                    }
                    if self.heard.elapsed() >= self.silence {
                        self.put = None;
                    }
                    if self.moved.elapsed() >= AGAIN && !self.outgoing.is_empty() {
                        let again: Vec<Vec<u8>> = self.outgoing.again().cloned().collect();
                        for frame in again {
                            self.send(frame).await;
                        }
                    }
                }
            }
            // A peer that has ended needs nothing any more.
            let is_over = |done: Instant| {
                self.put.is_none() || self.outgoing.is_empty() || done.elapsed() >= FAREWELL
            };
            if done.is_some_and(is_over) {
                break;
            }
        }
        if self.unacknowledged.is_some() {
            self.acknowledge().await;
        }
        let _ = frames.unsubscribe().await;
    }

    /// Whether more may come.
    async fn take(&mut self, frame: &[u8]) -> bool {
        match self.incoming.take(frame, Moment::now(), &mut self.outgoing) {
            Ok(Got::Bytes(at, bytes)) => {
                let waiting = self.waiting.fetch_add(bytes.len(), Ordering::SeqCst) + bytes.len();
                let came = self.unacknowledged.unwrap_or(0) + bytes.len();
                self.unacknowledged = Some(came);
                // Whoever heeds the window never has more on its way.
                if waiting > 2 * WINDOW_BYTES {
                    tracing::debug!("{}: more came than the window allows", self.to);
                    return false;
                }
                if let Some(put) = &self.put {
                    // The session may be over.
                    let _ = put.send((at, bytes));
                }
                if came >= ACKNOWLEDGE_BYTES {
                    self.acknowledge().await;
                }
                true
            }
            Ok(Got::End) => {
                self.unacknowledged.get_or_insert(0);
                false
            }
            Ok(Got::Nothing) => {
                // A repeated frame: the acknowledgement was lost.
                self.unacknowledged.get_or_insert(0);
                true
            }
            Ok(Got::Accept | Got::Busy | Got::Acknowledged) => true,
            Err(bad) => {
                tracing::debug!("{}: {bad}", self.to);
                false
            }
        }
    }

    async fn acknowledge(&mut self) {
        if self.waiting.load(Ordering::SeqCst) >= WINDOW_BYTES {
            return;
        }
        self.unacknowledged = None;
        self.signed = Instant::now();
        let frame = self.incoming.acknowledgement();
        let _ = self.client.publish(self.to.clone(), frame.into()).await;
    }

    async fn send(&mut self, frame: Vec<u8>) {
        self.moved = Instant::now();
        // A client that is closed sends nothing any more; the session's deadlines end it.
        let _ = self.client.publish(self.to.clone(), frame.into()).await;
    }
}
