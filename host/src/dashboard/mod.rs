//! `attest dashboard`: a read-only page over a validator's ledger, updated live.
//!
//! ```text
//! hosts      under which names it answers       filter    what the URL asks for
//! snapshot   what is on record, in memory        watch     kept fresh, or said to be lost
//! routes     requests, headers, live events      views     the pages
//! ```
//!
//! Guarantees: nothing is written, and nothing can be asked to be; a request costs memory
//! and time within bounds, and the ledger is read once for all who look; no text of a miner
//! is markup or script in a page, or is in the stream of events at all; a page works without
//! its script.
//! Deliberately lacks: logins and TLS, which a proxy before it has; records older than the
//! newest that it keeps.

mod filter;
mod hosts;
mod routes;
mod snapshot;
mod views;
mod watch;

use crate::http::{self, Limits};
use crate::ledger::{Ledger, LedgerError};
use hosts::Hosts;
use routes::Dashboard;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use watch::Watch;

/// The most names that a dashboard answers to.
pub const HOSTS_MAX: usize = 16;

/// Challenges that a dashboard has, unless it is told another number.
pub const NEWEST_DEFAULT: u32 = 5000;
/// The most that it can be told.
pub const NEWEST_MAX: u32 = 50_000;

/// What a dashboard is made of.
pub struct Options {
    /// The ledger; one that is only read ([`crate::ledger::open_read_only`]).
    pub ledger: Arc<dyn Ledger>,
    /// How the ledger is called on the pages: without a password.
    pub place: String,
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Names under which it answers besides its address: those of a proxy before it. At most
    /// [`HOSTS_MAX`].
    pub hosts: Vec<String>,
    /// How many challenges it has, the newest; from 1 to [`NEWEST_MAX`].
    pub newest: u32,
    /// What clients may take.
    pub limits: Limits,
}

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}\nChoose another address with --listen.")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        cause: io::Error,
    },
}

/// A dashboard that listens, and serves nobody yet.
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    dashboard: Dashboard,
    limits: Limits,
}

/// Reads the ledger for the first time, and listens.
///
/// # Errors
/// [`DashboardError`].
pub async fn listen(options: Options) -> Result<Listening, DashboardError> {
    let Options { ledger, place, listen, hosts, newest, limits } = options;
    let watch = Watch::begin(ledger, newest.clamp(1, NEWEST_MAX)).await?;
    let failed = |cause| DashboardError::Listen { address: listen, cause };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let hosts = Hosts::new(address, &hosts);
    Ok(Listening { listener, address, dashboard: Dashboard::new(watch, hosts, place), limits })
}

impl Listening {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves whoever connects, until it is dropped.
    pub async fn serve(self) {
        http::serve(self.listener, self.dashboard.router(), self.limits).await;
    }
}
