//! A small HTTP server: pages and figures, for browsers and scrapers.
//!
//! Guarantees: connections, the length of a request's head, the time that it takes to come
//! and the time that an answer stands still are bounded, whatever the other side does.
//! Deliberately lacks: TLS, HTTP/2, bodies of requests; a proxy has the first two.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep};

/// What a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// How long a request's head may take, and how long a connection may have none.
    pub head: Duration,
    /// Longest head, bytes: at least 8192.
    pub head_bytes_max: usize,
    /// How long an answer may go without a byte taken.
    pub standstill: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            head: Duration::from_secs(10),
            head_bytes_max: 16 << 10,
            standstill: Duration::from_secs(30),
        }
    }
}

/// Serves whoever connects, until it is dropped.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("no connection was accepted: {error}");
                // Out of descriptors, most likely: others end meanwhile.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // Small answers go out at once.
            let _ = stream.set_nodelay(true);
            let io = TokioIo::new(Patient::new(stream, limits.standstill));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .max_buf_size(limits.head_bytes_max.max(8192));
            if let Err(error) = http.serve_connection(io, service).await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
}

/// A stream that fails if what is written to it stands still for too long.
struct Patient {
    stream: TcpStream,
    standstill: Duration,
    /// Armed while the other side takes nothing.
    until: Pin<Box<Sleep>>,
    stands: bool,
}

impl Patient {
    fn new(stream: TcpStream, standstill: Duration) -> Self {
        Self { stream, standstill, until: Box::pin(sleep(Duration::ZERO)), stands: false }
    }

    /// What came of writing, or the end of patience.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stands = false;
            return written;
        }
        if !self.stands {
            self.stands = true;
            self.until.as_mut().reset(Instant::now() + self.standstill);
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.within(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
