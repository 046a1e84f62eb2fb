//! Live sessions: both sides as machines, over streams, over pipes and over TLS,
//! with honest and hostile peers.

mod given_up;
mod history;
mod host_round;
mod hostile;
mod in_process;
mod meetings;
mod miner_beside;
mod miner_machine;
mod network;
pub mod peer;
pub mod pipe;
pub mod recording;
pub mod rounds;
mod several;
pub mod tls;
mod unreached;
mod unready;
mod validator_machine;
mod warm;

use attest::identity::SigningIdentity;
use attest::mining::issue::Request;
use ed25519_dalek::SigningKey;

/// A key of its own for each `seed`.
pub fn identity(seed: u8) -> SigningIdentity {
    SigningKey::from_bytes(&[seed; 32]).into()
}

/// The least work with enough samples to show something.
fn small() -> Request {
    Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(3),
        samples_per_iteration: Some(40),
        gpu_count: Some(1),
        ..Request::default()
    }
}
