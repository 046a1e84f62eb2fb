//! Why something that a device or a vendor signed does not hold.
//!
//! Guarantees: codes are stable, kebab-case and distinct.
//! Deliberately lacks: what a failure is worth; that is the policy's to say.

macro_rules! codes {
    ($($variant:ident $code:literal $advice:literal;)*) => {
        /// One named reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`. ", $advice)] $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable kebab-case name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// What to try.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    ReportTooLarge "report-too-large" "Hand in the report as the driver gave it.";
    ReportMalformed "report-malformed" "Hand in the request followed by its response, as the driver gave them.";
    ReportNonce "report-nonce" "A report is good for one lane of one run: collect it again.";
    ReportSignature "report-signature" "Report and certificates must come from one device, unchanged.";
    ReportFwid "report-fwid" "Report and certificates must come from one boot of one device.";
    ChainTooLarge "chain-too-large" "Hand in the device's own certificates and no others.";
    ChainMalformed "chain-malformed" "Hand in certificates in PEM, the device's own first and the root last.";
    ChainLength "chain-length" "Hand in the whole chain, root included.";
    ChainRoot "chain-root" "Only chains to the embedded root count.";
    ChainIssuer "chain-issuer" "Each certificate must be followed by its issuer's.";
    ChainSignature "chain-signature" "A certificate was changed or is another issuer's.";
    ChainAlgorithm "chain-algorithm" "Certificates must have their maker's own algorithms.";
    ChainValidity "chain-validity" "Check the clock, or the time given with --at.";
    ChainNotCa "chain-not-ca" "A certificate that is no CA's cannot issue another.";
    ChainPathLength "chain-path-length" "A CA certificate allows fewer certificates below it.";
    ChainKeyUsage "chain-key-usage" "A key was used for what its certificate does not allow.";
    ChainExtension "chain-extension" "A critical extension is unknown, or one occurs twice.";
    OcspTooLarge "ocsp-too-large" "Hand in responses as their responder gave them.";
    OcspMalformed "ocsp-malformed" "Hand in responses in DER, as their responder gave them.";
    OcspResponder "ocsp-responder" "Only the issuer, a CA above it, or whom they named may answer.";
    OcspKeyUsage "ocsp-key-usage" "The responder's certificate must be for signing responses.";
    OcspSignature "ocsp-signature" "The response was changed, or is another responder's.";
    OcspTime "ocsp-time" "Fetch a response that holds at the time of the report.";
    OcspStatus "ocsp-status" "The responder gave no answer: ask it again.";
    OcspMissing "ocsp-missing" "Fetch a response for each certificate between die and root.";
    OcspUnknown "ocsp-unknown" "The responder does not know the certificate.";
    OcspRevoked "ocsp-revoked" "The certificate's issuer has revoked it: do not accept the device.";
    ChainMissing "chain-missing" "Hand in the processor's certificates, as its maker's key service gives them.";
    QuoteTooLarge "quote-too-large" "Hand in the quote as the kernel gave it.";
    QuoteMalformed "quote-malformed" "Hand in the quote and its certificates as the kernel gave them.";
    QuoteNonce "quote-nonce" "A quote is good for one result: collect it again.";
    QuoteSignature "quote-signature" "Quote and certificates must come from one processor, unchanged.";
    QuoteCertificate "quote-certificate" "Hand in the certificate of this chip and of its firmware's versions.";
    QuoteEnclave "quote-enclave" "Only quotes of Intel's own quoting enclave count.";
    QuoteModule "quote-module" "Only Intel's own TDX module counts, not a debug build of it.";
    RimTooLarge "rim-too-large" "Hand in the manifest as its vendor published it.";
    RimMalformed "rim-malformed" "Hand in the manifest as its vendor published it; a DTD is never read.";
    RimSignatureForm "rim-signature-form" "Only one enveloped signature of the whole document counts.";
    RimDigest "rim-digest" "The manifest was changed after it was signed.";
    RimSignature "rim-signature" "The manifest's signature is not its signer's.";
}

/// A failure: the first check that failed, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}\n{}", code.name(), code.advice())]
pub struct Fault {
    /// Which check.
    pub code: Code,
    /// What was expected and what was found; one line of printable ASCII.
    pub detail: String,
}

/// Longest detail, characters.
const DETAIL_CHARS_MAX: usize = 300;

impl Fault {
    /// A failure of `code`; what is not printable ASCII in `detail` is escaped.
    pub fn new(code: Code, detail: impl AsRef<str>) -> Self {
        let text: String = detail
            .as_ref()
            .chars()
            .flat_map(|c| match c {
                ' '..='~' => vec![c],
                other => other.escape_default().collect(),
            })
            .take(DETAIL_CHARS_MAX)
            .collect();
        Self { code, detail: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_details_bounded() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        let fault = Fault::new(Code::ChainRoot, "\u{1b}é".repeat(1000));
        assert!(fault.detail.len() == DETAIL_CHARS_MAX && fault.detail.is_ascii());
    }
}
