//! A device's report and certificates, by NVML.
//!
//! Guarantees: what is handed on is within the lengths that a result may carry.
//! Deliberately lacks: any check of them; the verifier makes them.

use crate::executor::gpu::telemetry::reason_of;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// What a device signed, and with whose blessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// An SPDM request and its response.
    pub report: Vec<u8>,
    /// PEM, the device's own first.
    pub certificates: Vec<u8>,
}

/// Asks the device at `pci_id` to sign a report for `nonce`.
///
/// # Errors
/// The driver's reason, such as that confidential computing is off.
pub fn ask(pci_id: &str, nonce: [u8; 32]) -> Result<Signed, String> {
    let asked = || -> Result<Signed, NvmlError> {
        let nvml = Nvml::init()?;
        let device = nvml.device_by_pci_bus_id(pci_id)?;
        let certificates = device.confidential_compute_gpu_certificate()?.attestation_cert_chain;
        let report = device.confidential_compute_gpu_attestation_report(nonce)?.attestation_report;
        Ok(Signed { report, certificates })
    };
    asked().map_err(|error| reason_of(&error))
}
