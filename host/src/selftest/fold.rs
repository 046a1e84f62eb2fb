//! Files of folds: words and the message that they fold to, on everything that folds words
//! which lie in no arena: the oracle, the fold for any number of columns, and the one on
//! vectors that leaves of arenas take.

use super::vectors::{VectorError, compare};
use crate::executor::cpu::Simd;
use crate::reference::fold as reference;
use crate::work::fold::fold;
use crate::work::memory_residency::cpu::MemoryCpu;
use serde::Deserialize;

/// Most columns of a fold.
const COLUMNS_MAX: usize = 64;

/// The folds of a file, as it writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FoldsVector {
    folds: Vec<Fold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fold {
    key: [String; 2],
    tweak: String,
    index: String,
    columns: usize,
    words: String,
    message: String,
}

impl FoldsVector {
    /// Checks each; gives how many there are.
    ///
    /// # Errors
    /// The first that is malformed or differs.
    pub(super) fn check(&self) -> Result<usize, VectorError> {
        if self.folds.is_empty() {
            return Err(malformed("there is no fold in it"));
        }
        self.folds.iter().try_for_each(Fold::check)?;
        Ok(self.folds.len())
    }
}

impl Fold {
    fn check(&self) -> Result<(), VectorError> {
        let key = [word(&self.key[0])?, word(&self.key[1])?];
        let (tweak, words) = (word(&self.tweak)?, self.words()?);
        let index: u64 = self.index.parse().map_err(|_| malformed("an index is not a number"))?;
        compare("index", &self.index, &index.to_string())?;
        let columns: Vec<_> =
            words.chunks_exact(words.len() / self.columns).map(<[_]>::to_vec).collect();
        let same = |got: [u8; 16]| compare("message", &self.message, &hex::encode(got));
        same(reference::fold(key, tweak, index, &columns))?;
        same(match self.columns {
            1 => fold::<1>(key, tweak, index, &words),
            2 => fold::<2>(key, tweak, index, &words),
            4 => fold::<4>(key, tweak, index, &words),
            8 => fold::<8>(key, tweak, index, &words),
            16 => fold::<16>(key, tweak, index, &words),
            32 => fold::<32>(key, tweak, index, &words),
            _ => fold::<COLUMNS_MAX>(key, tweak, index, &words),
        })?;
        let of_a_leaf = words.as_array().filter(|_| self.columns == 32);
        let Some(of_a_leaf) = of_a_leaf else { return Ok(()) };
        [Simd::Scalar, Simd::Avx2, Simd::Avx512]
            .into_iter()
            .filter_map(MemoryCpu::with_simd)
            .try_for_each(|cpu| same(cpu.fold(key, tweak, index, of_a_leaf)))
    }

    /// At least one a column, in whole columns of which there are a power of two.
    fn words(&self) -> Result<Vec<[u32; 4]>, VectorError> {
        if !self.columns.is_power_of_two() || self.columns > COLUMNS_MAX {
            return Err(malformed("columns is not a power of two up to 64"));
        }
        let bytes = bytes(&self.words)?;
        let (words, rest) = bytes.as_chunks::<16>();
        if words.is_empty() || !rest.is_empty() || !words.len().is_multiple_of(self.columns) {
            return Err(malformed("words are not columns of 16 bytes a word"));
        }
        let word = |bytes: &[u8; 16]| {
            let mut parts = bytes.as_chunks::<4>().0.iter();
            std::array::from_fn(|_| parts.next().map_or(0, |part| u32::from_be_bytes(*part)))
        };
        Ok(words.iter().map(word).collect())
    }
}

/// The u32 of 8 hex digits.
fn word(text: &str) -> Result<u32, VectorError> {
    let bytes = bytes(text)?;
    let bytes = bytes.try_into().map_err(|_| malformed("a key or tweak is not 8 hex digits"))?;
    Ok(u32::from_be_bytes(bytes))
}

/// The bytes of lower-case hex digits.
fn bytes(text: &str) -> Result<Vec<u8>, VectorError> {
    let bytes = hex::decode(text).map_err(|error| malformed(&error.to_string()))?;
    if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return Err(malformed("hex digits are not lower case"));
    }
    Ok(bytes)
}

fn malformed(cause: &str) -> VectorError {
    VectorError::Malformed { cause: cause.to_owned() }
}
