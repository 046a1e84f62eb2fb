//! SHA-256 digests and device UUIDs: newtypes that print as lower-case hex.
//!
//! What must not be taken for something else has a type of its own: a
//! [`super::names::Commitment`], a [`super::names::Coin`],
//! a [`super::signature::PublicKey`].

use serde::de::{Deserializer, Visitor};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// 32 bytes: a SHA-256 value that has no type of its own, a seed or a nonce.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

/// 16 bytes: a device's UUID in written order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Digest {
    /// SHA-256 of the concatenation of `parts`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut h = Sha256::new();
        for part in parts {
            h.update(part);
        }
        Self(h.finalize().into())
    }
}

impl Uuid {
    /// With the hyphens of RFC 9562, as in "GPU-xxxxxxxx-…".
    pub fn hyphenated(&self) -> String {
        let hex = self.to_string();
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

/// Text that is not exactly the right number of lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hex digits")]
pub struct HexError {
    /// How many digits were expected.
    pub expected: usize,
}

/// Decodes exactly `N` bytes of lower-case hex.
///
/// # Errors
/// Any other length, or any character outside `0-9a-f`.
pub(crate) fn hex_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let error = HexError { expected: 2 * N };
    if text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(error);
    }
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| error)?;
    Ok(out)
}

/// Deserialises exactly `N` bytes of lower-case hex, without keeping the text.
///
/// # Errors
/// Anything but a string of exactly the right digits.
pub fn hex_array_from<'de, const N: usize, D: Deserializer<'de>>(
    d: D,
) -> Result<[u8; N], D::Error> {
    struct Hex<const N: usize>;
    impl<const N: usize> Visitor<'_> for Hex<N> {
        type Value = [u8; N];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} lower-case hex digits", 2 * N)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
            hex_array(text).map_err(E::custom)
        }
    }
    d.deserialize_str(Hex)
}

/// What shows a newtype as lower-case hex: Display, Debug, serde and schema, over its
/// `as_bytes`.
macro_rules! hex_shown {
    ($name:ident $digits:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.as_bytes()))
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^[0-9a-f]{", $digits, "}$")
                })
            }
        }
    };
}

/// The text form of a newtype that takes any bytes of its length.
macro_rules! hex_text {
    ($name:ident $length:literal $digits:literal) => {
        impl $name {
            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::digest::HexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::digest::hex_array(text).map(Self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::digest::hex_array_from(d).map(Self)
            }
        }
        $crate::digest::hex_shown!($name $digits);
    };
}
pub(crate) use {hex_shown, hex_text};

hex_text!(Digest 32 "64");
hex_text!(Uuid 16 "32");
