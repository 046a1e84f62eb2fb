//! Live sessions: a validator and a miner talk until there is a verdict.
//!
//! ```text
//! validator                                    miner
//!   hello ───────────────────────────────────▶
//!         ◀─────────────────────────────────── hello
//!   ping  ───────────────────────────────────▶
//!         ◀─────────────────────────────────── pong
//!   challenge ───────────────────────────────▶
//!                                              works
//!         ◀─────────────────────────────────── commitment
//!   spends the nonce, draws and records the coin
//!   coin  ───────────────────────────────────▶
//!         ◀─────────────────────────────────── openings
//!   verifies, settles, and meanwhile, from version 2 on, perhaps the next challenge, or
//!   two: for the host's CPUs, and for the devices at the same time:
//!   challenge ───────────────────────────────▶   … as before
//!   verdict ─────────────────────────────────▶
//! ```
//!
//! [`validator`] and [`miner`] are the two sides without any input or output:
//! bytes, times and finished work go in, lines, work and an end come out.
//! [`drive`] and [`respond`] run them over any pair of streams; [`command`] and
//! [`tcp`] bring the streams.
//!
//! Guarantees: every session ends, with a verdict, within the limits of
//! [`limits`], whatever the other side does; what is read is bounded before it
//! is parsed, and parsed where it holds up nobody; a coin is sent only after the nonce
//! is spent and the coin recorded, durably; each challenge that was issued is settled.
//! Deliberately lacks: any way to go on with a session whose connection is gone.

mod chance;
pub mod clock;
pub mod command;
pub mod drive;
pub mod fault;
mod inbox;
pub mod limits;
mod link;
mod meet;
pub mod message;
pub mod miner;
pub mod network;
pub mod numbered;
mod open;
pub mod refusal;
pub mod respond;
mod room;
pub mod stderr_relay;
pub mod tcp;
pub mod tls;
pub mod validator;
pub mod wire;
