//! Connecting to a NATS server with a miner's or a validator's own key.
//!
//! Guarantees: what a server has signed is short and printable, so no signature of the
//! protocol can be had that way; a connection that is lost is looked for with growing pauses;
//! a key that the server refuses is said at once, and not waited for at the start.
//! Deliberately lacks: passwords, tokens and JWTs.

use crate::identity::SigningIdentity;
use crate::protocol::signature::PublicKey;
use async_nats::connection::State;
use async_nats::{
    Auth, AuthError, Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longest nonce that is signed for a server, bytes; a server sends 15 or so.
const NONCE_BYTES_MAX: usize = 64;
/// The longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// How often a server that says nothing is asked whether it is there.
const PING: Duration = Duration::from_secs(5);
/// Messages of one session that wait for its task; frames beyond are lost, and sent again.
const WAITING_MAX: usize = 512;

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Server {
    /// `nats://HOST:PORT` or `tls://HOST:PORT`; several with commas between.
    pub url: String,
    /// Certificates of authorities to trust besides those of the system, PEM.
    pub ca: Option<PathBuf>,
}

/// A connection, and how often it was lost.
#[derive(Clone)]
pub struct Connection {
    /// What to publish and subscribe with.
    pub client: Client,
    /// How often it was lost so far.
    pub losses: watch::Receiver<u64>,
}

impl Connection {
    /// Whether the server is connected now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server refuses the key.
    #[error(
        "the server at {url} refuses {key} (nats-key-refused): {cause}\nHave `attest fleet authorize` print a configuration that names the key, and load it into nats-server."
    )]
    Refused {
        /// The address.
        url: String,
        /// Which key.
        key: String,
        /// The client's words.
        cause: String,
    },
    /// The server cannot be reached.
    #[error(
        "no connection to {url} (nats-unreachable): {cause}\nCheck the address, and that the server runs."
    )]
    Unreachable {
        /// The address.
        url: String,
        /// The client's words.
        cause: String,
    },
    /// It is not an address.
    #[error(
        "{url:?} is no address of a NATS server (nats-address): {cause}\nGive nats://HOST:PORT or tls://HOST:PORT."
    )]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ConnectError {
    /// A stable kebab-case name; it stands in the text too.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "nats-key-refused",
            Self::Unreachable { .. } => "nats-unreachable",
            Self::Address { .. } => "nats-address",
        }
    }
}

/// The key as NATS writes a user's: the byte of that kind, the key and CRC-16/XMODEM of both
/// (little-endian), in base32.
pub fn nkey_of(key: &PublicKey) -> String {
    const USER: u8 = 20 << 3;
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [&[USER][..], key.as_bytes()].concat();
    let crc = bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    bytes.extend(crc.to_le_bytes());
    // 35 bytes are seven groups of five, each of eight digits.
    let digits = bytes.chunks(5).flat_map(|group| {
        let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(move |at| BASE32[(bits >> (5 * at) & 31) as usize] as char)
    });
    digits.collect()
}

/// Connects, with `identity` if there is one. With `patiently` a server that is not there is
/// waited for, with a warning for each attempt; one that refuses the key is not.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    server: &Server,
    identity: Option<&Arc<SigningIdentity>>,
    name: &str,
    patiently: bool,
) -> Result<Connection, ConnectError> {
    let urls: Vec<async_nats::ServerAddr> =
        server.url.split(',').map(|url| url.trim().parse()).collect::<Result<_, _>>().map_err(
            |error: std::io::Error| ConnectError::Address {
                url: server.url.clone(),
                cause: error.to_string(),
            },
        )?;
    let (lost, losses) = watch::channel(0);
    let options = match identity {
        Some(identity) => {
            let identity = Arc::clone(identity);
            ConnectOptions::with_auth_callback(move |nonce| {
                std::future::ready(authenticate(&identity, &nonce))
            })
        }
        None => ConnectOptions::new(),
    };
    let is_refused = Arc::new(AtomicBool::new(false));
    let mut options = options
        .name(name)
        .ping_interval(PING)
        .subscription_capacity(WAITING_MAX)
        .connection_timeout(Duration::from_secs(10))
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            told(&event, &lost, &is_refused);
            std::future::ready(())
        });
    if let Some(key) = identity.map(|identity| identity.public()) {
        // Answers to this client only: a miner may not read others'.
        options = options.custom_inbox_prefix(format!("_INBOX_{}", &key.to_string()[..32]));
    }
    if let Some(ca) = &server.ca {
        options = options.add_root_certificates(ca.clone());
    }
    let url = || server.url.clone();
    let mut attempt = 0;
    loop {
        let error = match options.clone().connect(&urls[..]).await {
            Ok(client) => return Ok(Connection { client, losses }),
            Err(error) => error,
        };
        let cause = error.to_string();
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                let key = identity.map(|identity| format!("the key {}", identity.public()));
                let key = key.unwrap_or_else(|| "a client without a key".to_owned());
                return Err(ConnectError::Refused { url: url(), key, cause });
            }
            _ if !patiently => return Err(ConnectError::Unreachable { url: url(), cause }),
            _ => {}
        }
        let pause = pause(attempt);
        attempt += 1;
        tracing::warn!("no connection to {}: {cause}; trying again in {pause:.1?}", server.url);
        tokio::time::sleep(pause).await;
    }
}

