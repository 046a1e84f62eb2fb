//! Certificates in PEM.
//!
//! Guarantees: nothing but certificates is read past; their length is bounded first.
//! Deliberately lacks: what is in them.

use crate::fault::{Code, Fault};
use base64::Engine as _;

/// Longest chain, bytes of PEM.
pub const CHAIN_BYTES_MAX: usize = 16 * 1024;

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::ChainMalformed, detail)
}

/// The certificates, in DER, that a text in PEM is made of.
///
/// # Errors
/// `chain-too-large` or `chain-malformed`.
pub(crate) fn ders_of(pem: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    if pem.len() > CHAIN_BYTES_MAX {
        let detail = format!("{} bytes; at most {CHAIN_BYTES_MAX}", pem.len());
        return Err(Fault::new(Code::ChainTooLarge, detail));
    }
    let text = std::str::from_utf8(pem).map_err(|_| malformed("not text"))?;
    // The driver ends the chain with a zero byte or a line's end.
    let mut rest = text.trim_end_matches('\0').trim();
    let mut ders = Vec::new();
    while !rest.is_empty() {
        let body = rest.strip_prefix("-----BEGIN CERTIFICATE-----");
        let (body, after) = body
            .and_then(|body| body.split_once("-----END CERTIFICATE-----"))
            .ok_or_else(|| malformed("expected certificates in PEM and nothing else"))?;
        ders.push(from_base64(body)?);
        rest = after.trim_start();
    }
    Ok(ders)
}

/// What Base64 with line breaks stands for.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, Fault> {
    let packed: String = text.chars().filter(|c| !matches!(c, ' ' | '\n' | '\r' | '\t')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed);
    bytes.map_err(|error| malformed(format!("not Base64: {error}")))
}
