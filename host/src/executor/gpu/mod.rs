//! (executor gpu/mod)
