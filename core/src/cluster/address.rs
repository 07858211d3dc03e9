//! What IP addresses stand for, and which of them nobody is to be led to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that one stands for: the IPv4 addresses that an IPv6 address carries, else itself. Connections to
/// the carrier may end there: IPv4-mapped and -compatible (RFC 4291, 2.5.5), translated by NAT64 (RFC 6052, RFC 8215) or
/// SIIT (RFC 2765), tunnelled by 6to4 (RFC 3056), Teredo (RFC 4380: its server and, inverted, its client) or ISATAP
/// (RFC 5214).
pub fn stands_for(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else {
        return vec![address];
    };
    let last = |v6: &Ipv6Addr| v4(v6, 12);
    let carried = match v6.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => vec![last(&v6)],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => vec![last(&v6)],
        [0x2002, ..] => vec![v4(&v6, 2)],
        [0x2001, 0, ..] => vec![v4(&v6, 4), Ipv4Addr::from_bits(!last(&v6).to_bits())],
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![last(&v6)],
        _ => vec![],
    };
    if carried.is_empty() {
        return vec![address];
    }
    carried.into_iter().map(IpAddr::V4).collect()
}

/// The IPv4 address that begins at a byte of an IPv6 address.
fn v4(address: &Ipv6Addr, at: usize) -> Ipv4Addr {
    let bytes = address.octets();
    let part = bytes.get(at..at + 4);
    let part = part.and_then(|part| <[u8; 4]>::try_from(part).ok());
    Ipv4Addr::from(part.unwrap_or_default())
}

/// Whether a cloud answers its machines there with their credentials, in whatever form the address is written: nobody
/// is led there, whatever is allowed and whoever names it.
pub fn is_metadata(address: IpAddr) -> bool {
    stands_for(address)
        .into_iter()
        .any(|address| match address {
            IpAddr::V4(address) => matches!(
                address.octets(),
                // Nearly every cloud, and AWS's containers.
                [169, 254, 169, 254] | [169, 254, 170, 2 | 23]
            // Tencent, Alibaba, Azure, Oracle.
            | [169, 254, 0, 23] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192]
            ),
            IpAddr::V6(address) => match address.segments() {
                // AWS has a network of its own for such services; Google and OpenStack have an address each.
                [0xfd00, 0xec2, ..] => true,
                [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => true,
                [0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => true,
                _ => false,
            },
        })
}

/// Whether no payload and no registration may lead there, whatever is allowed: metadata, link-local, multicast,
/// broadcast and unspecified addresses, in whatever form they are written.
pub fn is_never_allowed(address: IpAddr) -> bool {
    let is_odd = |address: IpAddr| match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    is_metadata(address) || stands_for(address).into_iter().any(is_odd)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{is_metadata, is_never_allowed, stands_for};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn every_form_of_an_ipv4_address_stands_for_it() {
        for (form, expected) in [
            ("10.1.2.3", &["10.1.2.3"][..]),
            ("::ffff:10.1.2.3", &["10.1.2.3"]),
            ("::10.1.2.3", &["10.1.2.3"]),
            ("::ffff:0:10.1.2.3", &["10.1.2.3"]),
            ("64:ff9b::10.1.2.3", &["10.1.2.3"]),
            ("64:ff9b:1::10.1.2.3", &["10.1.2.3"]),
            ("2002:a01:203:7::1", &["10.1.2.3"]),
            // The example of RFC 4380.
            (
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                &["65.54.227.120", "192.0.2.45"],
            ),
            ("fe80::5efe:10.1.2.3", &["10.1.2.3"]),
            ("2001:db8::200:5efe:10.1.2.3", &["10.1.2.3"]),
            ("2001:db8::1", &["2001:db8::1"]),
            ("::", &["::"]),
            ("::1", &["::1"]),
        ] {
            let expected: Vec<IpAddr> = expected.iter().map(|text| ip(text)).collect();
            assert_eq!(stands_for(ip(form)), expected, "{form}");
        }
    }

    #[test]
    fn metadata_addresses_are_known_in_every_form() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::",
            "2001:0:a9fe:a9fe::",
            "2001:0:1:2:3:4:5601:5601",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "64:ff9b::a83f:8110",
            "192.0.0.192",
            "::ffff:c000:c0",
            "fd20:ce::254",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fe80::a9fe:a9fe",
        ] {
            assert!(
                is_metadata(ip(text)) && is_never_allowed(ip(text)),
                "{text}"
            );
        }
        for text in [
            "169.254.7.7",
            "fe80::1",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "64:ff9b::169.254.7.7",
        ] {
            assert!(
                !is_metadata(ip(text)) && is_never_allowed(ip(text)),
                "{text}"
            );
        }
        for text in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(!is_never_allowed(ip(text)), "{text}");
        }
    }
}
