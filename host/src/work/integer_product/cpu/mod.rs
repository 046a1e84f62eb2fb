//! Integer products on the host's cores, exact on every instruction set.
//!
//! Deliberately lacks: a thread pool of its own (it runs in the caller's rayon pool),
//! chains, and roots above the tiles.

use crate::executor::cpu::{CpuWork, Simd};
use crate::executor::{ExecError, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::verify::LeafRequest;
use crate::protocol::work::IterationPlace;
use crate::protocol::work::integer_product::{
    ELEMENTS_PER_BLOCK, FOLD_COLUMNS, IntegerProduct, LEAVES_PER_TILE, LeafPlace, TILE,
};
use crate::work::fold::{fold, round};
use crate::work::hash::{short_leaf_hash, tile_root};
use rayon::prelude::*;

/// Products of one shape on the host's cores.
pub(crate) struct IntegerOnCpu {
    shape: IntegerProduct,
}

impl IntegerOnCpu {
    pub(crate) fn new(shape: IntegerProduct, _simd: Simd) -> Self {
        Self { shape }
    }

    /// Single leaves, in request order, without their tiles.
    pub(crate) fn single_leaves(&self, requests: &[LeafRequest]) -> Vec<Digest> {
        let hash = |request: &LeafRequest| {
            self.leaf(&request.at.state, LeafPlace::of(self.shape, request.leaf))
        };
        requests.par_iter().map(hash).collect()
    }

    fn tile(&self, state: &State, tile: u64) -> Vec<Digest> {
        let first = tile * u64::from(LEAVES_PER_TILE);
        (first..first + u64::from(LEAVES_PER_TILE))
            .map(|leaf| self.leaf(state, LeafPlace::of(self.shape, leaf)))
            .collect()
    }

    fn leaf(&self, state: &State, place: LeafPlace) -> Digest {
        let rows = place.rows().map(|row| self.vector(state, 2 * place.product, row));
        let columns = (place.first_column()..place.first_column() + TILE)
            .map(|column| self.vector(state, 2 * place.product + 1, column));
        let sums: Vec<[u32; 2]> = columns
            .map(|column| {
                [0, 1].map(|row: usize| {
                    let terms = rows[row].iter().zip(&column);
                    terms.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>() as u32
                })
            })
            .collect();
        let mut words = Vec::new();
        for tau in 0..FOLD_COLUMNS as usize {
            for b in 0..16 {
                let at = 8 * b + 2 * tau;
                words.push([sums[at][0], sums[at + 1][0], sums[at][1], sums[at + 1][1]]);
            }
        }
        let [k0, k1, w] = key_words(state);
        short_leaf_hash(&fold::<{ FOLD_COLUMNS as usize }>(
            [k0, k1],
            w,
            place.index(self.shape),
            &words,
        ))
    }

    fn vector(&self, state: &State, operand: u32, vector: u32) -> Vec<i8> {
        let [k0, k1, w] = key_words(state);
        let mut elements = Vec::with_capacity(self.shape.dim as usize);
        for c in 0..self.shape.dim / ELEMENTS_PER_BLOCK {
            let (mut block, mut key) = ([c, vector, operand, w], [k0, k1]);
            for _ in 0..10 {
                block = round(block, key);
                key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
            }
            elements.extend(block.into_iter().flat_map(u32::to_le_bytes).map(|byte| byte as i8));
        }
        elements
    }
}

fn key_words(state: &State) -> [u32; 3] {
    std::array::from_fn(|at| u32::from_be_bytes(std::array::from_fn(|byte| state.0[4 * at + byte])))
}

impl CpuWork for IntegerOnCpu {
    fn tile_roots(&mut self, at: &IterationPlace) -> Result<Vec<Digest>, ExecError> {
        let root = |tile| tile_root(&mut self.tile(&at.state, tile));
        Ok((0..self.shape.tiles()).into_par_iter().map(root).collect())
    }

    fn leaf_hashes(&mut self, tiles: &[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError> {
        Ok(tiles.par_iter().map(|tile| self.tile(&tile.at.state, tile.tile)).collect())
    }
}
