//! (protocol sample)
