//! Verdicts as EAT Attestation Results (draft-ietf-rats-ear-04): JSON claims in a JWT, signed
//! by Ed25519.
//!
//! Guarantees: a trustworthiness claim is made only of what a device's report or a machine's quote
//! shows, and the status of a part is never better than its claims; a token is parsed only after its
//! signature was found valid, and only if it says that it is signed by EdDSA.
//! Deliberately lacks: claims of what was not appraised: those are absent, not 0.

use super::{Attested, Refusal};
use crate::identity::SigningIdentity;
use crate::protocol::digest::Digest;
use crate::protocol::json::{printable, read_value_of};
use crate::protocol::signature::PublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value, json};

/// `eat_profile` of tokens: the draft's, in the revision that is spoken here.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

/// Most JSON values of a token: those of 64 lanes, many times.
const VALUES_MAX: usize = 1 << 14;

/// The header's members that say something about the signature.
const ALGORITHM: &str = "EdDSA";

/// How far a part of an attester is trusted; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Nothing was appraised.
    None,
    /// It is as it should be.
    Affirming,
    /// Something is not as it should be, or was not looked at.
    Warning,
    /// It is not to be trusted.
    Contraindicated,
}

impl Tier {
    const ALL: [Self; 4] = [Self::None, Self::Affirming, Self::Warning, Self::Contraindicated];

    /// As tokens have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// That of a trustworthiness claim's value; `None` of a value that none has.
    fn of(claim: i64) -> Option<Self> {
        match claim {
            -1..=1 => Some(Self::None),
            2..=31 | -32..=-2 => Some(Self::Affirming),
            32..=95 | -96..=-33 => Some(Self::Warning),
            96..=127 | -128..=-97 => Some(Self::Contraindicated),
            _ => None,
        }
    }
}

/// Values of trustworthiness claims (draft-ietf-rats-ar4si).
mod claim {
    pub(super) const GENUINE_HARDWARE: i64 = 2;
    pub(super) const UNRECOGNIZED_HARDWARE: i64 = 97;
    pub(super) const APPROVED_BOOT: i64 = 3;
    pub(super) const UNRECOGNIZED_EXECUTABLES: i64 = 33;
    pub(super) const ENCRYPTED_MEMORY: i64 = 2;
    pub(super) const VISIBLE_MEMORY: i64 = 96;
    pub(super) const UNTRUSTWORTHY_INSTANCE: i64 = 96;
    pub(super) const CRYPTO_FAILED: i64 = 99;
}

/// What is claimed of a report or a quote that does not hold, by the code that says why.
fn of_broken(code: &str) -> (&'static str, i64) {
    match code {
        "ocsp-revoked" => ("instance-identity", claim::UNTRUSTWORTHY_INSTANCE),
        "chain-root" => ("hardware", claim::UNRECOGNIZED_HARDWARE),
        _ => ("hardware", claim::CRYPTO_FAILED),
    }
}

