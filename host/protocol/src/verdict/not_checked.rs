//! What the circumstances of a verification did not allow to check.

use crate::verified::{CoinStanding, Verified};

/// In words, each.
pub(super) fn not_checked(verified: &Verified) -> Vec<String> {
    let mut absent = Vec::new();
    if !verified.is_from_issuer() {
        absent.push("whether this challenge was issued, and answered only once: the issuer's record is not at hand".to_owned());
    }
    if verified.arrival_unix_s().is_none() {
        absent.push(
            "arrival before the challenge expired: no time of arrival after its issue is known"
                .to_owned(),
        );
    }
    if let CoinStanding::Receipt { .. } = verified.coin() {
        absent.push("whose key signed the receipt: its holder can choose coins, and so samples; trust it as you trust the validator".to_owned());
    }
    if verified.elapsed().is_none() {
        absent.push("the time limit and the claimed model's time floor: no clock ran; all durations are claimed".to_owned());
    } else {
        absent.extend(without_floor(verified));
    }
    absent
}

/// The lanes whose claimed models have no time floor.
fn without_floor(verified: &Verified) -> Option<String> {
    let floors_s = verified.floors_s();
    let lanes: Vec<usize> = (0..floors_s.len()).filter(|&g| floors_s[g].is_none()).collect();
    match lanes.len() {
        0 => None,
        count if count == floors_s.len() => {
            Some("a time floor: none is known for the claimed models".to_owned())
        }
        _ => {
            let lanes: Vec<String> = lanes.iter().map(usize::to_string).collect();
            let lanes = lanes.join(", ");
            Some(format!("a time floor of lane {lanes}: none is known for the claimed model"))
        }
    }
}
