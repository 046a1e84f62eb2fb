//! What makers of devices and machines sign, from the files that were named.

use crate::args;
use crate::outcome::Result;
use attest::judging::{DeviceTrust, MachineTrust, certificates_in, manifests_in, responses_in};
use attest::session::drive::Validator;
use attest_device_report::{Ocsp, Rims};

/// It, read.
pub struct Makers {
    rims: Option<Rims>,
    ocsp: Option<Ocsp>,
    certificates: Vec<Vec<u8>>,
}

impl Makers {
    /// As it holds now.
    ///
    /// # Errors
    /// An unreadable file or folder, manifests that do not verify, or responses that are none.
    pub fn read(args: &args::Makers) -> Result<Self> {
        let (rims, ocsp) = vendor_at(&args.vendor, jiff::Timestamp::now().as_second())?;
        let certificates = args.machine_certificates.as_deref().map(certificates_in).transpose()?;
        Ok(Self { rims, ocsp, certificates: certificates.unwrap_or_default() })
    }

    /// Whose word counts for devices.
    pub fn devices(&self) -> DeviceTrust<'_> {
        let (rims, ocsp) = (self.rims.as_ref(), self.ocsp.as_ref());
        DeviceTrust { rims, ocsp, ..DeviceTrust::default() }
    }

    /// Whose word counts for machines.
    pub fn machine(&self) -> MachineTrust<'_> {
        MachineTrust { certificates: &self.certificates, ..MachineTrust::default() }
    }

    /// Gives it to a validator of sessions.
    pub fn give(self, validator: &mut Validator) {
        (validator.rims, validator.ocsp) = (self.rims, self.ocsp);
        validator.machine_certificates = self.certificates;
    }
}

/// Manifests and responses as they hold at a time, s since 1970.
///
/// # Errors
/// As of [`Makers::read`].
pub fn vendor_at(args: &args::Vendor, at_unix_s: i64) -> Result<(Option<Rims>, Option<Ocsp>)> {
    let rims = args.rim.as_deref().map(|folder| manifests_in(folder, at_unix_s)).transpose()?;
    Ok((rims, args.ocsp.as_deref().map(responses_in).transpose()?))
}
