//! (protocol verdict)
