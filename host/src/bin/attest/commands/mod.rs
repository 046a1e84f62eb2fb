//! The commands, one file each: resolve what was typed, call the library,
//! render what came back.

pub mod challenge;
pub mod completions;
pub mod inspect;
mod summary;
