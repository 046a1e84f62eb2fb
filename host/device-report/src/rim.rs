//! Reference integrity manifests: golden values of measurements, as SWID tags that their
//! vendor signed.
//!
//! Guarantees: a [`Rim`] exists only if its signature verified to the trusted root; a
//! measurement is compared by position, width and value.
//! Deliberately lacks: fetching manifests, and any word on measurements that no manifest has.

use crate::c14n;
use crate::fault::{Code, Fault};
use crate::spdm::Report;
use crate::verify::Trust;
use crate::xml_signature;
use std::collections::BTreeMap;

/// Longest manifest, bytes.
pub const RIM_BYTES_MAX: usize = 256 * 1024;
/// Most values that a measurement may have.
const ALTERNATIVES_MAX: usize = 64;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const HASHES: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
/// The measurement that means nothing while video decoder 0 is off, by a manifest's index.
const VIDEO_DECODER: u8 = 35;

/// What a manifest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RimKind {
    /// The kernel driver.
    Driver,
    /// The VBIOS.
    Vbios,
}

/// A manifest whose signature verified.
#[derive(Clone, Debug)]
pub struct Rim {
    /// The version of what it is of, in the vendor's form: "550.90.07", "96.00.9F.00.01".
    pub version: String,
    /// The product, such as "GH100".
    pub product: String,
    /// Its tag's identity.
    pub tag_id: String,
    /// Golden values, by index from 0.
    golden: BTreeMap<u8, Vec<Vec<u8>>>,
}

impl Rim {
    /// Parses and verifies a manifest.
    ///
    /// # Errors
    /// `rim-too-large`, `rim-malformed`, what is wrong with its signature or the signer's
    /// chain.
    pub fn verify(text: &[u8], trust: &Trust<'_>) -> Result<Self, Fault> {
        if text.len() > RIM_BYTES_MAX {
            let detail = format!("{} bytes; at most {RIM_BYTES_MAX}", text.len());
            return Err(Fault::new(Code::RimTooLarge, detail));
        }
        let text = std::str::from_utf8(text).map_err(|_| malformed("not UTF-8"))?;
        let document = c14n::parse(text)?;
        let root = document.root_element();
        if !root.has_tag_name((SWID, "SoftwareIdentity")) {
            return Err(malformed("not a SWID tag"));
        }
        xml_signature::verify(&document, trust)?;
        let only = |name: &str| {
            let mut found = root.children().filter(|node| node.has_tag_name((SWID, name)));
            match (found.next(), found.next()) {
                (Some(node), None) => Ok(node),
                _ => Err(malformed(format!("expected exactly one {name}"))),
            }
        };
        let (meta, payload) = (only("Meta")?, only("Payload")?);
        let said = |name: &str| meta.attribute(name).unwrap_or_default().to_owned();
        let mut golden = BTreeMap::new();
        for resource in payload.children().filter(|node| node.is_element()) {
            if !resource.has_tag_name((SWID, "Resource")) {
                return Err(malformed("the payload holds more than resources"));
            }
            let Some((index, values)) = measurement(resource)? else { continue };
            if golden.insert(index, values).is_some() {
                return Err(malformed(format!("measurement {index} occurs twice")));
            }
        }
        Ok(Self {
            version: said("colloquialVersion"),
            product: said("product"),
            tag_id: root.attribute("tagId").unwrap_or_default().to_owned(),
            golden,
        })
    }

    /// What it is of, if it is of a part that this report names: its version is the report's.
    fn kind(&self, report: &Report) -> Option<RimKind> {
        let is_own = |version: Option<String>| {
            version.is_some_and(|version| version.eq_ignore_ascii_case(&self.version))
        };
        if is_own(report.driver_version()) {
            return Some(RimKind::Driver);
        }
        is_own(report.vbios_version()).then_some(RimKind::Vbios)
    }

