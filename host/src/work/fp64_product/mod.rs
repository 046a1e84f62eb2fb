//! FP64 products on machines.

pub mod cpu;

use crate::protocol::work::fp64_product as protocol;

const _: () = {
    assert!(gpu_kernels::tile::TILE == protocol::TILE, "kernels have other tiles");
    assert!(
        gpu_kernels::tile::LEAVES_PER_TILE == protocol::LEAVES_PER_TILE,
        "kernels have other leaves"
    );
};
