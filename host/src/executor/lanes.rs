//! (executor lanes)
