//! A device's error counts: what may not change while it computes.

use super::Sentinel;
use crate::protocol::evidence::telemetry::Health;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;

/// Asks for all counts.
pub(crate) fn health(device: &Device<'_>) -> Health {
    let errors =
        |kind| device.total_ecc_errors(kind, EccCounter::Volatile).ok().and_then(Sentinel::known);
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
    Health {
        ecc_corrected: errors(MemoryError::Corrected),
        ecc_uncorrected: errors(MemoryError::Uncorrected),
        rows_remapped_corrected: field(field_id::NVML_FI_DEV_REMAPPED_COR),
        rows_remapped_uncorrected: field(field_id::NVML_FI_DEV_REMAPPED_UNC),
        remap_pending: field(field_id::NVML_FI_DEV_REMAPPED_PENDING).map(|is| is != 0),
        remap_failed: field(field_id::NVML_FI_DEV_REMAPPED_FAILURE).map(|is| is != 0),
    }
}
