//! Policies as a user meets them: what they do to verdicts, and whether the
//! documents say the same as the code.

mod docs;
mod schema;
mod verdicts;
