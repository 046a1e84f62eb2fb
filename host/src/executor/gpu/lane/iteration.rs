//! The launches of one iteration, phase by phase, over a lane's buffers.

use super::{Counting, Lane, Means, Workspace};
use crate::executor::gpu::driver::Gpu;
use crate::executor::gpu::kernels::Kernels;
use crate::executor::gpu::launch::{self, Fill, Gemm, Hashing, Nodes, Step, StepRule};
use crate::executor::gpu::words::{self, DIGEST_WORDS};
use crate::executor::{ExecError, Segment};
use crate::work::integer_product::gpu as integer;
use crate::work::memory_residency::gpu::RingPlace;

impl Lane {
    /// Enqueues one iteration of the chain.
    pub(in crate::executor::gpu) fn iteration(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        rule: StepRule,
    ) -> Result<(), ExecError> {
        self.leaves(gpu, kernels, &mut |_| Ok(()))?;
        self.tree_and_step(gpu, kernels, rule)
    }

    /// Enqueues an iteration's leaves and the tiles over them. `mark` is told when each
    /// of its parts is enqueued, numbered from 1: odd ones draw operands, even ones make
    /// leaves of them.
    pub(in crate::executor::gpu) fn leaves(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        mark: &mut dyn FnMut(usize) -> Result<(), ExecError>,
    ) -> Result<(), ExecError> {
        match &self.means {
            Means::Products(_) => {
                for (at, chunk) in self.plan.chunks().enumerate() {
                    self.fill(gpu, kernels, chunk)?;
                    mark(2 * at + 1)?;
                    self.gemm(gpu, kernels, chunk, Hashing::Hashed)?;
                    mark(2 * at + 2)?;
                }
            }
            Means::Arena(arena) => {
                mark(1)?;
                let counted = self.counting == Counting::PerSm;
                let ring = RingPlace {
                    chain: &self.chain,
                    roots: &self.tile_roots,
                    ring_slots: self.plan.ring_slots,
                    counters: counted.then_some(&self.counters),
                };
                let arena_kernels = kernels.arena(gpu)?;
                arena.sweep(gpu, arena_kernels, self.plan.sm_count, ring, self.start)?;
                mark(2)?;
            }
        }
        Ok(())
    }

    /// The workspace of products.
    ///
    /// # Panics
    /// If the lane is of another kind of work: a bug of the caller.
    pub(in crate::executor::gpu) fn workspace(&self) -> &Workspace {
        match &self.means {
            Means::Products(workspace) => workspace,
            Means::Arena(_) => panic!("{} has no operands", self.plan.work),
        }
    }

    /// Enqueues the operands of a chunk: its first product, and how many.
    pub(in crate::executor::gpu) fn fill(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        (first_product, products): (u32, u32),
    ) -> Result<(), ExecError> {
        if self.plan.work.integer_product().is_some() {
            let chunk = self.integers((first_product, products));
            return integer::fill(gpu, kernels.integer(gpu)?, self.plan.sm_count, &chunk);
        }
        let side = self.plan.shape().tiles_per_side();
        let work = Fill {
            operands: &self.workspace().operands,
            chain: &self.chain,
            sources: None,
            dim: self.plan.shape().dim,
            panels: [side, side],
            products,
            first_product,
            packing_b: kernels.product.shape.computes.packing_b,
        };
        launch::fill(gpu, &kernels.fill, self.plan.sm_count, &work)
    }

    /// Enqueues the product of a chunk.
    pub(in crate::executor::gpu) fn gemm(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        (first_product, products): (u32, u32),
        hashing: Hashing,
    ) -> Result<(), ExecError> {
        let shape = self.plan.shape();
        let side = shape.tiles_per_side();
        let counted = self.counting == Counting::PerSm && hashing == Hashing::Hashed;
        let counters = counted.then_some(&self.counters);
        let first_tile = u64::from(first_product) * shape.tiles_per_product();
        let scratch = &self.workspace().scratch;
        if self.plan.work.integer_product().is_some() {
            let chunk = self.integers((first_product, products));
            let tiles = integer::Tiles {
                roots: &self.tile_roots,
                ring_slots: self.plan.ring_slots,
                slot_tiles: shape.tiles(),
                first: first_tile,
                leaf_hashes: None,
                counters,
                scratch,
                hashing,
            };
            let integer_kernels = kernels.integer(gpu)?;
            return integer::gemm(gpu, integer_kernels, self.plan.sm_count, &chunk, &tiles);
        }
        let work = Gemm {
            operands: &self.workspace().operands,
            chain: &self.chain,
            tile_roots: &self.tile_roots,
            ring_slots: self.plan.ring_slots,
            slot_tiles: shape.tiles(),
            first_tile,
            leaf_hashes: None,
            counters,
            scratch,
            dim: shape.dim,
            tiles: [side, side],
            products,
            hashing,
        };
        let product = &kernels.product;
        launch::gemm(gpu, &product.kernel, &product.shape, self.plan.sm_count, &work)
    }

    /// Integer products from the `first_product`-th of the running iteration on.
    fn integers(&self, (first_product, products): (u32, u32)) -> integer::Chunk<'_> {
        let (dim, side) = (self.plan.shape().dim, self.plan.shape().tiles_per_side());
        integer::Chunk {
            operands: &self.workspace().operands,
            chain: &self.chain,
            sources: None,
            dim,
            tiles: [side, side],
            products,
            first_product,
        }
    }

    /// Enqueues the Merkle tree over the tile roots, and the chain's step.
    pub(in crate::executor::gpu) fn tree_and_step(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        rule: StepRule,
    ) -> Result<(), ExecError> {
        let mut nodes = Nodes::Ring {
            memory: &self.tile_roots,
            slots: self.plan.ring_slots,
            slot_nodes: self.plan.work.tiles(),
        };
        for (level, step) in self.plan.merkle.iter().enumerate() {
            let out = &self.nodes[level % 2];
            launch::merkle(gpu, &kernels.merkle, &self.chain, nodes, step.count, out)?;
            nodes = Nodes::Array(out);
        }
        let work = Step {
            chain: &self.chain,
            nodes,
            count: self.plan.step_nodes,
            roots: &self.roots,
            ring_slots: self.plan.ring_slots,
            rule,
        };
        launch::step(gpu, &kernels.chain_step, &work)
    }
}

impl StepRule {
    /// How the steps of `segment` are taken.
    pub(super) fn of(segment: &Segment) -> Self {
        match segment.solo_sync {
            Some(solo) => {
                Self { challenge: words::of_digest(&solo.challenge), solo_interval: solo.interval }
            }
            None => Self { challenge: [0; DIGEST_WORDS], solo_interval: 0 },
        }
    }
}
