//! (module reference)
