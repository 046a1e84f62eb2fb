//! (module evidence)
