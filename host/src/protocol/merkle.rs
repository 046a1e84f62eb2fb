//! (protocol merkle)