/// The pause before an attempt of this number, from 0.
fn pause(attempt: usize) -> Duration {
    PAUSE_MAX.min(Duration::from_millis(50 << attempt.min(8)))
}

/// Counts losses, and says what an operator has to know of the connection, each thing once.
fn told(event: &Event, lost: &watch::Sender<u64>, is_refused: &AtomicBool) {
    let refused = match event {
        Event::Disconnected => {
            lost.send_modify(|count| *count += 1);
            return tracing::warn!("the connection to the NATS server is lost; trying again");
        }
        Event::Connected => {
            let was_refused = is_refused.swap(false, Ordering::SeqCst);
            if was_refused || *lost.borrow() > 0 {
                tracing::warn!("connected to the NATS server again");
            }
            return;
        }
        Event::ServerError(ServerError::AuthorizationViolation) => true,
        // An attempt to connect again that failed: its error is there as text only.
        Event::ClientError(ClientError::Other(cause)) => {
            [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Authentication]
                .iter()
                .any(|kind| cause.contains(&kind.to_string()))
        }
        _ => false,
    };
    if !refused {
        tracing::debug!("NATS: {event}");
    } else if !is_refused.swap(true, Ordering::SeqCst) {
        tracing::warn!(
            code = "nats-key-refused",
            "the NATS server refuses this key now; trying again until it takes it"
        );
    }
}

/// Signs a server's nonce.
fn authenticate(identity: &SigningIdentity, nonce: &[u8]) -> Result<Auth, AuthError> {
    let mut auth = Auth::new();
    // A server without keys asks for no signature.
    if nonce.is_empty() {
        return Ok(auth);
    }
    if !may_be_signed(nonce) {
        return Err(AuthError::new("the server's nonce is not short, printable text"));
    }
    auth.nkey = Some(nkey_of(&identity.public()));
    auth.signature = Some(identity.sign(nonce).to_vec());
    Ok(auth)
}

/// Whether a signature of this is of no use elsewhere: what the protocol signs has a zero
/// byte.
fn may_be_signed(nonce: &[u8]) -> bool {
    nonce.len() <= NONCE_BYTES_MAX && nonce.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::digest::Digest;
    use crate::protocol::names::Commitment;
    use crate::protocol::signature::miner_message;
    use ed25519_dalek::SigningKey;

    #[test]
    fn a_key_is_written_as_nats_does() {
        let pair = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, [7; 32]).unwrap();
        let identity = SigningIdentity::from(SigningKey::from_bytes(&[7; 32]));
        assert_eq!(nkey_of(&identity.public()), pair.public_key());
        let auth = authenticate(&identity, b"h9L4Wkz0q1Zc").unwrap();
        assert!(pair.verify(b"h9L4Wkz0q1Zc", &auth.signature.unwrap()).is_ok());
    }

    #[test]
    fn a_server_cannot_have_a_commitment_signed() {
        let identity = SigningIdentity::from(SigningKey::from_bytes(&[7; 32]));
        let message = miner_message(&Digest([1; 32]), &Commitment([2; 32]));
        assert!(authenticate(&identity, &message).is_err());
        assert!(authenticate(&identity, &[b'a'; NONCE_BYTES_MAX + 1]).is_err());
        assert!(authenticate(&identity, b"gpu-attest/v1/miner\0").is_err());
    }
}
