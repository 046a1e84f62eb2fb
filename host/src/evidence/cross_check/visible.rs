//! How many devices CUDA_VISIBLE_DEVICES and MIG leave to the CUDA driver.
//!
//! Guarantees: pure; reads the value as the driver is known to.

/// How many devices a value names on a machine with `present`: numbers, or UUIDs
/// by their beginning, up to the first invalid one. None at all if one is
/// named twice.
pub(in crate::evidence) fn named(value: &str, present: u64) -> u64 {
    let tokens = value.split(',').map(str::trim);
    let valid: Vec<Name<'_>> = tokens.map_while(|token| Name::of(token, present)).collect();
    let twice = valid.iter().enumerate().any(|(at, name)| valid[..at].contains(name));
    if twice { 0 } else { valid.len() as u64 }
}

/// Whether something is known that hides devices from CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::evidence) enum Explained {
    /// Yes, exactly as many as it lists fewer.
    Yes,
    /// No: it has to list `named`.
    No {
        /// How many devices the variable names; without it, all.
        named: u64,
    },
}

/// Whether CUDA may list `listed` devices if NVML lists `managed`, with this value
/// of the variable, and `mig` if any of them is in MIG mode.
pub(in crate::evidence) fn explained(
    visible: Option<&str>,
    managed: u64,
    listed: u64,
    mig: bool,
) -> Explained {
    let named = visible.map_or(managed, |visible| named(visible, managed));
    // Of devices in MIG mode CUDA may use one instance only.
    match named == listed || (mig && listed > 0 && listed < named) {
        true => Explained::Yes,
        false => Explained::No { named },
    }
}

/// Whether a value is one by which people hide every device. One that names devices
/// which are not there hides all, too, and is a slip.
pub(in crate::evidence) fn hides_all(value: &str) -> bool {
    let first = value.split(',').next().unwrap_or_default().trim();
    first.is_empty() || first.starts_with('-') || first.eq_ignore_ascii_case("NoDevFiles")
}

/// One device, as the value names it.
#[derive(PartialEq, Eq)]
enum Name<'a> {
    Index(u64),
    Uuid(&'a str),
}

impl<'a> Name<'a> {
    /// `None` if this names no device.
    fn of(token: &'a str, present: u64) -> Option<Self> {
        if token.starts_with("GPU-") || token.starts_with("MIG-") {
            return Some(Self::Uuid(token));
        }
        // The driver takes a number's leading digits and ignores the rest.
        let digits = token.len() - token.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let index = token[..digits].parse().ok()?;
        (index < present).then_some(Self::Index(index))
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn names_count_up_to_the_first_that_is_no_device() {
        for (value, expected) in [
            ("", 0),
            ("-1", 0),
            ("NoDevFiles", 0),
            ("0", 1),
            (" 2 , 1", 2),
            ("0,2,-1,1", 2),
            ("0,1,8,2", 2),
            ("0,1,2,3,4,5,6,7", 8),
            ("0,", 1),
            ("1,1", 0),
            ("GPU-8932f937", 1),
            ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-1", 2),
            ("MIG-GPU-8932f937/1/0,MIG-05f", 2),
            ("GPU-1,GPU-1", 0),
            ("99999999999999999999,0", 0),
        ] {
            assert_eq!(named(value, 8), expected, "{value:?}");
        }
    }
}
