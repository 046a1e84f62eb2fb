//! SHA-256 (FIPS 180-4) over words that are already in registers, and the
//! messages that the protocol hashes on the device. Pure per-thread
//! arithmetic, written with literal indices so that no array ends up in local
//! memory.

use crate::abi::DigestWords;

/// H⁽⁰⁾ of FIPS 180-4, 5.3.3.
pub const INITIAL: DigestWords = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// One block: FIPS 180-4, 6.2.2.
#[inline(always)]
#[rustfmt::skip]
pub fn compress(state: DigestWords, block: [u32; 16]) -> DigestWords {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    let mut w = block;
    // One round with the roles of a…h rotated by the caller instead of moved.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $k:literal, $w:expr) => {
            let t = $h
                .wrapping_add($k)
                .wrapping_add($w)
                .wrapping_add($e.rotate_right(6) ^ $e.rotate_right(11) ^ $e.rotate_right(25))
                .wrapping_add(($e & $f) ^ (!$e & $g));
            $d = $d.wrapping_add(t);
            $h = t
                .wrapping_add($a.rotate_right(2) ^ $a.rotate_right(13) ^ $a.rotate_right(22))
                .wrapping_add(($a & $b) ^ ($a & $c) ^ ($b & $c));
        };
    }
    macro_rules! schedule {
        ($t:literal, $t1:literal, $t9:literal, $t14:literal) => {{
            let (x, y) = (w[$t1], w[$t14]);
            w[$t] = w[$t]
                .wrapping_add(x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3))
                .wrapping_add(w[$t9])
                .wrapping_add(y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10));
            w[$t]
        }};
    }
    macro_rules! sixteen {
        ($k0:literal $k1:literal $k2:literal $k3:literal $k4:literal $k5:literal $k6:literal $k7:literal
         $k8:literal $k9:literal $k10:literal $k11:literal $k12:literal $k13:literal $k14:literal $k15:literal) => {
            round!(a b c d e f g h, $k0, schedule!(0, 1, 9, 14));
            round!(h a b c d e f g, $k1, schedule!(1, 2, 10, 15));
            round!(g h a b c d e f, $k2, schedule!(2, 3, 11, 0));
            round!(f g h a b c d e, $k3, schedule!(3, 4, 12, 1));
            round!(e f g h a b c d, $k4, schedule!(4, 5, 13, 2));
            round!(d e f g h a b c, $k5, schedule!(5, 6, 14, 3));
            round!(c d e f g h a b, $k6, schedule!(6, 7, 15, 4));
            round!(b c d e f g h a, $k7, schedule!(7, 8, 0, 5));
            round!(a b c d e f g h, $k8, schedule!(8, 9, 1, 6));
            round!(h a b c d e f g, $k9, schedule!(9, 10, 2, 7));
            round!(g h a b c d e f, $k10, schedule!(10, 11, 3, 8));
            round!(f g h a b c d e, $k11, schedule!(11, 12, 4, 9));
            round!(e f g h a b c d, $k12, schedule!(12, 13, 5, 10));
            round!(d e f g h a b c, $k13, schedule!(13, 14, 6, 11));
            round!(c d e f g h a b, $k14, schedule!(14, 15, 7, 12));
            round!(b c d e f g h a, $k15, schedule!(15, 0, 8, 13));
        };
    }
    round!(a b c d e f g h, 0x428a2f98, w[0]);
    round!(h a b c d e f g, 0x71374491, w[1]);
    round!(g h a b c d e f, 0xb5c0fbcf, w[2]);
    round!(f g h a b c d e, 0xe9b5dba5, w[3]);
    round!(e f g h a b c d, 0x3956c25b, w[4]);
    round!(d e f g h a b c, 0x59f111f1, w[5]);
    round!(c d e f g h a b, 0x923f82a4, w[6]);
    round!(b c d e f g h a, 0xab1c5ed5, w[7]);
    round!(a b c d e f g h, 0xd807aa98, w[8]);
    round!(h a b c d e f g, 0x12835b01, w[9]);
    round!(g h a b c d e f, 0x243185be, w[10]);
    round!(f g h a b c d e, 0x550c7dc3, w[11]);
    round!(e f g h a b c d, 0x72be5d74, w[12]);
    round!(d e f g h a b c, 0x80deb1fe, w[13]);
    round!(c d e f g h a b, 0x9bdc06a7, w[14]);
    round!(b c d e f g h a, 0xc19bf174, w[15]);
    sixteen!(0xe49b69c1 0xefbe4786 0x0fc19dc6 0x240ca1cc 0x2de92c6f 0x4a7484aa 0x5cb0a9dc 0x76f988da
             0x983e5152 0xa831c66d 0xb00327c8 0xbf597fc7 0xc6e00bf3 0xd5a79147 0x06ca6351 0x14292967);
    sixteen!(0x27b70a85 0x2e1b2138 0x4d2c6dfc 0x53380d13 0x650a7354 0x766a0abb 0x81c2c92e 0x92722c85
             0xa2bfe8a1 0xa81a664b 0xc24b8b70 0xc76c51a3 0xd192e819 0xd6990624 0xf40e3585 0x106aa070);
    sixteen!(0x19a4c116 0x1e376c08 0x2748774c 0x34b0bcb5 0x391c0cb3 0x4ed8aa4a 0x5b9cca4f 0x682e6ff3
             0x748f82ee 0x78a5636f 0x84c87814 0x8cc70208 0x90befffa 0xa4506ceb 0xbef9a3f7 0xc67178f2);
    [
        state[0].wrapping_add(a), state[1].wrapping_add(b), state[2].wrapping_add(c), state[3].wrapping_add(d),
        state[4].wrapping_add(e), state[5].wrapping_add(f), state[6].wrapping_add(g), state[7].wrapping_add(h),
    ]
}

