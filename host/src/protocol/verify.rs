//! (protocol verify)
