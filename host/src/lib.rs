//! attest: proves by computation which GPUs did how much work.
//!
//! ```text
//! challenge ─▶ execute ─▶ commit ─▶ sample ─▶ open ─▶ verify ─▶ verdict
//! ```
//!
//! [`protocol`] has the rules of every stage, [`executor`] executes and opens,
//! [`evidence`] says on what, [`mining`] issues and mines, [`mod@reference`] is the
//! oracle that [`selftest`] holds all of it against.
//!
//! Guarantees: each stage takes the previous stage's type and returns the next,
//! and only verification makes a [`protocol::verified::Verified`]. Dependencies
//! point one way: `bin → session → mining → executor → work → protocol`.
//! Deliberately lacks: tolerance. A result is right to the last bit or it is
//! rejected.
//!
//! A whole run, on the CPU:
//!
//! ```
//! use attest::executor::cpu::CpuVerifier;
//! use attest::protocol::bound::OmittedShare;
//! use attest::protocol::circumstances::Circumstances;
//! use attest::protocol::verdict::{Outcome, Verdict};
//! use attest::protocol::verify::verify;
//! use attest::mining::executors::{Choice, choose};
//! use attest::mining::issue::{Request, issue};
//! use attest::mining::mine::{MineOptions, mine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The validator. In earnest n is 1024 or more: below, the hash outweighs the product.
//! let challenge = issue(&Request {
//!     matrix_dim: Some(128),
//!     num_iterations: Some(3),
//!     ..Request::default()
//! })?;
//!
//! // The miner, which has only the token.
//! let executors = choose(&Choice::Cpu, &challenge)?.executors;
//! let mined = mine(&challenge, executors, &MineOptions::default(), &|_| ())?;
//!
//! // The validator again.
//! let end = verify(&challenge, &mined.result, &Circumstances::default(), &CpuVerifier::new());
//! let verdict = Verdict::of(&end, OmittedShare::default());
//! assert_eq!(verdict.outcome, Outcome::Verified);
//! println!("{}", verdict.render_text());
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

pub mod appraisal;
pub mod bench;
pub mod chart;
pub mod dashboard;
pub mod doctor;
pub mod evidence;
pub mod executor;
pub mod export;
pub mod files;
pub mod fleet;
pub mod http;
pub mod identity;
pub mod inspect;
pub mod judging;
pub mod ledger;
pub mod log;
pub mod mining;
pub mod monitor;
pub mod policy;
pub mod reference;
pub mod report;
pub mod schema;
pub mod selftest;
pub mod session;
pub mod streams;
pub mod toml_place;
pub mod work;

pub use attest_protocol as protocol;
pub use attest_protocol::error_text;
