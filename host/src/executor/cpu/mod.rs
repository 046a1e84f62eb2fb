//! (executor cpu/mod)