/// A trustworthiness vector, from what a verdict has on a lane's report or the machine's quote;
/// `of_signed` says what is claimed of what was signed.
fn vector(
    found: &Value,
    of_signed: impl FnOnce(&Value) -> Vec<(&'static str, i64)>,
) -> Map<String, Value> {
    let claims = match (&found["signed"], found["code"].as_str()) {
        (signed @ Value::Object(_), _) => of_signed(signed),
        (_, Some(code)) => vec![of_broken(code)],
        (_, None) => Vec::new(),
    };
    claims.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// Of a lane whose device signed.
fn of_device(signed: &Value) -> Vec<(&'static str, i64)> {
    let genuine = (signed["revocation"] == "good").then_some(("hardware", claim::GENUINE_HARDWARE));
    let executables = match signed["measurements"].as_str() {
        Some("match") => Some(claim::APPROVED_BOOT),
        Some("differ") => Some(claim::UNRECOGNIZED_EXECUTABLES),
        _ => None,
    };
    genuine.into_iter().chain(executables.map(|value| ("executables", value))).collect()
}

/// Of a machine whose processor signed. Its firmware's versions are not appraised, and so
/// nothing is claimed of its hardware.
fn of_machine(signed: &Value) -> Vec<(&'static str, i64)> {
    let memory = match signed["debug"].as_bool() {
        Some(false) => Some(claim::ENCRYPTED_MEMORY),
        Some(true) => Some(claim::VISIBLE_MEMORY),
        None => None,
    };
    memory.map(|value| ("runtime-opaque", value)).into_iter().collect()
}

/// The worst tier of a vector.
fn worst(vector: &Map<String, Value>) -> Option<Tier> {
    let tiers = vector.values().map(|value| value.as_i64().and_then(Tier::of));
    tiers.collect::<Option<Vec<_>>>().map(|tiers| tiers.into_iter().max().unwrap_or(Tier::None))
}

/// What a verdict comes to.
fn status(verdict: &Value) -> Tier {
    let warns = |policy: &Value| {
        let reasons = policy["reasons"].as_array();
        reasons.is_none_or(|reasons| reasons.iter().any(|reason| reason["weight"] == "warn"))
    };
    match (verdict["outcome"].as_str(), verdict["work"].as_str()) {
        (Some("rejected"), _) => Tier::Contraindicated,
        // Without a policy neither time nor devices were judged.
        (Some("verified"), Some("proven")) if !warns(&verdict["policy"]) => Tier::Affirming,
        (Some("verified"), _) => Tier::Warning,
        _ => Tier::None,
    }
}

/// A part's appraisal.
fn appraisal(
    tier: Tier,
    vector: Map<String, Value>,
    policy: Option<&str>,
    of_attester: Value,
    of_verifier: Value,
) -> Value {
    let mut part = json!({"ear_status": tier.name()});
    if !vector.is_empty() {
        part["ear_trustworthiness_vector"] = vector.into();
    }
    if let Some(digest) = policy {
        part["ear_appraisal_policy_ids"] =
            json!([format!("urn:gpu-attest:policy:sha256:{digest}")]);
    }
    for (name, claims) in
        [("ear_attester_claims", of_attester), ("ear_verifier_claims", of_verifier)]
    {
        if claims.as_object().is_some_and(|claims| !claims.is_empty()) {
            part[name] = claims;
        }
    }
    part
}

/// The members of `value` with these names that are there.
fn some_of(value: &Value, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|&name| Some((name.to_owned(), value.get(name)?.clone()))).collect()
}

/// The claims of a token about `attested`, made at `at_unix_s`.
///
/// # Errors
/// [`Refusal::Verdict`]: there is no verdict.
fn claims(attested: &Attested, at_unix_s: i64) -> Result<Value, Refusal> {
    let Some(verdict) = attested.verdict() else {
        return Err(Refusal::Verdict { cause: "none is given".to_owned() });
    };
    let policy = verdict["policy"]["policy_digest"].as_str();
    let policy = policy.filter(|digest| digest.parse::<Digest>().is_ok());
    let work = status(verdict);
    let of_verifier =
        some_of(verdict, &["outcome", "code", "work", "challenge_digest", "commitment"]);
    let mut parts = Map::new();
    let part = appraisal(work, Map::new(), policy, json!({}), of_verifier.into());
    parts.insert("work".to_owned(), part);
    let mut whole = work;
    // A part whose status is the worst of what is claimed of it.
    let mut add = |name: String, vector: Map<String, Value>, of_attester: Value, of_verifier| {
        let tier = worst(&vector).unwrap_or(Tier::None);
        whole = whole.max(tier);
        parts.insert(name, appraisal(tier, vector, policy, of_attester, of_verifier));
    };
    let models = attested.result().evidence.lanes();
    for (g, lane) in attested.result().lanes.iter().enumerate() {
        let devices = verdict["devices"].as_array().into_iter().flatten();
        let device = devices.clone().find(|device| device["lane"] == g).unwrap_or(&Value::Null);
        let signed = ["die", "die_serial", "family", "driver_version", "vbios_version"];
        let mut of_attester = some_of(&device["signed"], &signed);
        of_attester.insert("uuid".to_owned(), json!(lane.uuid));
        if let Some(model) = models.get(g).map(|lane| printable(&lane.model)) {
            of_attester.insert("model".to_owned(), json!(model));
        }
        let mut of_verifier = some_of(&device["signed"], &["measurements", "revocation"]);
        of_verifier.extend(some_of(device, &["code"]));
        let vector = vector(device, of_device);
        add(format!("lane-{g}"), vector, of_attester.into(), of_verifier.into());
    }
    if let machine @ Value::Object(_) = &verdict["machine"] {
        let signed = ["platform", "measurement", "registers", "debug", "versions"];
        let mut of_attester = some_of(&machine["signed"], &signed);
        of_attester.extend(some_of(machine, &["kind"]));
        let of_verifier = some_of(machine, &["code"]);
        let vector = vector(machine, of_machine);
        add("machine".to_owned(), vector, of_attester.into(), of_verifier.into());
    }
    Ok(json!({
        "eat_profile": PROFILE,
        "iat": at_unix_s,
        "ear_verifier_id": {
            "developer": "urn:gpu-attest",
            "build": concat!("attest ", env!("CARGO_PKG_VERSION")),
        },
        "eat_nonce": BASE64.encode(attested.challenge().digest().0),
        "ear_status": whole.name(),
        "submods": parts,
    }))
}

/// The verdict on a result as a token that `identity` signs at `at_unix_s`, s since 1970.
///
/// # Errors
/// [`Refusal::Verdict`], or [`Refusal::TooLarge`].
pub fn export(
    attested: &Attested,
    identity: &SigningIdentity,
    at_unix_s: i64,
) -> Result<String, Refusal> {
    let kid = identity.public().to_string();
    let header = json!({"alg": ALGORITHM, "kid": kid, "typ": "JWT"});
    let claims = claims(attested, at_unix_s)?;
    let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let token = format!("{signed}.{}", BASE64.encode(identity.sign(signed.as_bytes())));
    match token.len() > TOKEN_BYTES_MAX {
        true => Err(Refusal::TooLarge { limit_bytes: TOKEN_BYTES_MAX as u64 }),
        false => Ok(token),
    }
}

/// The claims of a token that `signer` must have signed.
///
/// # Errors
/// [`Refusal`]: the first thing that doesn't hold.
pub fn check(token: &str, signer: &PublicKey) -> Result<Value, Refusal> {
    let malformed = |cause: &str| Refusal::TokenMalformed { cause: cause.to_owned() };
    let token = token.trim();
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::TooLarge { limit_bytes: TOKEN_BYTES_MAX as u64 });
    }
    let parts: Vec<&str> = token.split('.').collect();
    let &[header, claims, signature] = parts.as_slice() else {
        return Err(malformed("expected header, claims and signature"));
    };
    let decoded = |part: &str| BASE64.decode(part).map_err(|_| malformed("not base64url"));
    let read = |part: &str| {
        let value = read_value_of(&decoded(part)?, VALUES_MAX);
        value.map_err(|error| malformed(&printable(&error)))
    };
    let header = read(header)?;
    if header["alg"] != ALGORITHM {
        return Err(Refusal::TokenAlgorithm { got: printable(&header["alg"]) });
    }
    let known = |name: &String| ["alg", "kid", "typ"].contains(&name.as_str());
    if !header.as_object().is_some_and(|header| header.keys().all(known)) {
        return Err(malformed("its header has members that are not known"));
    }
    let signature = <[u8; 64]>::try_from(decoded(signature)?);
    let signature = signature.map_err(|_| malformed("expected a signature of 64 bytes"))?;
    let signed = &token[..parts[0].len() + 1 + parts[1].len()];
    if !signer.verifies(signed.as_bytes(), &signature) {
        return Err(Refusal::SignatureInvalid);
    }
    let claims = read(claims)?;
    if claims["eat_profile"] != PROFILE {
        return Err(Refusal::TokenProfile { got: printable(&claims["eat_profile"]) });
    }
    if !is_ear(&claims) {
        return Err(malformed("its claims are not those of an attestation result"));
    }
    Ok(claims)
}

/// Whether these are the claims that the profile asks for, and no status is better than the
/// trustworthiness claims beside it.
fn is_ear(claims: &Value) -> bool {
    let tier = |value: &Value| Tier::ALL.into_iter().find(|tier| *value == tier.name());
    let holds = |part: &Value| {
        let Some(status) = tier(&part["ear_status"]) else { return false };
        match &part["ear_trustworthiness_vector"] {
            Value::Null => true,
            Value::Object(vector) if !vector.is_empty() => {
                worst(vector).is_some_and(|worst| status >= worst)
            }
            _ => false,
        }
    };
    let verifier = &claims["ear_verifier_id"];
    let nonce = claims["eat_nonce"].as_str();
    let is_whole = |parts: &Map<String, Value>| !parts.is_empty() && parts.values().all(holds);
    claims["iat"].is_i64()
        && verifier["developer"].is_string()
        && verifier["build"].is_string()
        && nonce.is_some_and(|nonce| (8..=88).contains(&nonce.len()))
        && tier(&claims["ear_status"]).is_some()
        && claims["submods"].as_object().is_some_and(is_whole)
}
