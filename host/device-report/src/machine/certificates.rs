//! Which certificates a quote is checked with: those that came with it, those that the verifier
//! has, and the makers' own, which are part of the program.
//!
//! Guarantees: a table of certificates is read within its bytes; what is chosen by names is
//! checked like any chain afterwards.
//! Deliberately lacks: fetching them.

use super::snp::{Key, Report};
use super::{AUXILIARY_BYTES_MAX, malformed};
use crate::bytes::Bytes;
use crate::chain::{Certificate, Chain};
use crate::fault::{Code, Fault};
use crate::keys::Maker;
use crate::pem::{CHAIN_BYTES_MAX, ders_of};
use crate::verify::Trust;

/// What quotes' chains end in, in DER: "ARK-Milan", "ARK-Genoa", "ARK-Turin" and "Intel SGX
/// Root CA".
pub const ROOTS: &[&[u8]] = &[
    include_bytes!("../roots/amd-milan-ark.der"),
    include_bytes!("../roots/amd-genoa-ark.der"),
    include_bytes!("../roots/amd-turin-ark.der"),
    include_bytes!("../roots/intel-sgx-root.der"),
];

/// What AMD's certificates of chips are signed by, in DER: hosts often leave it out. They
/// count for what AMD's roots signed of them.
pub const AMD_INTERMEDIATES: &[&[u8]] = &[
    include_bytes!("../roots/amd-milan-ask.der"),
    include_bytes!("../roots/amd-genoa-ask.der"),
    include_bytes!("../roots/amd-turin-ask.der"),
    include_bytes!("../roots/amd-milan-asvk.der"),
    include_bytes!("../roots/amd-genoa-asvk.der"),
    include_bytes!("../roots/amd-turin-asvk.der"),
];

/// Most entries of a table.
const ENTRIES_MAX: usize = 16;
/// An entry: its GUID, where it begins and how long it is.
const ENTRY_BYTES: usize = 24;

/// GUIDs of entries, in the order of their text.
const VCEK: [u8; 16] = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();
const VLEK: [u8; 16] = 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1_u128.to_be_bytes();
const ASK: [u8; 16] = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782_u128.to_be_bytes();

/// Certificates beside those in the quote itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Certificates<'a> {
    /// What the kernel gave beside the quote (auxblob); may be empty.
    pub auxiliary: &'a [u8],
    /// The verifier's own, in DER: of AMD's chips and their issuers.
    pub own: &'a [Vec<u8>],
}

impl Certificates<'_> {
    /// The chain of an SNP report's signing key.
    pub(super) fn of_amd(&self, report: &Report, trust: &Trust<'_>) -> Result<Chain, Fault> {
        let table = table(self.auxiliary)?;
        let of =
            |guid: [u8; 16]| table.iter().filter(move |(own, _)| *own == guid).map(|(_, der)| *der);
        let own = || self.own.iter().map(Vec::as_slice);
        let leaf = match report.key {
            Key::Vcek => VCEK,
            Key::Vlek => VLEK,
        };
        // Among a verifier's own certificates may be others' and roots.
        let is_leaf = |certificate: &Certificate| certificate.name() == report.key.name();
        let own_leaves = own().filter_map(|der| Certificate::of(Maker::Amd, der).ok());
        let mut leaves: Vec<Certificate> = of(leaf)
            .map(|der| Certificate::of(Maker::Amd, der))
            .chain(own_leaves.filter(is_leaf).map(Ok))
            .collect::<Result<_, _>>()?;
        let fitting = leaves.iter().position(|leaf| report.differs(leaf).is_none());
        let leaf = match fitting {
            Some(at) => &leaves.swap_remove(at),
            None => {
                let differs = leaves.first().and_then(|leaf| report.differs(leaf));
                let (code, detail) = match differs {
                    Some(differs) => (Code::QuoteCertificate, differs),
                    None => {
                        let none = "there is no certificate of the chip's key";
                        (Code::ChainMissing, none.to_owned())
                    }
                };
                return Err(Fault::new(code, detail));
            }
        };
        let issuer = |of: &Certificate, among: &mut dyn Iterator<Item = &[u8]>| {
            among
                .filter_map(|der| Certificate::of(Maker::Amd, der).ok())
                .find(|issuer| of.names_issuer(issuer))
                .ok_or_else(|| {
                    let detail = format!("there is no certificate of {:?}'s issuer", of.name());
                    Fault::new(Code::ChainMissing, detail)
                })
        };
        let known = AMD_INTERMEDIATES.iter().copied();
        let intermediate = issuer(leaf, &mut of(ASK).chain(own()).chain(known))?;
        let root = issuer(&intermediate, &mut trust.roots.iter().copied())?;
        let ders = [leaf, &intermediate, &root].map(|certificate| certificate.der().to_vec());
        Chain::of(Maker::Amd, &ders)
    }
}

/// The certificates in a file, which is one in DER or some in PEM; in DER.
///
/// # Errors
/// `chain-too-large` or `chain-malformed`.
pub fn ders_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    match bytes.first() {
        Some(0x30) if bytes.len() <= CHAIN_BYTES_MAX => Ok(vec![bytes.to_vec()]),
        _ => ders_of(bytes),
    }
}

/// An entry of a table of certificates: a GUID and bytes.
type Entry<'a> = ([u8; 16], &'a [u8]);

/// The entries of a table of certificates.
fn table(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Fault> {
    if bytes.len() > AUXILIARY_BYTES_MAX {
        let detail = format!("{} bytes beside the quote", bytes.len());
        return Err(Fault::new(Code::QuoteTooLarge, detail));
    }
    let mut from = Bytes::new(bytes, Code::QuoteMalformed);
    let mut entries = Vec::new();
    // Hosts without certificates give no bytes, or zeros.
    while !from.is_empty() {
        let mut entry = Bytes::new(from.take(ENTRY_BYTES, "an entry")?, Code::QuoteMalformed);
        let guid: [u8; 16] = entry.array("a GUID")?;
        let (offset, length) = (entry.u32("an offset")?, entry.u32("a length")?);
        if guid == [0; 16] {
            break;
        }
        if entries.len() == ENTRIES_MAX {
            return Err(malformed(format!("more than {ENTRIES_MAX} certificates in the table")));
        }
        let end = (offset as usize).checked_add(length as usize);
        let value = end.and_then(|end| bytes.get(offset as usize..end));
        let value = value.ok_or_else(|| malformed("a certificate lies outside the table"))?;
        entries.push((guid, value));
    }
    Ok(entries)
}
