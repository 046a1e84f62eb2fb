//! The fold of a leaf's words into its message, as docs/protocol.md writes it.

/// (v0, v1, v2, v3).
pub type Word = [u32; 4];

/// One round of Philox4x32 with the key (k0, k1).
fn round([c0, c1, c2, c3]: Word, [k0, k1]: [u32; 2]) -> Word {
    let (m0, m1) = (0xD251_1F53_u64, 0xCD9E_8D57_u64);
    let (left, right) = (m1 * u64::from(c2), m0 * u64::from(c0));
    let hi = |product: u64| (product >> 32) as u32;
    let lo = |product: u64| product as u32;
    [hi(left) ^ c1 ^ k0, lo(left), hi(right) ^ c3 ^ k1, lo(right)]
}

/// The 16 bytes that the columns' words fold to, for leaf `index` of an iteration with the
/// key words `key` and the tweak `w`. Each column is its words in order.
///
/// # Panics
/// If the number of columns is no power of two.
pub fn fold(key: [u32; 2], w: u32, index: u64, columns: &[Vec<Word>]) -> [u8; 16] {
    assert!(columns.len().is_power_of_two(), "W is a power of two");
    let (x_low, x_high) = ((index % (1 << 32)) as u32, (index >> 32) as u32);
    let start = |(t, words): (u32, &Vec<Word>)| {
        let mut column = round([t, x_low, w, x_high], key);
        for [v0, v1, v2, v3] in words {
            column[0] ^= v0;
            column[2] ^= v1;
            column = round(column, key);
            column[0] ^= v2;
            column[2] ^= v3;
            column = round(column, key);
        }
        column
    };
    let mut folded: Vec<Word> = (0..).zip(columns).map(start).collect();
    while folded.len() > 1 {
        let upper = folded.split_off(folded.len() / 2);
        for (column, other) in folded.iter_mut().zip(upper) {
            let sum = std::array::from_fn(|i| column[i].wrapping_add(other[i]));
            *column = round(round(sum, key), key);
        }
    }
    message(folded[0])
}

/// A word as four big-endian u32.
pub(super) fn message(word: Word) -> [u8; 16] {
    word.map(u32::to_be_bytes).concat().try_into().expect("four times four bytes")
}
