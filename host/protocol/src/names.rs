//! Values of 32 bytes that must not be taken for each other: what a lane's chain
//! consists of, what a result commits to, and the coin.
//!
//! ```text
//! State ─ iteration ─▶ Root ─ chain step ─▶ State … ─▶ Commitment ─ Coin ─▶ samples
//! ```
//!
//! All are written as 64 lower-case hex digits. None converts into another: the
//! compiler refuses a coin where a commitment is wanted.
//!
//! ```compile_fail
//! use attest_protocol::names::{Coin, Commitment};
//! let coin = Coin::new([7; 32]).unwrap();
//! let commitment: Commitment = coin;
//! ```
//!
//! ```compile_fail
//! use attest_protocol::names::{Coin, Commitment};
//! use attest_protocol::sample::sigma;
//! let (commitment, coin) = (Commitment([1; 32]), Coin::new([7; 32]).unwrap());
//! sigma(&coin, Some(&commitment));
//! ```
//!
//! ```compile_fail
//! use attest_protocol::chain::step;
//! use attest_protocol::names::{Root, State};
//! let (state, root) = (State([1; 32]), Root([2; 32]));
//! step(&root, 1, &state, None);
//! ```
//!
//! In the right order it compiles:
//!
//! ```
//! use attest_protocol::names::{Coin, Commitment};
//! use attest_protocol::sample::sigma;
//! let (commitment, coin) = (Commitment([1; 32]), Coin::new([7; 32]).unwrap());
//! sigma(&commitment, Some(&coin));
//! ```
//!
//! Guarantees: a [`Coin`] is not zero.
//! Deliberately lacks: types for digests of which each is compared with one value only
//! (of a challenge, of evidence, of leaves and the nodes between them and the root): those are
//! [`super::digest::Digest`].

use super::digest::{Digest, HexError, hex_array, hex_array_from, hex_shown, hex_text};
use serde::de::{Deserialize, Deserializer, Error as _};

/// s(g,i): where lane g's chain stands after iteration i, from which the next iteration's
/// operands are drawn; s(g,0) is the lane's seed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State(pub [u8; 32]);
hex_text!(State 32 "64");

/// D(g,i): the root of the tree over all leaves of an iteration. Roots of its tiles are
/// nodes like any other, so [`super::digest::Digest`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Root(pub [u8; 32]);
hex_text!(Root 32 "64");

impl Root {
    /// What the tree ends in, as the iteration's root.
    pub fn of_tree(node: Digest) -> Self {
        Self(node.0)
    }

    /// As a node, to be compared with what a path leads to.
    pub fn node(&self) -> Digest {
        Digest(self.0)
    }
}

/// What a result commits to and is identified by: it follows from challenge, final
/// states and evidence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commitment(pub [u8; 32]);
hex_text!(Commitment 32 "64");

/// What a validator draws once it holds a commitment: 32 random bytes, never all zero.
/// A result outside a live session has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coin([u8; 32]);
hex_shown!(Coin "64");

/// Text that is no coin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoinTextError {
    /// Not 64 lower-case hex digits.
    #[error(transparent)]
    Hex(#[from] HexError),
    /// 64 zeros.
    #[error("the coin is zero")]
    Zero,
}

impl Coin {
    /// These bytes as a coin; `None` if all are zero.
    pub const fn new(bytes: [u8; 32]) -> Option<Self> {
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] != 0 {
                return Some(Self(bytes));
            }
            at += 1;
        }
        None
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::str::FromStr for Coin {
    type Err = CoinTextError;
    fn from_str(text: &str) -> Result<Self, CoinTextError> {
        Self::new(hex_array(text)?).ok_or(CoinTextError::Zero)
    }
}

impl<'de> Deserialize<'de> for Coin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(hex_array_from(d)?).ok_or_else(|| D::Error::custom(CoinTextError::Zero))
    }
}

#[cfg(test)]
mod tests {
    use super::{Coin, CoinTextError, Commitment};

    #[test]
    fn no_coin_is_zero() {
        assert_eq!(Coin::new([0; 32]), None);
        let zeros = "0".repeat(64);
        assert_eq!(zeros.parse::<Coin>(), Err(CoinTextError::Zero));
        let error = serde_json::from_str::<Coin>(&format!("\"{zeros}\"")).unwrap_err();
        assert!(error.to_string().starts_with("the coin is zero"), "{error}");
        for at in 0..32 {
            let mut bytes = [0; 32];
            bytes[at] = 1;
            let coin = Coin::new(bytes).unwrap();
            assert_eq!(coin.as_bytes(), &bytes);
            assert_eq!(coin.to_string().parse::<Coin>(), Ok(coin));
        }
    }

    #[test]
    fn text_is_64_lower_case_hex_digits() {
        let text = "0123456789abcdef".repeat(4);
        let commitment: Commitment = text.parse().unwrap();
        assert_eq!(
            (commitment.to_string(), format!("{commitment:?}")),
            (text.clone(), text.clone())
        );
        assert_eq!(serde_json::to_string(&commitment).unwrap(), format!("\"{text}\""));
        for wrong in [text.to_uppercase(), text[1..].to_owned(), format!("{text}0"), String::new()]
        {
            assert!(wrong.parse::<Commitment>().is_err(), "{wrong}");
            assert!(matches!(wrong.parse::<Coin>(), Err(CoinTextError::Hex(_))), "{wrong}");
        }
    }
}
