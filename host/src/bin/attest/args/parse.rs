//! Values with a notation of their own: durations, shares, times.

use super::Arrival;
use attest::mining::kind::ArenaSize;
use attest::protocol::bound::OmittedShare;
use attest::protocol::digest::Uuid;
use attest::session::network::NETWORK_BYTES_MAX;
use std::time::Duration;

pub(super) fn parse_turn(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().or_else(|_| parse_duration(text).map(|d| d.as_secs_f64()));
    match seconds {
        Ok(seconds) if (0.01..=60.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds from 0.01 to 60, such as 1.5 or 1500ms".to_owned()),
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "expected a positive duration such as 500ms, 90s, 10m or 1h30m";
    let span: jiff::SignedDuration = text.parse().map_err(|_| hint.to_owned())?;
    match Duration::try_from(span) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(hint.to_owned()),
    }
}

/// Longest time that can be waited for an answer: a day.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        wait if wait <= WAIT_MAX => Ok(wait),
        _ => Err("expected at most 24h".to_owned()),
    }
}

/// HOST:PORT, an IPv6 address in brackets.
pub(super) fn parse_host_port(text: &str) -> Result<String, String> {
    let split = text.rsplit_once(':');
    let (host, port) = split.ok_or("expected HOST:PORT, such as miner-1:7420")?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(port.parse::<u16>(), Ok(1..)) {
        return Err("expected a port from 1 to 65535 after the colon".to_owned());
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => Ok(text.to_owned()),
        None if !host.is_empty() && !host.contains([':', '[', ']', ' ']) => Ok(text.to_owned()),
        _ => Err("expected a host before the port; an IPv6 address as in [::1]:7420".to_owned()),
    }
}

pub(super) fn parse_duration_s(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err("expected whole seconds, such as 90s, 10m or 1h30m".to_owned());
    }
    Ok(duration.as_secs())
}

pub(super) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err("expected whole milliseconds, such as 500ms, 45s or 10m".to_owned());
    }
    u64::try_from(duration.as_millis()).map_err(|_| "too long".to_owned())
}

/// A duration that may be given in days, which not every day's length is.
pub(super) fn parse_age(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days @ 1..) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => parse_duration(text).map_err(|_| "expected an age such as 90m, 12h or 90d".to_owned()),
    }
}

/// A number from 1 up, or nothing.
pub(super) fn parse_count(text: &str) -> Result<Option<u32>, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(count @ 1..) => Ok(Some(count)),
        _ => Err("expected a number, from 1 up".to_owned()),
    }
}

/// A device's UUID as `nvidia-smi -L` prints it, or its 32 hex digits.
pub(super) fn parse_uuid(text: &str) -> Result<Uuid, String> {
    let digits = text.strip_prefix("GPU-").or(text.strip_prefix("MIG-")).unwrap_or(text);
    let digits = digits.replace('-', "").to_ascii_lowercase();
    digits
        .parse()
        .map_err(|_| "expected a UUID such as GPU-6a1f0f0e-1f5c-4d1b-9a64-0c4dcbd8a1d1".into())
}

pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share.is_finite() => Ok(share),
        _ => Err("expected a decimal number from 0 to 1".to_owned()),
    }
}

/// Bytes, or a share in per cent with up to four decimals.
pub(super) fn parse_arena_size(text: &str) -> Result<ArenaSize, String> {
    let error = || "expected bytes such as 64GiB, or a share such as 90%".to_owned();
    let Some(share) = text.strip_suffix('%') else {
        return bytes_in(text).map(ArenaSize::Bytes).ok_or_else(error);
    };
    let percent: f64 = share.parse().map_err(|_| error())?;
    let ppm = (1e4 * percent).round();
    match (1.0..=1e6).contains(&ppm) && percent <= 100.0 {
        true => Ok(ArenaSize::SharePpm(ppm as u32)),
        false => Err("expected a share above 0 and at most 100 %".to_owned()),
    }
}

/// Bytes of memory.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    bytes_in(text).ok_or_else(|| "expected bytes such as 80GiB or 85899345920".to_owned())
}

/// Bytes of a part that measures the network.
pub(super) fn parse_network_bytes(text: &str) -> Result<u64, String> {
    bytes_in(text)
        .filter(|&bytes| bytes <= NETWORK_BYTES_MAX)
        .ok_or_else(|| "expected bytes such as 64MiB or 67108864, at most 16GiB".to_owned())
}

