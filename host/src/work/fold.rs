//! The fold that turns a leaf's words into the 16 bytes of its message: docs/protocol.md,
//! "Fold". Scalar, for any number of columns; kinds whose leaves are large have their own
//! on vectors, and are held to this one.

/// Multiplier of a round's first word.
pub const M0: u32 = 0xD251_1F53;
/// Multiplier of a round's third word.
pub const M1: u32 = 0xCD9E_8D57;

/// One round of Philox4x32.
#[inline(always)]
pub fn round([c0, c1, c2, c3]: [u32; 4], [k0, k1]: [u32; 2]) -> [u32; 4] {
    let (left, right) = (u64::from(M1) * u64::from(c2), u64::from(M0) * u64::from(c0));
    [(left >> 32) as u32 ^ c1 ^ k0, left as u32, (right >> 32) as u32 ^ c3 ^ k1, right as u32]
}

/// The message of leaf `index` under a state's key words and tweak. `words` has `COLUMNS`
/// columns of the same length, one after another.
pub fn fold<const COLUMNS: usize>(
    key: [u32; 2],
    tweak: u32,
    index: u64,
    words: &[[u32; 4]],
) -> [u8; 16] {
    const { assert!(COLUMNS.is_power_of_two(), "columns are halved down to one") }
    let mut columns = [[0; 4]; COLUMNS];
    let length = words.len() / COLUMNS;
    for (t, column) in columns.iter_mut().enumerate() {
        *column = round([t as u32, index as u32, tweak, (index >> 32) as u32], key);
        for &[v0, v1, v2, v3] in &words[t * length..][..length] {
            let [a, b, c, d] = *column;
            let [a, b, c, d] = round([a ^ v0, b, c ^ v1, d], key);
            *column = round([a ^ v2, b, c ^ v3, d], key);
        }
    }
    let mut count = COLUMNS;
    while count > 1 {
        count /= 2;
        for t in 0..count {
            let sum = std::array::from_fn(|i| columns[t][i].wrapping_add(columns[t + count][i]));
            columns[t] = round(round(sum, key), key);
        }
    }
    let mut message = [0; 16];
    for (bytes, word) in message.as_chunks_mut::<4>().0.iter_mut().zip(columns[0]) {
        *bytes = word.to_be_bytes();
    }
    message
}
