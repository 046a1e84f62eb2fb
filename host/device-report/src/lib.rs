//! Attestation reports that GPUs in confidential-computing mode sign, the quotes of the virtual
//! machines that they are in, and what both are checked against.
//!
//! ```text
//! Report::parse ─┐                           ┌▶ compare(golden values of Rims)
//! Chain::verify ─┴▶ verify ─▶ SignedDevice ──┴▶ standing(certificates, by Ocsp)
//!
//! machine: snp or tdx ─┐
//! Chain::verify ───────┴▶ machine::verify ─▶ SignedMachine
//! ```
//!
//! Guarantees: no input, however formed, makes a function here panic or allocate beyond the
//! bounds that its type names; every failure has a stable code; only [`verify()`] makes a
//! [`SignedDevice`], and only [`machine::verify`] a [`machine::SignedMachine`].
//! Deliberately lacks: files, clocks, the network, and any word on the work that a report
//! belongs to. Times and nonces are handed in.

mod bytes;
mod c14n;
mod chain;
mod fault;
mod keys;
pub mod machine;
mod ocsp;
mod ocsp_form;
mod pem;
mod rim;
mod spdm;
mod verify;
mod xml_signature;

pub use chain::{CERTIFICATES_MAX, Certificate, Chain, NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT, Use};
pub use fault::{Code, Fault};
pub use keys::{Algorithm, Maker, PublicKey};
pub use ocsp::{OCSP_BYTES_MAX, Ocsp, Response, Standing};
pub use pem::CHAIN_BYTES_MAX;
pub use rim::{Comparison, RIM_BYTES_MAX, Rim, RimKind, Rims};
pub use spdm::{MEASUREMENTS_MAX, REPORT_BYTES_MAX, Report};
pub use verify::{SignedDevice, Trust, verify};
