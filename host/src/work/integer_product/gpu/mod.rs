//! Integer products on a CUDA device: the kernels as functions over buffers.
//!
//! Guarantees: no launch reads or writes beyond the buffers that it is given, as long as
//! the kernels keep to what `gpu_kernels::abi` says about them.
//! Deliberately lacks: plans, rings and openings, which all products share with
//! [`crate::executor::gpu`]; any check of exactness, since every unit gives the same
//! integers.

mod launch;

pub(crate) use launch::{Chunk, IntegerKernels, Tiles, fill, gemm, scratch_bytes};