/// A number of bytes, with a unit or without.
fn bytes_in(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let unit = UNITS.iter().find_map(|&(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, bytes) = unit.unwrap_or((text, 1));
    let number = number.trim_end();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = number.parse().ok().filter(|_| is_number);
    number.and_then(|number| number.checked_mul(bytes))
}

pub(super) fn parse_omitted_share(text: &str) -> Result<OmittedShare, String> {
    let error = || "expected a decimal number above 0 and below 1".to_owned();
    OmittedShare::new(text.parse().map_err(|_| error())?).map_err(|_| error())
}

pub(super) fn parse_arrival(text: &str) -> Result<Arrival, String> {
    match text {
        "now" => Ok(Arrival::Now),
        "unknown" => Ok(Arrival::Unknown),
        _ => text
            .parse::<jiff::Timestamp>()
            .map(|time| Arrival::UnixS(time.as_second()))
            .map_err(|_| "expected now, unknown, or a time such as 2026-01-31T12:00:00Z".into()),
    }
}

/// `N` bytes in lower-case hexadecimal.
pub(super) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    match text.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Err("hexadecimal digits are lower-case".to_owned()),
        false => hex::decode_to_slice(text, &mut bytes)
            .map(|()| bytes)
            .map_err(|_| format!("expected {} hex digits", 2 * N)),
    }
}

/// A time such as 2026-01-31T12:00:00Z, s since 1970.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_second)
        .map_err(|_| "expected a time such as 2026-01-31T12:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_are_positive() {
        assert_eq!(parse_duration_s("1h30m"), Ok(5400));
        assert_eq!(parse_duration_ms("500ms"), Ok(500));
        for bad in ["", "5", "0s", "-1s", "1.5ms", "1y", "ms"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad:?}");
        }
        assert!(parse_duration_s("500ms").is_err());
    }

    #[test]
    fn bytes_have_units() {
        for (text, bytes) in
            [("64MiB", 1 << 26), ("0", 0), ("5 kB", 5000), ("16GiB", 1 << 34), ("7B", 7)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
            assert_eq!(parse_network_bytes(text), Ok(bytes), "{text}");
            assert_eq!(parse_arena_size(text), Ok(ArenaSize::Bytes(bytes)), "{text}");
        }
        assert_eq!(parse_bytes("17GiB"), Ok(17 << 30));
        assert!(parse_network_bytes("17GiB").is_err());
        for bad in
            ["", "MiB", "-1", "1.5MiB", "17179869184GiB", "1 XB", "99999999999999999999", "+1"]
        {
            assert!(parse_bytes(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn waits_end() {
        assert_eq!(parse_wait("24h"), Ok(WAIT_MAX));
        for bad in ["24h1ms", "9223372036854775807s", "0s", ""] {
            assert!(parse_wait(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["miner-1:7420", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(parse_host_port(good).as_deref(), Ok(good));
        }
        for bad in
            ["", "127.0.0.1", ":7420", "h:", "h:0", "h:99999", "h:+1", "::1", "[h]:1", "a b:1"]
        {
            assert!(parse_host_port(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ages_have_days() {
        assert_eq!(parse_age("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(12 * 3600)));
        for bad in ["", "d", "0d", "-1d", "90", "99999999999d"] {
            assert!(parse_age(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uuids_are_read_as_they_are_printed() {
        let uuid = Uuid([0xab; 16]);
        assert_eq!(parse_uuid("GPU-ABababab-abab-abab-abab-abababababab"), Ok(uuid));
        assert_eq!(parse_uuid(&uuid.to_string()), Ok(uuid));
        assert!(parse_uuid("GPU-ab").is_err() && parse_uuid("").is_err());
    }

    #[test]
    fn arenas_are_bytes_or_shares() {
        assert_eq!(parse_arena_size("2097152"), Ok(ArenaSize::Bytes(2_097_152)));
        for (text, ppm) in [("90%", 900_000), ("12.5%", 125_000), ("100%", 1_000_000)] {
            assert_eq!(parse_arena_size(text), Ok(ArenaSize::SharePpm(ppm)), "{text}");
        }
        for bad in ["", "%", "0%", "100.00001%", "101%", "-1%", "nan%", "inf%", "0.9", "+1", "1G"] {
            assert!(parse_arena_size(bad).is_err(), "{bad:?}");
        }
        assert!(parse_arena_size("18446744073709551616").is_err(), "above 64 bits");
    }

    #[test]
    fn a_turn_is_some_seconds() {
        assert_eq!(parse_turn("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_turn("200ms"), Ok(Duration::from_millis(200)));
        for bad in ["", "0", "-1", "61", "nan", "inf", "2m", "1ms"] {
            assert!(parse_turn(bad).is_err(), "{bad:?}");
        }
    }
}
