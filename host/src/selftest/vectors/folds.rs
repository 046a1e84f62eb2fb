//! Files of folds: on the oracle, and on the code that every kind of work on this machine
//! folds with.

use super::{FoldVector, FoldsVector, Report, VectorError, compare};
use crate::reference::memory;
use crate::work::fold::fold;

/// Most columns of a fold that any kind of work has.
const COLUMNS_MAX: usize = 32;

/// A fold as it is read.
struct Fold {
    key: [u32; 2],
    tweak: u32,
    index: u64,
    words: Vec<[u32; 4]>,
}

pub(super) fn check(vector: FoldsVector) -> Result<Report, VectorError> {
    if vector.folds.is_empty() {
        return Err(malformed("it has no folds"));
    }
    for file in &vector.folds {
        check_fold(file)?;
    }
    Ok(Report::Folds { folds: vector.folds.len() })
}

fn check_fold(file: &FoldVector) -> Result<(), VectorError> {
    let read = read(file).ok_or_else(|| malformed("a fold's numbers are not of the right form"))?;
    let Fold { key, tweak, index, words } = &read;
    let columns = file.columns;
    if !columns.is_power_of_two() || columns > COLUMNS_MAX || !words.len().is_multiple_of(columns) {
        return Err(malformed("a fold's words are not 1, 2, 4, 8, 16 or 32 columns"));
    }
    let in_columns: Vec<Vec<[u32; 4]>> = match words.len() / columns {
        0 => vec![Vec::new(); columns],
        length => words.chunks(length).map(<[_]>::to_vec).collect(),
    };
    let oracle = memory::fold(*key, *tweak, *index, &in_columns);
    compare("message", &file.message, &hex::encode(oracle))?;
    let fold = match columns {
        1 => fold::<1>,
        2 => fold::<2>,
        4 => fold::<4>,
        8 => fold::<8>,
        16 => fold::<16>,
        _ => fold::<COLUMNS_MAX>,
    };
    compare("message", &file.message, &hex::encode(fold(*key, *tweak, *index, words)))
}

/// Numbers in the one form that docs/protocol.md gives them.
fn read(file: &FoldVector) -> Option<Fold> {
    let bytes = |text: &str| hex::decode(text).ok().filter(|bytes| hex::encode(bytes) == text);
    let word = |text: &str| Some(u32::from_be_bytes(bytes(text)?.try_into().ok()?));
    let all = bytes(&file.words)?;
    let (words, []) = all.as_chunks::<16>() else { return None };
    let u32s =
        |bytes: &[u8; 16]| std::array::from_fn(|i| u32::from_be_bytes(bytes.as_chunks::<4>().0[i]));
    Some(Fold {
        key: [word(&file.key[0])?, word(&file.key[1])?],
        tweak: word(&file.tweak)?,
        index: file.index.parse().ok().filter(|index: &u64| index.to_string() == file.index)?,
        words: words.iter().map(u32s).collect(),
    })
}

fn malformed(cause: &str) -> VectorError {
    VectorError::Malformed { cause: cause.to_owned() }
}
