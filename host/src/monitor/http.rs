//! `/metrics`, `/healthz` and `/readyz` over HTTP.

use super::Health;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::encoding::prometheus_text;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection may last: a client that says nothing does not keep its place.
const CONNECTION: Duration = Duration::from_secs(60);
/// Pause after the system would not accept.
const PAUSE: Duration = Duration::from_millis(200);

/// No endpoint.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for metrics: {cause}\nChoose another address with --metrics.")]
pub struct MonitorError {
    address: String,
    cause: io::Error,
}

/// An address that listens.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

/// What is shown.
struct Shown<F> {
    metrics: F,
    health: Arc<Health>,
}

type Answer = (StatusCode, [(HeaderName, &'static str); 1], String);

impl Endpoint {
    /// Listens on `address`, HOST:PORT; port 0 for any.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn bind(address: &str) -> Result<Self, MonitorError> {
        let failed = |cause| MonitorError { address: address.to_owned(), cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for as long as it is polled; `metrics` gives Prometheus's text.
    pub async fn serve<F>(self, metrics: F, health: Arc<Health>)
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        let router = Router::new()
            .route("/metrics", get(show_metrics::<F>))
            .route("/healthz", get(show_health::<F>))
            .route("/readyz", get(show_readiness::<F>))
            .with_state(Arc::new(Shown { metrics, health }));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        // It goes on after errors of connections, and has none of its own.
        let _ = axum::serve(Bounded { listener: self.listener, places }, router).await;
    }
}

async fn show_metrics<F: Fn() -> String>(State(shown): State<Arc<Shown<F>>>) -> Answer {
    (StatusCode::OK, [(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], (shown.metrics)())
}

async fn show_health<F>(State(shown): State<Arc<Shown<F>>>) -> Answer {
    match shown.health.is_alive() {
        true => plain(StatusCode::OK, "ok\n".to_owned()),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "stuck\n".to_owned()),
    }
}

async fn show_readiness<F>(State(shown): State<Arc<Shown<F>>>) -> Answer {
    let status = match shown.health.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    plain(status, shown.health.text())
}

fn plain(status: StatusCode, text: String) -> Answer {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

/// Accepts a connection when there is a place for it.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("it is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let until = Box::pin(sleep(CONNECTION));
                    return (Timed { stream, until, _place: place }, from);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends after [`CONNECTION`], whatever the client does.
struct Timed {
    stream: TcpStream,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Timed {
    fn over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.until.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.over(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.over(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.over(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
