//! Standard input and output for tasks: each read or write is a blocking call on
//! another thread, as tokio's own are, that waits until the stream is ready.
//!
//! Guarantees: a flush returns when everything is written; errors come with the next
//! call.
//! Deliberately lacks: a way to call a read off. Shut the runtime down in the
//! background.

use super::{stdin, stdout};
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{JoinHandle, spawn_blocking};

/// Most bytes of one call.
const PIECE_BYTES: usize = 64 * 1024;

/// Standard input.
#[derive(Debug, Default)]
pub struct TaskStdin {
    /// What was read and not taken yet, from here on.
    piece: Vec<u8>,
    taken: usize,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl AsyncRead for TaskStdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken == self.piece.len() {
            let reading = self.reading.get_or_insert_with(|| {
                spawn_blocking(|| {
                    let mut piece = vec![0; PIECE_BYTES];
                    let length = stdin().read(&mut piece)?;
                    piece.truncate(length);
                    Ok(piece)
                })
            });
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            self.piece = read.map_err(io::Error::other)??;
            self.taken = 0;
        }
        let rest = &self.piece[self.taken..];
        let length = rest.len().min(out.remaining());
        out.put_slice(&rest[..length]);
        self.taken += length;
        Poll::Ready(Ok(()))
    }
}

/// Standard output.
#[derive(Debug, Default)]
pub struct TaskStdout {
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl TaskStdout {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writing) = &mut self.writing {
            let written = ready!(Pin::new(writing).poll(context));
            self.writing = None;
            written.map_err(io::Error::other)??;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TaskStdout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(context))?;
        let piece = bytes[..bytes.len().min(PIECE_BYTES)].to_vec();
        let length = piece.len();
        self.writing = Some(spawn_blocking(move || stdout().write_all(&piece)));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
