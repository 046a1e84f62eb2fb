//! A pair of streams as a session sees it: pieces in, lines out, a deadline, and
//! work under way elsewhere, whichever comes first, and when it came.
//!
//! Guarantees: what comes is stamped where it is read, by a task that does nothing
//! else, however busy or blocked the session is; a reader that does not read holds up
//! nobody: what is to be sent waits beside everything else; no more is kept than the
//! session wants, and one piece of [`PIECE_BYTES`].
//! Deliberately lacks: any knowledge of messages.

use super::clock::{Clock, Now, Stamps};
use super::inbox::Inbox;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::{JoinError, JoinHandle};

/// Most bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How long the last lines may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest sleep before the session's clock is looked at again: it goes on while
/// the machine is suspended, and timers do not.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What came first.
pub(super) enum Heard<T, P> {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The other side will send nothing more, or the stream failed.
    Closed,
    /// The deadline.
    Deadline,
    /// The work under way is done, or has panicked.
    Done(P, Result<T, JoinError>),
}

/// Two streams, what is to be sent, and the session's clock.
pub(super) struct Link<W> {
    clock: Clock,
    inbox: Arc<Inbox>,
    reading: Reading,
    writer: W,
    out: Vec<u8>,
    sent: usize,
    is_flushed: bool,
}

/// The task that reads; it ends with this.
struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads and stamps, as long as no more waits than is wanted.
async fn read_on(
    mut reader: impl AsyncRead + Unpin,
    stamps: Option<Stamps>,
    inbox: Arc<Inbox>,
    clock: Clock,
) {
    let now = || stamps.as_ref().map_or_else(|| clock.now(), |stamps| clock.at(stamps.get()));
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        inbox.has_room().await;
        match reader.read(&mut piece).await {
            Ok(0) | Err(_) => return inbox.close(clock.now()),
            Ok(length) => inbox.put(now(), &piece[..length]),
        }
    }
}

impl<W: AsyncWrite + Unpin> Link<W> {
    /// Starts the session's clock, and reading. Within a tokio runtime.
    pub(super) fn new(reader: impl AsyncRead + Unpin + Send + 'static, writer: W) -> Self {
        Self::stamped(reader, None, writer)
    }

    /// The same with a reader that says when what it hands out came.
    pub(super) fn stamped(
        reader: impl AsyncRead + Unpin + Send + 'static,
        stamps: Option<Stamps>,
        writer: W,
    ) -> Self {
        let (clock, inbox) = (Clock::start(), Arc::new(Inbox::default()));
        let reading = Reading(tokio::spawn(read_on(reader, stamps, Arc::clone(&inbox), clock)));
        Self { clock, inbox, reading, writer, out: Vec::new(), sent: 0, is_flushed: true }
    }

    /// The time by the session's clock.
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// How many bytes may wait from now on before reading pauses.
    pub(super) fn want(&self, bytes: u64) {
        self.inbox.want(bytes);
    }

    /// Adds a line to what is to be sent.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        self.is_flushed = false;
    }

    /// Waits for whatever comes first, sending meanwhile; says when it came. The
    /// deadline is since the session's start. What came before the deadline comes
    /// before it here, too.
    pub(super) async fn next<T, P: Copy>(
        &mut self,
        deadline: Option<Duration>,
        works: &mut Works<T, P>,
    ) -> (Now, Heard<T, P>) {
        loop {
            let Self { clock, inbox, writer, out, sent, is_flushed, .. } = self;
            tokio::select! {
                // What is done comes first: bytes may come without end.
                biased;
                (part, done) = works.joined() => return (clock.now(), Heard::Done(part, done)),
                wrote = write_some(writer, &out[*sent..]), if !*is_flushed => match wrote {
                    Ok(length) if length > 0 => *sent += length,
                    // All of it is out; or nobody reads any more, and what they
                    // still say may be read.
                    _ => {
                        out.clear();
                        *sent = 0;
                        *is_flushed = true;
                    }
                },
                (at, bytes) = inbox.take() => {
                    return (at, bytes.map_or(Heard::Closed, Heard::Bytes));
                }
                () = until(*clock, deadline) => return (clock.now(), Heard::Deadline),
            }
        }
    }

    /// Sends what is left, within a moment, and closes.
    pub(super) async fn finish(mut self) {
        let farewell = async {
            self.writer.write_all(&self.out[self.sent..]).await?;
            // Not every shutdown waits for what was written: tokio's Stdout hands it
            // to a thread that may end with the program.
            self.writer.flush().await?;
            self.writer.shutdown().await
        };
        // The session is over, whether the other side hears of it or not.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        self.reading.0.abort();
        // Both halves are gone when this returns.
        let _ = (&mut self.reading.0).await;
    }
}

/// Writes some bytes; of none, flushes.
async fn write_some(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> std::io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    writer.write(bytes).await
}

/// Work under way, each with the part of the session that it is for.
pub(super) struct Works<T, P>(Vec<(P, JoinHandle<T>)>);

impl<T, P: Copy> Works<T, P> {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn begin(&mut self, part: P, work: JoinHandle<T>) {
        self.0.push((part, work));
    }

    /// All of it.
    pub(super) fn into_handles(self) -> impl Iterator<Item = JoinHandle<T>> {
        self.0.into_iter().map(|(_, work)| work)
    }

    /// Waits for whichever is done first; without any, for ever.
    async fn joined(&mut self) -> (P, Result<T, JoinError>) {
        poll_fn(|context| {
            for at in 0..self.0.len() {
                let (part, work) = &mut self.0[at];
                if let Poll::Ready(done) = Pin::new(work).poll(context) {
                    let part = *part;
                    self.0.remove(at);
                    return Poll::Ready((part, done));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Sleeps until the clock says so.
async fn until(clock: Clock, deadline: Option<Duration>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    loop {
        match deadline.checked_sub(clock.now().since_start) {
            None | Some(Duration::ZERO) => return,
            Some(left) => tokio::time::sleep(left.min(SLEEP_MAX)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::task::Context;

    /// Keeps what is written to itself until it is flushed, as tokio's Stdout does.
    #[derive(Default)]
    struct Held {
        held: Vec<u8>,
        left: Vec<u8>,
    }

    impl AsyncWrite for &mut Held {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let held = std::mem::take(&mut self.held);
            self.left.extend(held);
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn the_last_line_has_left_when_the_session_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut writer = Held::default();
        runtime.expect("a runtime").block_on(async {
            let mut link = Link::new(tokio::io::empty(), &mut writer);
            link.send(b"the last\n");
            link.finish().await;
        });
        assert_eq!(writer.left, b"the last\n");
    }

    #[tokio::test]
    async fn what_comes_is_stamped_while_the_session_is_busy() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut link = Link::new(ours, tokio::io::sink());
        link.want(100);
        theirs.write_all(b"in time\n").await.expect("room");
        while link.inbox.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // The session was busy until here, and had a deadline in between.
        let here = link.now().since_start;
        let mut work: Works<(), ()> = Works::none();
        let (now, heard) = link.next(Some(Duration::ZERO), &mut work).await;
        assert!(matches!(heard, Heard::Bytes(bytes) if bytes == b"in time\n"));
        assert!(now.since_start <= here, "{now:?}, {here:?}");
        let (now, heard) = link.next(Some(Duration::ZERO), &mut work).await;
        assert!(matches!(heard, Heard::Deadline));
        assert!(now.since_start >= here);
    }
}
