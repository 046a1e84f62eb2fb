//! (protocol transcript)
