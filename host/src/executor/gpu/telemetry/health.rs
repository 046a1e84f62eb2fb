//! A device's error counts: what may not change while it computes.

use super::Sentinel;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;
use serde::Serialize;

/// Error counts. A fact that NVML does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Memory errors corrected since the driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<u64>,
    /// Memory errors that could not be corrected since the driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<u64>,
    /// Memory rows replaced by spare ones after corrected errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_remapped_corrected: Option<u64>,
    /// Memory rows replaced after errors that could not be corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_remapped_uncorrected: Option<u64>,
    /// Whether a replacement waits for the next reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remap_pending: Option<bool>,
    /// Whether a replacement has failed: no spare row is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remap_failed: Option<bool>,
}

impl Health {
    /// Asks for everything.
    pub(crate) fn of(device: &Device<'_>) -> Self {
        let errors = |kind| {
            device.total_ecc_errors(kind, EccCounter::Volatile).ok().and_then(Sentinel::known)
        };
        let field = |id| {
            let values = device.field_values_for(&[FieldId(id)]).ok()?;
            let sample = values.into_iter().next()?.ok()?;
            let value = match sample.value.ok()? {
                SampleValue::U32(value) => u64::from(value),
                SampleValue::U64(value) => value,
                SampleValue::I64(value) => u64::try_from(value).ok()?,
                SampleValue::F64(_) => return None,
            };
            value.known()
        };
        Self {
            ecc_corrected: errors(MemoryError::Corrected),
            ecc_uncorrected: errors(MemoryError::Uncorrected),
            rows_remapped_corrected: field(field_id::NVML_FI_DEV_REMAPPED_COR),
            rows_remapped_uncorrected: field(field_id::NVML_FI_DEV_REMAPPED_UNC),
            remap_pending: field(field_id::NVML_FI_DEV_REMAPPED_PENDING).map(|is| is != 0),
            remap_failed: field(field_id::NVML_FI_DEV_REMAPPED_FAILURE).map(|is| is != 0),
        }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}
