//! (protocol challenge)
