//! The attestation kernels.
#![cfg_attr(target_arch = "nvptx64", no_std)]

pub mod abi;
pub mod tile;
