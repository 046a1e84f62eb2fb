//! A report's bytes: an SPDM 1.1 GET_MEASUREMENTS request followed by its response.
//!
//! Guarantees: a [`Report`] that was parsed has no byte that is not accounted for: lengths
//! agree, indices and opaque types occur once, nothing follows the signature.
//! Deliberately lacks: any check of the signature; that is [`crate::verify()`]'s.

use crate::bytes::Bytes;
use crate::fault::{Code, Fault};
use std::collections::BTreeMap;

/// Longest report, bytes: what NVML gives at most.
pub const REPORT_BYTES_MAX: usize = 8192;
/// Most measurement blocks: what one byte can count.
pub const MEASUREMENTS_MAX: usize = 255;

const SPDM_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xE0;
const MEASUREMENTS: u8 = 0x60;
/// Param1 of a request that asks for a signature.
const SIGNATURE_REQUESTED: u8 = 1;
/// Param2 of a request for all measurements.
const ALL_MEASUREMENTS: u8 = 0xFF;
/// MeasurementSpecification of DMTF measurements.
const DMTF: u8 = 1;
/// ECDSA P-384: r and s of 48 bytes.
const SIGNATURE_BYTES: usize = 96;

/// Types of opaque fields.
mod opaque {
    pub(super) const DRIVER_VERSION: u16 = 3;
    pub(super) const VBIOS_VERSION: u16 = 6;
    pub(super) const BOARD_ID: u16 = 14;
    pub(super) const CHIP_SKU: u16 = 15;
    pub(super) const CHIP_SKU_MOD: u16 = 16;
    pub(super) const PROJECT: u16 = 17;
    pub(super) const PROJECT_SKU: u16 = 18;
    pub(super) const PROJECT_SKU_MOD: u16 = 19;
    pub(super) const NVDEC0_STATUS: u16 = 11;
    pub(super) const FWID: u16 = 20;
}

/// A report that was parsed and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The nonce of the request: whoever asked chose it.
    pub nonce: [u8; 32],
    /// The nonce of the response: the device drew it.
    pub device_nonce: [u8; 32],
    /// Measurement values by their SPDM index, from 1.
    pub measurements: BTreeMap<u8, Vec<u8>>,
    opaque: BTreeMap<u16, Vec<u8>>,
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::ReportMalformed, detail)
}

