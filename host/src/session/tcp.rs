//! Sessions over TCP with TLS: the miner listens, the validator dials.
//!
//! Guarantees: connecting and the handshake have time limits; a miner has a
//! bounded number of connections and holds one session at a time, other
//! peers are told that it is busy; a connection that no longer answers is
//! noticed (keep-alive).
//! Deliberately lacks: plaintext, and validators that listen.

use super::clock::unix_ms;
use super::drive::{Peering, Stage, Validator};
use super::fault::{Fault, FaultCode};
use super::limits::SMALL_BYTES_MAX;
use super::message::{FromMiner, line_of};
use super::miner::End;
use super::respond::Miner;
use super::tls::peer_key;
use super::validator::Ended;
use crate::protocol::signature::PublicKey;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long connecting and the handshake may take together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections of a miner at once, the session's own included.
pub const CONNECTIONS_MAX: usize = 32;
/// How long a peer that is told "busy" may take to say hello and to go.
const DECLINE: Duration = Duration::from_secs(5);
/// Pause after an accept that failed (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Dials `address` (`HOST:PORT`) and holds one session with the miner there, whose
/// key must be one of those that `config` allows. A miner that cannot be reached
/// is rejected, too.
pub async fn validate(
    validator: &Arc<Validator>,
    address: &str,
    config: &Arc<ClientConfig>,
    watch: &(dyn Fn(Stage<'_>) + Send + Sync),
) -> Ended {
    let met_unix_ms = unix_ms();
    let connected = tokio::select! {
        connected = timeout(HANDSHAKE, connect(address, config)) => connected,
        // Nobody was met.
        why = validator.given_up() => return Ended::of_own(&why),
    };
    let fault = match connected {
        Ok(Ok((stream, key))) => {
            let ip = stream.get_ref().0.peer_addr().ok().map(|peer| peer.ip().to_string());
            let peer = Peering { key: Some(key), address: ip.or_else(|| host_of(address)) };
            let (reader, writer) = split(stream);
            return validator.session_with(reader, writer, &peer, watch).await;
        }
        Ok(Err(fault)) => fault,
        Err(_) => {
            let detail = format!("{address} did not finish a handshake in {HANDSHAKE:?}");
            Fault::new(FaultCode::Unreachable, detail)
        }
    };
    // Who it was is not known.
    let (ended, peer) = (Ended::of_fault(&fault), Peering { key: None, address: host_of(address) });
    validator.meet(&peer, met_unix_ms, &ended).await;
    ended
}

/// `HOST` of `HOST:PORT`.
fn host_of(address: &str) -> Option<String> {
    address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']).to_owned())
}

type Dialled = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(address: &str, config: &Arc<ClientConfig>) -> Result<(Dialled, PublicKey), Fault> {
    let unreachable = |error: io::Error| {
        Fault::new(FaultCode::Unreachable, format_args!("cannot connect to {address}: {error}"))
    };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    // Whom the key belongs to is known; names do not count.
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
    let stream =
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(|error| {
            let text = format!("no TLS session with {address}: {error}");
            Fault::new(FaultCode::HandshakeFailed, text)
        })?;
    let key = peer_key(stream.get_ref().1.peer_certificates());
    let key = key.ok_or_else(|| Fault::new(FaultCode::HandshakeFailed, "the peer has no key"))?;
    Ok((stream, key))
}

/// A miner that listens.
pub struct Listener {
    miner: Arc<Miner>,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    /// One session at a time: its devices have one owner.
    session: Arc<Mutex<()>>,
    connections: Arc<Semaphore>,
}

/// What became of a connection, for whoever watches.
#[derive(Debug)]
pub enum Met {
    /// No TLS session: wrong key, no TLS, too slow.
    Refused(String),
    /// It came while a session was held.
    Busy(Option<PublicKey>),
    /// A session with the validator of this key began.
    Began(Option<PublicKey>),
    /// The session ended.
    Ended(End),
}

impl Listener {
    /// Listens on `address` for the validators that `config` allows.
    ///
    /// # Errors
    /// If the system refuses the address.
    pub async fn bind(
        miner: Arc<Miner>,
        address: &str,
        config: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (session, connections) =
            (Arc::new(Mutex::new(())), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        Ok(Self { miner, listener, config, session, connections })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers whoever comes, without end; drop the future to stop.
    pub async fn serve(&self, watch: Arc<dyn Fn(SocketAddr, Met) + Send + Sync>) {
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
            while tasks.try_join_next().is_some() {}
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (miner, session) = (Arc::clone(&self.miner), Arc::clone(&self.session));
            let (config, watch) = (Arc::clone(&self.config), Arc::clone(&watch));
            tasks.spawn(async move {
                answer(&miner, stream, config, session, &|met| watch(address, met)).await;
                drop(permit);
            });
        }
    }
}

async fn answer(
    miner: &Miner,
    stream: TcpStream,
    config: Arc<ServerConfig>,
    session: Arc<Mutex<()>>,
    watch: &(dyn Fn(Met) + Send + Sync),
) {
    let handshake = async {
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    let stream = match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return watch(Met::Refused(error.to_string())),
        Err(_) => return watch(Met::Refused(format!("no handshake in {HANDSHAKE:?}"))),
    };
    let key = peer_key(stream.get_ref().1.peer_certificates());
    let (reader, writer) = split(stream);
    match session.try_lock() {
        Ok(_held) => {
            watch(Met::Began(key));
            let end = miner.respond_to(key, reader, writer).await;
            watch(Met::Ended(end));
            // Other peers are told that it is busy.
            let equipment = Arc::clone(&miner.equipment);
            let _ = tokio::task::spawn_blocking(move || equipment.recover()).await;
        }
        Err(_) => {
            watch(Met::Busy(key));
            // It may have gone already, or take its time: neither matters.
            let _ = timeout(DECLINE, decline(reader, writer)).await;
        }
    }
}

/// Says "busy" to the hello, and waits until it was read: closing on bytes that
/// nobody has read would take the answer back.
async fn decline(
    reader: impl AsyncRead + Unpin,
    mut writer: impl tokio::io::AsyncWrite + Unpin,
) -> io::Result<()> {
    let text = "it has a session, and holds one at a time".to_owned();
    writer.write_all(&line_of(&FromMiner::Busy { text })).await?;
    writer.flush().await?;
    let mut rest = reader.take(2 * SMALL_BYTES_MAX);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    writer.shutdown().await
}

/// A peer whose machine is gone is noticed within some minutes, also while nothing
/// is awaited of it.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    rustix::net::sockopt::set_tcp_keepcnt(stream, 4)?;
    Ok(())
}
