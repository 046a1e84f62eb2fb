//! The attestation kernels.
#![cfg_attr(target_arch = "nvptx64", no_std)]

pub mod abi;
#[cfg(not(target_arch = "nvptx64"))]
pub mod ptx;
pub mod tile;
