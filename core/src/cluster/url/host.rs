//! The host of a URL. What the WHATWG's URL standard takes for an address is one, however it is spelled: a resolver, a
//! library or a person elsewhere would take it for one, too, and a name of that spelling is nobody's.

use std::net::{IpAddr, Ipv4Addr};

use super::{UpstreamHost, UpstreamUrlError};

/// Reads a host, without its port.
pub(super) fn read(text: &str) -> Result<UpstreamHost, UpstreamUrlError> {
    let no_host = || UpstreamUrlError::Host(text.to_owned());
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(no_host)?;
        if inner.contains('%') {
            return Err(UpstreamUrlError::Zone(text.to_owned()));
        }
        let address = inner.parse().map_err(|_| no_host())?;
        return Ok(UpstreamHost::Address(IpAddr::V6(address)));
    }
    if text.contains('%') {
        return Err(UpstreamUrlError::Percent(text.to_owned()));
    }
    if !text.is_ascii() {
        return Err(UpstreamUrlError::NotAscii(text.to_owned()));
    }
    let host = text.strip_suffix('.').unwrap_or(text);
    if ends_in_a_number(host) {
        let address = ipv4(host).ok_or_else(|| UpstreamUrlError::Number(text.to_owned()))?;
        return Ok(UpstreamHost::Address(address.into()));
    }
    if !is_name(host) {
        return Err(no_host());
    }
    Ok(UpstreamHost::Name(host.to_ascii_lowercase().into()))
}

/// Letters, digits, `-` and `_` in labels of 1 to 63.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Whether the host is an IPv4 address, if it is anything (<https://url.spec.whatwg.org/#ends-in-a-number-checker>).
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    is_decimal || number(last).is_some()
}

/// An address of one to four numbers, of which the last fills what the others leave
/// (<https://url.spec.whatwg.org/#concept-ipv4-parser>).
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let mut numbers = host.split('.').map(number).collect::<Option<Vec<_>>>()?;
    let last = numbers.pop()?;
    let above = u32::try_from(numbers.len())
        .ok()
        .filter(|above| *above < 4)?;
    let mut bits: u64 = 0;
    for number in numbers {
        bits = bits << 8 | u64::from(u8::try_from(number).ok()?);
    }
    let left = 32 - 8 * above;
    let fits = last >> left == 0;
    let bits = fits.then_some(bits << left | last)?;
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

/// A decimal, octal (`0…`) or hexadecimal (`0x…`) number; too large a one is as large as can be.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [] => return None,
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    if digits.is_empty() {
        return Some(0);
    }
    let digits = digits.chars().map(|c| c.to_digit(radix));
    digits.into_iter().try_fold(0_u64, |number, digit| {
        Some(
            number
                .saturating_mul(u64::from(radix))
                .saturating_add(u64::from(digit?)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::{UpstreamHost, UpstreamUrlError};
    use super::read;

    #[test]
    fn an_address_is_one_in_every_spelling() {
        for spelling in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0X7F000001",
            "0x7f.1",
            "127.1",
            "127.0.1",
            "0177.0.0.1",
            "0x7f.0.0.0x1",
            "127.0x1",
            "0x7f.0.1",
            "00000000177.0.0.01",
            "0x0000000000000007f000001",
        ] {
            let host = UpstreamHost::Address([127, 0, 0, 1].into());
            assert_eq!(read(spelling), Ok(host), "{spelling}");
        }
        for (spelling, address) in [
            ("0", [0, 0, 0, 0]),
            ("0x", [0, 0, 0, 0]),
            ("4294967295", [255, 255, 255, 255]),
            ("10.0x010203", [10, 1, 2, 3]),
            ("1.2.772", [1, 2, 3, 4]),
            ("169.254.43518", [169, 254, 169, 254]),
        ] {
            let host = UpstreamHost::Address(address.into());
            assert_eq!(read(spelling), Ok(host), "{spelling}");
        }
    }

    #[test]
    fn what_ends_in_a_number_and_is_no_address_is_no_name() {
        for spelling in [
            "4294967296",
            "256.0.0.1",
            "1.256.1",
            "1.2.65536",
            "1.2.3.4.5",
            "1.2.3.08",
            "1..2",
            ".1",
            "a.1",
            "a.0x1f",
            "1.2.3.0x",
            "0x10000000000000000000000",
            "99999999999999999999999",
        ] {
            let found = read(spelling);
            match spelling {
                "1.2.3.0x" => assert!(found.is_ok(), "an empty number is 0"),
                _ => assert!(
                    matches!(found, Err(UpstreamUrlError::Number(_))),
                    "{spelling}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn a_name_is_lower_case_without_its_last_dot() {
        for (spelling, name) in [
            ("Search-V2.", "search-v2"),
            ("a_b.example", "a_b.example"),
            ("1a", "1a"),
            ("0xyz", "0xyz"),
            ("a.0xg", "a.0xg"),
            ("7.a", "7.a"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(
                read(spelling),
                Ok(UpstreamHost::Name(name.into())),
                "{spelling}"
            );
        }
        for spelling in [
            "", ".", "a..", "a..b", "-a", "a-.b", "a b", "a,b", "[::1", "[::1]]", "::1",
        ] {
            assert!(
                matches!(read(spelling), Err(UpstreamUrlError::Host(_))),
                "{spelling}"
            );
        }
    }

    #[test]
    fn a_host_is_ascii_without_percent_signs_and_zones() {
        for spelling in [
            "\u{ff11}27.0.0.1",
            "127\u{3002}0.0.1",
            "a\u{ff0e}b",
            "b\u{fc}cher.example",
        ] {
            assert!(
                matches!(read(spelling), Err(UpstreamUrlError::NotAscii(_))),
                "{spelling}"
            );
        }
        for spelling in ["%31%32%37.0.0.1", "a%00", "127.0.0.1%2e"] {
            assert!(
                matches!(read(spelling), Err(UpstreamUrlError::Percent(_))),
                "{spelling}"
            );
        }
        for spelling in ["[fe80::1%eth0]", "[::1%25lo]"] {
            assert!(
                matches!(read(spelling), Err(UpstreamUrlError::Zone(_))),
                "{spelling}"
            );
        }
    }
}