impl Report {
    /// Parses a report.
    ///
    /// # Errors
    /// `report-too-large`, or `report-malformed` with the field that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > REPORT_BYTES_MAX {
            let detail = format!("{} bytes; at most {REPORT_BYTES_MAX}", bytes.len());
            return Err(Fault::new(Code::ReportTooLarge, detail));
        }
        let mut from = Bytes::new(bytes, Code::ReportMalformed);
        from.expect("the request's SPDM version", SPDM_1_1)?;
        from.expect("the request's code", GET_MEASUREMENTS)?;
        from.expect("the request's attributes", SIGNATURE_REQUESTED)?;
        from.expect("the request's operation", ALL_MEASUREMENTS)?;
        let nonce = from.array("the request's nonce")?;
        let slot = from.byte("the request's slot")?;
        from.expect("the response's SPDM version", SPDM_1_1)?;
        from.expect("the response's code", MEASUREMENTS)?;
        from.expect("the response's first parameter", 0)?;
        from.expect("the response's slot", slot)?;
        let count = from.byte("the number of measurements")?;
        let [a, b, c] = from.array("the measurements' length")?;
        let record = from.take(u32::from_le_bytes([a, b, c, 0]) as usize, "the measurements")?;
        let measurements = measurements(record, count)?;
        let device_nonce = from.array("the response's nonce")?;
        let opaque_bytes = from.u16("the opaque data's length")?;
        let opaque = opaque_fields(from.take(usize::from(opaque_bytes), "the opaque data")?)?;
        let signed = bytes[..from.at()].to_vec();
        let signature = from.array("the signature")?;
        if !from.is_empty() {
            return Err(malformed(format!("{} bytes follow the signature", from.left())));
        }
        Ok(Self { nonce, device_nonce, measurements, opaque, signed, signature })
    }

    /// Parses a report from hexadecimal text, with white space around it.
    ///
    /// # Errors
    /// As [`Self::parse`]; `report-malformed` for text that is not lower-case hexadecimal.
    pub fn from_hex(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.len() > 2 * REPORT_BYTES_MAX {
            return Err(Fault::new(Code::ReportTooLarge, format!("{} digits", text.len())));
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(malformed("hexadecimal digits are lower-case"));
        }
        Self::parse(&hex::decode(text).map_err(|error| malformed(error.to_string()))?)
    }

    /// The kernel driver's version, such as "550.90.07".
    pub fn driver_version(&self) -> Option<String> {
        self.text(opaque::DRIVER_VERSION)
    }
    /// The VBIOS's version, such as "96.00.9F.00.01".
    pub fn vbios_version(&self) -> Option<String> {
        let &[d, c, b, a, e, ..] = self.opaque.get(&opaque::VBIOS_VERSION)?.as_slice() else {
            return None;
        };
        Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"))
    }
    /// The board's number.
    pub fn board_id(&self) -> Option<u32> {
        let bytes = self.opaque.get(&opaque::BOARD_ID)?.as_slice();
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
    /// The chip's SKU, such as "882".
    pub fn chip_sku(&self) -> Option<String> {
        self.text(opaque::CHIP_SKU)
    }
    /// Its modification.
    pub fn chip_sku_mod(&self) -> Option<String> {
        self.text(opaque::CHIP_SKU_MOD)
    }
    /// The board project, such as "1010".
    pub fn project(&self) -> Option<String> {
        self.text(opaque::PROJECT)
    }
    /// Its SKU.
    pub fn project_sku(&self) -> Option<String> {
        self.text(opaque::PROJECT_SKU)
    }
    /// Its modification.
    pub fn project_sku_mod(&self) -> Option<String> {
        self.text(opaque::PROJECT_SKU_MOD)
    }
    /// SHA-384 of the firmware that holds the attestation key, if the report says it.
    pub fn fwid(&self) -> Option<&[u8]> {
        self.opaque.get(&opaque::FWID).map(Vec::as_slice)
    }
    /// Whether video decoder 0 is in use; if it is not, measurement 36 is not meaningful.
    pub fn video_decoder_enabled(&self) -> Option<bool> {
        match self.opaque.get(&opaque::NVDEC0_STATUS)?.as_slice() {
            [0xAA] => Some(true),
            [0x55] => Some(false),
            _ => None,
        }
    }
    /// Types of all opaque fields, those of no known meaning included.
    pub fn opaque_types(&self) -> impl Iterator<Item = u16> {
        self.opaque.keys().copied()
    }

    /// An opaque field that is text, without the zero bytes at its end. `None` if it is
    /// absent, empty or not printable ASCII.
    fn text(&self, kind: u16) -> Option<String> {
        let bytes = self.opaque.get(&kind)?;
        let end = bytes.iter().rposition(|&b| b != 0)? + 1;
        let text = &bytes[..end];
        text.iter()
            .all(|b| b.is_ascii_graphic())
            .then(|| text.iter().copied().map(char::from).collect())
    }
}

fn measurements(record: &[u8], count: u8) -> Result<BTreeMap<u8, Vec<u8>>, Fault> {
    if count == 0 {
        return Err(malformed("no measurements"));
    }
    let mut from = Bytes::new(record, Code::ReportMalformed);
    let mut all = BTreeMap::new();
    for _ in 0..count {
        let index = from.byte("a measurement's index")?;
        from.expect("a measurement's specification", DMTF)?;
        let block = from.u16("a measurement's length")?;
        let _kind = from.byte("a measurement's type")?;
        let value = from.u16("a measurement's value's length")?;
        if u32::from(block) != u32::from(value) + 3 {
            let detail = format!("measurement {index}: {block} bytes hold a value of {value}");
            return Err(malformed(detail));
        }
        let value = from.take(usize::from(value), "a measurement's value")?.to_vec();
        if index == 0 || all.insert(index, value).is_some() {
            return Err(malformed(format!("measurement {index} is zero or occurs twice")));
        }
    }
    match from.left() {
        0 => Ok(all),
        left => Err(malformed(format!("{left} bytes follow the last measurement"))),
    }
}

fn opaque_fields(data: &[u8]) -> Result<BTreeMap<u16, Vec<u8>>, Fault> {
    let mut from = Bytes::new(data, Code::ReportMalformed);
    let mut all = BTreeMap::new();
    while !from.is_empty() {
        let kind = from.u16("an opaque field's type")?;
        let length = from.u16("an opaque field's length")?;
        let value = from.take(usize::from(length), "an opaque field")?.to_vec();
        if all.insert(kind, value).is_some() {
            return Err(malformed(format!("opaque field {kind} occurs twice")));
        }
    }
    Ok(all)
}
