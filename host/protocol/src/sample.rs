//! Samples: which leaves of which iterations a commitment and a coin select.
//!
//! Guarantees: a function of challenge, lane count, commitment and coin only;
//! unbiased draws; ascending by lane, iteration, leaf, without duplicates: the
//! order of the openings.
//! Deliberately lacks: randomness of its own.

use super::challenge::Challenge;
use super::digest::Digest;
use super::names::{Coin, Commitment};

/// A leaf to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SamplePoint {
    /// g, from 0.
    pub lane: u32,
    /// i, from 1.
    pub iteration: u32,
    /// Index among the iteration's L leaves.
    pub leaf: u64,
}

/// σ = H("gpu-attest/v1/sample\0" ‖ commitment ‖ coin). Outside a live session there
/// is no coin, and 32 zero bytes stand in its place.
pub fn sigma(commitment: &Commitment, coin: Option<&Coin>) -> Digest {
    const NO_COIN: [u8; 32] = [0; 32];
    let coin = coin.map_or(&NO_COIN, Coin::as_bytes);
    Digest::of(&[b"gpu-attest/v1/sample\0", &commitment.0, coin])
}

/// One lane's stream of words, never reset.
#[derive(Clone, Debug)]
pub struct Draws {
    sigma: Digest,
    lane: u32,
    words_taken: u64,
    block: Digest,
}

impl Draws {
    /// The stream of `lane` under σ.
    pub fn new(sigma: Digest, lane: u32) -> Self {
        Self { sigma, lane, words_taken: 0, block: Digest::default() }
    }

    /// How many words were taken so far.
    pub fn words_taken(&self) -> u64 {
        self.words_taken
    }

    /// Word w is the big-endian u64 at byte 8·(w mod 4) of block w div 4.
    fn word(&mut self) -> u64 {
        let (block, at) = (self.words_taken / 4, 8 * (self.words_taken % 4) as usize);
        if at == 0 {
            let block = u32::try_from(block).expect("draws are far fewer than 2^34");
            let (lane, block) = (self.lane.to_be_bytes(), block.to_be_bytes());
            self.block = Digest::of(&[b"gpu-attest/v1/draw\0", &self.sigma.0, &lane, &block]);
        }
        self.words_taken += 1;
        u64::from_be_bytes(self.block.0[at..at + 8].try_into().expect("eight bytes"))
    }

    /// A draw below `bound`: takes words until one lies in the largest multiple
    /// of the bound that 64 bits hold. A draw below 1 takes a word, too.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let words = 1_u128 << 64;
        let usable = words - words % u128::from(bound);
        loop {
            let word = self.word();
            if u128::from(word) < usable {
                return word % bound;
            }
        }
    }
}

/// The leaves that a result with `lanes` lanes must open, in order.
pub fn derive(
    challenge: &Challenge,
    lanes: u32,
    commitment: &Commitment,
    coin: Option<&Coin>,
) -> Vec<SamplePoint> {
    let sigma = sigma(commitment, coin);
    let mut points = Vec::new();
    for lane in 0..lanes {
        let mut draws = Draws::new(sigma, lane);
        for iteration in sampled_iterations(challenge, &mut draws) {
            let mut leaves: Vec<u64> = (0..challenge.samples_per_iteration())
                .map(|_| draws.below(challenge.work().leaves()))
                .collect();
            leaves.sort_unstable();
            leaves.dedup();
            points.extend(leaves.into_iter().map(|leaf| SamplePoint { lane, iteration, leaf }));
        }
    }
    points
}

/// The first q entries of a shuffle of 1 … T, ascending.
fn sampled_iterations(challenge: &Challenge, draws: &mut Draws) -> Vec<u32> {
    let (all, sampled) = (challenge.iterations(), challenge.sampled_iterations());
    let mut a: Vec<u32> = (1..=all).collect();
    for i in 0..sampled {
        let j = u64::from(i) + draws.below(u64::from(all - i));
        a.swap(i as usize, j as usize);
    }
    a.truncate(sampled as usize);
    a.sort_unstable();
    a
}
