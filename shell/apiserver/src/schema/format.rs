//! The formats of strings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static DURATION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[+-]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+$"));
static UUID: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^[0-9a-f]{8}-?([0-9a-f]{4})-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
});
static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?$")
});
static EMAIL: LazyLock<Regex> = LazyLock::new(|| regex(r"^[^@\s<>]+@[^@\s<>]+$"));
static MAC: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}([:-][0-9A-Fa-f]{2}){0,2}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})$",
    )
});

/// Whether a string has a format; one that nobody knows admits everything, as in Kubernetes.
pub(crate) fn admits(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => MAC.is_match(text),
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "date" => text.parse::<Date>().is_ok(),
        "duration" => DURATION.is_match(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "uuid" => UUID.is_match(text),
        "uuid3" => uuid_of(text, '3'),
        "uuid4" => uuid_of(text, '4'),
        "uuid5" => uuid_of(text, '5'),
        "hostname" => text.len() <= 255 && HOSTNAME.is_match(text),
        "email" => EMAIL.is_match(text),
        "uri" => text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() || text.starts_with('/')),
        _ => true,
    }
}

fn uuid_of(text: &str, version: char) -> bool {
    UUID.captures(text)
        .and_then(|parts| parts.get(2))
        .is_some_and(|found| found.as_str() == version.to_string())
}

/// An address range as in RFC 4632 and RFC 4291.
pub(crate) fn is_cidr(text: &str) -> bool {
    cidr(text).is_some()
}

/// The address and prefix length of a range.
pub(crate) fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.parse::<u8>().ok().filter(|length| *length <= longest)?;
    Some((address, length))
}

#[cfg(test)]
mod tests {
    use super::admits;

    #[test]
    fn formats_are_told_apart() {
        for (format, good, bad) in [
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "fd00::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("date-time", "2026-01-01T00:00:00Z", "yesterday"),
            ("date", "2026-01-01", "2026-13-01"),
            ("duration", "1h30m", "soon"),
            ("byte", "YQ==", "?"),
            ("uuid4", "7b0d7a0e-1c9b-4b7e-9d3c-0a1b2c3d4e5f", "7b0d7a0e-1c9b-5b7e-9d3c-0a1b2c3d4e5f"),
            ("hostname", "a.example.com", "-a"),
            ("mac", "00:00:5e:00:53:01", "00:00"),
            ("uri", "https://example.com/x", "a b"),
        ] {
            assert!(admits(format, good), "{format} {good}");
            assert!(!admits(format, bad), "{format} {bad}");
        }
        assert!(admits("of-nobody", "anything"));
    }
}
