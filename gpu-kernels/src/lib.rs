//! The attestation kernels, compiled to PTX by `cargo xtask ptx`. On the host this
//! crate is what is declared of kernels and targets, the launch parameters, the
//! geometry, the pure arithmetic and, with feature `ptx`, the committed PTX.
//!
//! [`kernels::KERNELS`] lists the kernels, [`target::Target`] what they are compiled
//! for; parameters are in [`abi`].
// Rust-CUDA's driver gives every crate `no_std`, and its entries need no ABI.
#![cfg_attr(all(target_arch = "nvptx64", not(feature = "rust-cuda")), no_std)]
#![cfg_attr(all(target_arch = "nvptx64", not(feature = "rust-cuda")), feature(abi_ptx))]
#![cfg_attr(target_arch = "nvptx64", feature(asm_experimental_arch, link_llvm_intrinsics))]
// Barriers are LLVM's intrinsics: `device::backend` says why.
#![cfg_attr(target_arch = "nvptx64", allow(internal_features))]

pub mod abi;
pub mod arena;
pub mod declaration;
#[cfg(target_arch = "nvptx64")]
pub mod device;
pub mod fold;
pub mod integer;
pub mod kernels;
pub mod philox;
pub mod sha256;
#[cfg(not(target_arch = "nvptx64"))]
pub mod table;
pub mod target;
pub mod tile;
