//! The attestation kernels, compiled to PTX by `cargo xtask ptx`. On the host
//! this crate is the launch parameters, the geometry, the pure arithmetic,
//! and the committed PTX.
//!
//! | kernel | what it computes | grid × block |
//! | --- | --- | --- |
//! | `fill` | operands of consecutive products from Philox4x32-10 | any × 256 |
//! | `gemm_fma` | product, leaves and tile roots on the FMA pipe | tiles × 256 |
//! | `gemm_m8n8k4` | the same on tensor cores, compute capability ≥ 8.0 | tiles × 256 |
//! | `gemm_m16n8k16_tile` | the same by `mma.m16n8k16` and bulk copies, ≥ 9.0 | tiles × 256 |
//! | `gemm_m16n8k16` | that, hashing beside the product: 9.0, 10.0, 10.3 | SMs × 512 |
//! | `arena_start` | an arena's first words | any × 256 |
//! | `half_pass` | one half-pass of an arena | any × 256 |
//! | `sweep` | folds, leaves and tile roots of an arena | tiles × 32 |
//! | `merkle` | groups of 512 nodes to one | ⌈nodes/512⌉ × 256 |
//! | `chain_step` | the last ≤ 512 nodes to D(g,i); s(g,i) | 1 × 256 |
//!
//! Parameters of each are in [`abi`].
// Rust-CUDA's driver gives every crate `no_std`, and its entries need no ABI.
#![cfg_attr(all(target_arch = "nvptx64", not(feature = "rust-cuda")), no_std)]
#![cfg_attr(all(target_arch = "nvptx64", not(feature = "rust-cuda")), feature(abi_ptx))]
#![cfg_attr(target_arch = "nvptx64", feature(asm_experimental_arch, link_llvm_intrinsics))]
// Barriers are LLVM's intrinsics: `device::backend` says why.
#![cfg_attr(target_arch = "nvptx64", allow(internal_features))]

pub mod abi;
pub mod arena;
#[cfg(target_arch = "nvptx64")]
pub mod device;
#[cfg(target_arch = "nvptx64")]
pub mod kernels;
pub mod philox;
#[cfg(not(target_arch = "nvptx64"))]
pub mod ptx;
pub mod sha256;
pub mod tile;