    /// Indices, from 0, of the golden values that `report` does not have.
    pub fn differing(&self, report: &Report) -> Vec<u8> {
        let is_off = report.video_decoder_enabled() == Some(false);
        let differs = |index: u8, values: &[Vec<u8>]| {
            let measured = index.checked_add(1).and_then(|at| report.measurements.get(&at));
            !measured.is_some_and(|measured| values.contains(measured))
        };
        self.golden
            .iter()
            .filter(|(index, _)| !(is_off && **index == VIDEO_DECODER))
            .filter(|(index, values)| differs(**index, values))
            .map(|(index, _)| *index)
            .collect()
    }

    /// How many golden values it has.
    pub fn count(&self) -> usize {
        self.golden.len()
    }
}

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::RimMalformed, detail)
}

/// Index and golden values of a resource; `None` if it is not in use.
fn measurement(resource: roxmltree::Node<'_, '_>) -> Result<Option<(u8, Vec<Vec<u8>>)>, Fault> {
    let said = |name: &str| resource.attribute(name).unwrap_or_default();
    match said("active") {
        "False" => return Ok(None),
        "True" => {}
        other => return Err(malformed(format!("a measurement's active is {other:?}"))),
    }
    let number = |name: &str| {
        let wrong = || malformed(format!("a measurement's {name} is {:?}", said(name)));
        said(name).parse::<u8>().map_err(|_| wrong())
    };
    let (index, size, count) = (number("index")?, number("size")?, number("alternatives")?);
    if count == 0 || usize::from(count) > ALTERNATIVES_MAX || said("type") != "Measurement" {
        return Err(malformed(format!("measurement {index} has {count} values")));
    }
    let value = |n: u8| {
        let digits = resource.attribute((HASHES, format!("Hash{n}").as_str())).unwrap_or_default();
        let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == usize::from(size));
        bytes.ok_or_else(|| malformed(format!("value {n} of measurement {index} is {digits:?}")))
    };
    Ok(Some((index, (0..count).map(value).collect::<Result<_, _>>()?)))
}

/// How a report's measurements compare with golden values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// All that both manifests have are equal.
    Match {
        /// How many.
        count: usize,
    },
    /// Some differ.
    Differ {
        /// Their indices, from 0, as manifests count.
        indices: Vec<u8>,
    },
    /// There is no manifest of this version.
    Unknown {
        /// What is missing.
        missing: String,
    },
    /// Both manifests claim the same measurements.
    Conflict {
        /// Their indices, from 0.
        indices: Vec<u8>,
    },
}

/// The manifests that a verifier has.
#[derive(Clone, Debug, Default)]
pub struct Rims {
    all: Vec<Rim>,
}

impl Rims {
    /// A collection of these.
    pub fn new(all: Vec<Rim>) -> Self {
        Self { all }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Compares a report's measurements with the manifests of its driver's and its VBIOS's
    /// versions.
    pub fn compare(&self, report: &Report) -> Comparison {
        let of = |kind| self.all.iter().find(|rim| rim.kind(report) == Some(kind));
        let named = |version: Option<String>| version.unwrap_or_else(|| "no version".to_owned());
        let (driver, vbios) = match (of(RimKind::Driver), of(RimKind::Vbios)) {
            (Some(driver), Some(vbios)) => (driver, vbios),
            (driver, vbios) => {
                let mut missing = Vec::new();
                if driver.is_none() {
                    missing.push(format!("driver {}", named(report.driver_version())));
                }
                if vbios.is_none() {
                    missing.push(format!("VBIOS {}", named(report.vbios_version())));
                }
                return Comparison::Unknown { missing: missing.join(", ") };
            }
        };
        let shared: Vec<u8> =
            driver.golden.keys().filter(|at| vbios.golden.contains_key(at)).copied().collect();
        if !shared.is_empty() {
            return Comparison::Conflict { indices: shared };
        }
        let mut indices = driver.differing(report);
        indices.extend(vbios.differing(report));
        indices.sort_unstable();
        match indices.is_empty() {
            true => Comparison::Match { count: driver.count() + vbios.count() },
            false => Comparison::Differ { indices },
        }
    }
}
