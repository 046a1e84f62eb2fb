//! What a validator draws that nobody may know before: coins, and the streams of a network
//! part.

use super::drive::Validator;
use super::fault::OwnFault;
use super::validator::NetworkAsk;

impl Validator {
    /// The network part, if there is to be one, with keys that nobody knows.
    pub(super) fn network_ask(&self) -> Result<Option<NetworkAsk>, OwnFault> {
        let bytes = match &self.policy {
            Some(policy) => policy.network_bytes(self.network_bytes),
            None => self.network_bytes.filter(|&bytes| bytes > 0),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let keys = [random("a stream's key")?, random("a stream's key")?];
        Ok(Some(NetworkAsk { bytes, keys }))
    }
}

/// From the operating system, for what `what` says.
pub(super) fn random(what: &str) -> Result<[u8; 32], OwnFault> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map(|()| bytes).map_err(|error| {
        OwnFault(format!(
            "no random bytes for {what}: {error}\nCheck the system's random generator."
        ))
    })
}
