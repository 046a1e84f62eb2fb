//! The one form of XML signature that reference manifests have: enveloped, of the whole
//! document.
//!
//! Guarantees: what is digested is the document's root element with everything in it but the
//! signature, so no other element can be read in its place (no wrapping), and the signature
//! covers which algorithms were used; what lies in the signature element is read for the
//! signature only.
//! Deliberately lacks: references to parts or to other documents, transforms but the two that
//! are named, keys that are not in certificates.

use crate::c14n::canonical;
use crate::chain::{Chain, Use};
use crate::fault::{Code, Fault};
use crate::pem::from_base64;
use crate::verify::Trust;
use roxmltree::{Document, Node};
use sha2::{Digest as _, Sha384};

const NAMESPACE: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// In the profile of documents that is read both give the same bytes.
const CANONICAL: [&str; 2] =
    ["http://www.w3.org/2006/12/xml-c14n11", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"];
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: [&str; 2] =
    ["http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha384"];

fn form(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::RimSignatureForm, detail)
}

/// The child elements of `node`, which are exactly these, in this order; no text beside them.
fn exactly<'a, 'i, const N: usize>(
    node: Node<'a, 'i>,
    names: [&str; N],
) -> Result<[Node<'a, 'i>; N], Fault> {
    let has_text = node
        .children()
        .any(|child| child.is_text() && !child.text().unwrap_or("").trim().is_empty());
    let children: Vec<_> = node.children().filter(Node::is_element).collect();
    let fits = children.len() == N
        && children.iter().zip(names).all(|(child, name)| child.has_tag_name((NAMESPACE, name)));
    match <[_; N]>::try_from(children) {
        Ok(children) if fits && !has_text => Ok(children),
        _ => Err(form(format!("{} must hold {}", node.tag_name().name(), names.join(", ")))),
    }
}

fn algorithm(node: Node<'_, '_>, allowed: &[&str]) -> Result<(), Fault> {
    let named = node.attribute("Algorithm").unwrap_or("");
    let is_alone = node.attributes().len() == 1 && !node.has_children();
    match allowed.contains(&named) && is_alone {
        true => Ok(()),
        false => Err(form(format!("{} {named:?} is not known", node.tag_name().name()))),
    }
}

/// Verifies the signature of `document`; gives the signer's chain.
pub(crate) fn verify(document: &Document<'_>, trust: &Trust<'_>) -> Result<Chain, Fault> {
    let root = document.root_element();
    let is_signature = |node: &Node<'_, '_>| node.has_tag_name((NAMESPACE, "Signature"));
    let mut signatures = document.descendants().filter(is_signature);
    let (Some(signature), None) = (signatures.next(), signatures.next()) else {
        return Err(form("expected exactly one signature"));
    };
    if signature.parent() != Some(root) {
        return Err(form("the signature must be a child of the document's root"));
    }
    let [signed_info, value, key_info] =
        exactly(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let [method, signature_method, reference] =
        exactly(signed_info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    algorithm(method, &CANONICAL)?;
    algorithm(signature_method, &[ECDSA_SHA384])?;
    if reference.attribute("URI") != Some("") || reference.attributes().len() != 1 {
        return Err(form("the reference must be to the whole document"));
    }
    let [transforms, digest_method, digest] =
        exactly(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, canonicalised] = exactly(transforms, ["Transform", "Transform"])?;
    algorithm(enveloped, &[ENVELOPED])?;
    algorithm(canonicalised, &CANONICAL)?;
    algorithm(digest_method, &SHA384)?;
    let text =
        |node: Node<'_, '_>| from_base64(node.text().unwrap_or("")).map_err(|e| form(e.detail));

    let [data] = exactly(key_info, ["X509Data"])?;
    let certificates: Vec<Node<'_, '_>> = data.children().filter(Node::is_element).collect();
    if certificates.iter().any(|node| !node.has_tag_name((NAMESPACE, "X509Certificate"))) {
        return Err(form("the key must be given by certificates"));
    }
    if certificates.len() > crate::CERTIFICATES_MAX {
        return Err(Fault::new(Code::ChainLength, format!("{} certificates", certificates.len())));
    }
    let ders = certificates.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let chain = Chain::from_ders(&ders)?;
    chain.verify(Use::Rim, trust)?;

    let computed = Sha384::digest(canonical(root, Some(signature)));
    if text(digest)? != computed.as_slice() {
        let detail = format!("the document's digest is {}", hex::encode(computed));
        return Err(Fault::new(Code::RimDigest, detail));
    }
    let key = chain.certificates()[0].key();
    match key.verify_fixed(&canonical(signed_info, None), &text(value)?) {
        true => Ok(chain),
        false => Err(Fault::new(Code::RimSignature, "the signer's key did not sign this")),
    }
}
