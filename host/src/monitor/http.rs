//! `/metrics`, `/healthz` and `/readyz` over HTTP.

use super::Health;
use crate::http::{self, Limits};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A scraper, probes, and someone who looks.
const CONNECTIONS_MAX: usize = 32;

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
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        http::serve(self.listener, router, limits).await;
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
