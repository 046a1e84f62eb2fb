//! A pair of streams as a session sees it: pieces in, lines out, a deadline, and
//! work under way elsewhere, whichever comes first, and when it came.
//!
//! Guarantees: a reader that does not read holds up nobody: what is to be sent
//! waits beside everything else; no piece is larger than [`PIECE_BYTES`].
//! Deliberately lacks: any knowledge of messages.

use super::clock::{Clock, Now};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::{JoinError, JoinHandle};

/// Most bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How long the last lines may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// What came first.
pub(super) enum Heard<T> {
    /// So many bytes of [`Link::piece`].
    Bytes(usize),
    /// The other side will send nothing more, or the stream failed.
    Closed,
    /// The deadline.
    Deadline,
    /// The work under way is done, or has panicked.
    Done(Result<T, JoinError>),
}

/// Two streams, what is to be sent, and the session's clock.
pub(super) struct Link<R, W> {
    clock: Clock,
    reader: R,
    writer: W,
    piece: Box<[u8]>,
    out: Vec<u8>,
    sent: usize,
    is_flushed: bool,
    is_closed: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Link<R, W> {
    /// Starts the session's clock.
    pub(super) fn new(reader: R, writer: W) -> Self {
        Self {
            clock: Clock::start(),
            reader,
            writer,
            piece: vec![0; PIECE_BYTES].into_boxed_slice(),
            out: Vec::new(),
            sent: 0,
            is_flushed: true,
            is_closed: false,
        }
    }

    /// The time by the session's clock.
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// The first `length` bytes of what was read last.
    pub(super) fn piece(&self, length: usize) -> &[u8] {
        &self.piece[..length]
    }

    /// Adds a line to what is to be sent.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        self.is_flushed = false;
    }

    /// Waits for whatever comes first, sending meanwhile; says when it came. The
    /// deadline is since the session's start.
    pub(super) async fn next<T>(
        &mut self,
        deadline: Option<Duration>,
        work: &mut Option<JoinHandle<T>>,
    ) -> (Now, Heard<T>) {
        let deadline = deadline.and_then(|since_start| self.clock.instant(since_start));
        let heard = self.first_of(deadline, work).await;
        (self.now(), heard)
    }

    async fn first_of<T>(
        &mut self,
        deadline: Option<Instant>,
        work: &mut Option<JoinHandle<T>>,
    ) -> Heard<T> {
        loop {
            let Self { reader, writer, piece, out, sent, is_flushed, is_closed, .. } = self;
            let is_working = work.is_some();
            tokio::select! {
                read = reader.read(piece), if !*is_closed => {
                    return match read {
                        Ok(0) | Err(_) => {
                            *is_closed = true;
                            Heard::Closed
                        }
                        Ok(length) => Heard::Bytes(length),
                    };
                }
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
                done = joined(work), if is_working => {
                    *work = None;
                    return Heard::Done(done);
                }
                () = until(deadline), if deadline.is_some() => return Heard::Deadline,
                else => return Heard::Deadline,
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

async fn joined<T>(work: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

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
        let mut link = Link::new(tokio::io::empty(), &mut writer);
        link.send(b"the last\n");
        runtime.expect("a runtime").block_on(link.finish());
        assert_eq!(writer.left, b"the last\n");
    }

    #[test]
    fn a_deadline_that_no_clock_reaches_is_none() {
        assert_eq!(Clock::start().instant(Duration::MAX), None);
        assert!(Clock::start().instant(Duration::from_secs(1)).is_some());
    }
}
