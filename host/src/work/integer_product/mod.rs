//! Integer products on machines.

pub mod cpu;
