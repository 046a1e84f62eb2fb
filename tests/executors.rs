//! Every way of computing on this machine, honest, failing and dishonest.

mod common;
mod dishonest_executors;
mod executor_cpu;
mod faults;
mod gpu_shim;
mod integer_cpu;
mod lanes;
mod late_tile_roots;
mod memory_cpu;