/// Moves sixteen words one byte down the stream: `before` is the word ahead of
/// them, whose last byte comes first. The protocol's messages start with one
/// prefix byte, so every word of theirs straddles two of ours.
#[inline(always)]
#[rustfmt::skip]
pub fn shift_one_byte(before: u32, w: [u32; 16]) -> [u32; 16] {
    #[inline(always)]
    const fn join(high: u32, low: u32) -> u32 {
        high << 24 | low >> 8
    }
    [
        join(before, w[0]), join(w[0], w[1]), join(w[1], w[2]), join(w[2], w[3]),
        join(w[3], w[4]), join(w[4], w[5]), join(w[5], w[6]), join(w[6], w[7]),
        join(w[7], w[8]), join(w[8], w[9]), join(w[9], w[10]), join(w[10], w[11]),
        join(w[11], w[12]), join(w[12], w[13]), join(w[13], w[14]), join(w[14], w[15]),
    ]
}

/// Last block of a message of prefix byte + whole blocks: the stream's last
/// byte, the padding bit, and the message's length.
#[inline(always)]
pub fn final_block(last_word: u32, message_bytes: u32) -> [u32; 16] {
    [last_word << 24 | 0x0080_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, message_bytes * 8]
}

/// Bytes of a leaf's message: the prefix 0x00 and 64 doubles.
pub const LEAF_MESSAGE_BYTES: u32 = 1 + 512;
/// Bytes of a node's message: the prefix 0x01 and two digests.
pub const NODE_MESSAGE_BYTES: u32 = 1 + 64;

/// The one block of a folded leaf's message: the prefix 0x00 and sixteen bytes.
#[inline(always)]
#[rustfmt::skip]
pub fn fold_block(m: [u32; 4]) -> [u32; 16] {
    [
        m[0] >> 8, m[0] << 24 | m[1] >> 8, m[1] << 24 | m[2] >> 8, m[2] << 24 | m[3] >> 8,
        m[3] << 24 | 0x0080_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8 * (1 + 16),
    ]
}

/// Words of eight doubles in the order of the leaf's bytes.
#[inline(always)]
#[rustfmt::skip]
pub fn words_of(d: [f64; 8]) -> [u32; 16] {
    #[inline(always)]
    fn hi(x: f64) -> u32 {
        (x.to_bits() >> 32) as u32
    }
    #[inline(always)]
    fn lo(x: f64) -> u32 {
        x.to_bits() as u32
    }
    [
        hi(d[0]), lo(d[0]), hi(d[1]), lo(d[1]), hi(d[2]), lo(d[2]), hi(d[3]), lo(d[3]),
        hi(d[4]), lo(d[4]), hi(d[5]), lo(d[5]), hi(d[6]), lo(d[6]), hi(d[7]), lo(d[7]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn bytes(digest: DigestWords) -> Vec<u8> {
        digest.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn a_leaf_message_hashes_as_sha2_does() {
        let doubles: Vec<f64> = (0..64).map(|i| (f64::from(i) - 31.5).powi(3) / 7.0).collect();
        let mut message = vec![0u8];
        message.extend(doubles.iter().flat_map(|d| d.to_be_bytes()));
        let (mut state, mut before) = (INITIAL, 0);
        for eight in doubles.chunks_exact(8) {
            let w = words_of(eight.try_into().unwrap());
            state = compress(state, shift_one_byte(before, w));
            before = w[15];
        }
        state = compress(state, final_block(before, LEAF_MESSAGE_BYTES));
        assert_eq!(bytes(state), Sha256::digest(&message).to_vec());
    }

    #[test]
    fn a_folded_leaf_hashes_as_sha2_does() {
        let words = [0x0123_4567, 0x89ab_cdef, 0xfedc_ba98, 0x7654_3210];
        let message: Vec<u8> =
            [0].into_iter().chain(words.iter().flat_map(|w: &u32| w.to_be_bytes())).collect();
        assert_eq!(bytes(compress(INITIAL, fold_block(words))), Sha256::digest(&message).to_vec());
    }
}
