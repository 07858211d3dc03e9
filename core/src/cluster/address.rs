//! What IP addresses stand for, what kind each is, and which of them nobody is to be led to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is, as far as that matters for who may be led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// A cloud answers its machines there with their credentials.
    Metadata,
    /// `0.0.0.0/8` and `::`: no machine in particular, and so this one.
    Unspecified,
    /// Of one link: routers, and much that configures machines.
    LinkLocal,
    /// Of a group.
    Multicast,
    /// Of everybody on the link.
    Broadcast,
    /// This machine.
    Loopback,
    /// RFC 1918, RFC 4193.
    Private,
    /// Every other.
    Public,
}

impl AddressClass {
    /// The kind of an address that stands for itself.
    pub fn of(address: IpAddr) -> Self {
        if is_metadata_itself(address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(v4) => match v4.octets() {
                [0, ..] => Self::Unspecified,
                _ if v4.is_link_local() => Self::LinkLocal,
                _ if v4.is_multicast() => Self::Multicast,
                _ if v4.is_broadcast() => Self::Broadcast,
                _ if v4.is_loopback() => Self::Loopback,
                _ if v4.is_private() => Self::Private,
                _ => Self::Public,
            },
            IpAddr::V6(v6) if v6.is_unspecified() => Self::Unspecified,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::LinkLocal,
            IpAddr::V6(v6) if v6.is_multicast() => Self::Multicast,
            IpAddr::V6(v6) if v6.is_loopback() => Self::Loopback,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Private,
            IpAddr::V6(_) => Self::Public,
        }
    }

    /// Whether no payload and no registration may lead there, whatever is allowed.
    pub fn is_never_allowed(self) -> bool {
        match self {
            Self::Metadata
            | Self::Unspecified
            | Self::LinkLocal
            | Self::Multicast
            | Self::Broadcast => true,
            Self::Loopback | Self::Private | Self::Public => false,
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "a metadata address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Public => "a public address",
        })
    }
}

/// The addresses that one stands for: the IPv4 addresses that an IPv6 address carries, else itself. Connections to
/// the carrier may end there: IPv4-mapped and -compatible (RFC 4291, 2.5.5), translated by NAT64 (RFC 6052, RFC 8215) or
/// SIIT (RFC 2765), tunnelled by 6to4 (RFC 3056) or Teredo (RFC 4380: its server and, inverted, its client).
///
/// What looks like ISATAP (RFC 5214) stands for itself as well as for what it carries: any host of any network may choose
/// the low half of its address, and so it may be an ordinary one.
pub fn stands_for(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else {
        return vec![address];
    };
    let mut targets: Vec<IpAddr> = by_prefix(&v6).into_iter().map(IpAddr::V4).collect();
    if targets.is_empty() {
        targets.push(address);
    }
    if let [_, _, _, _, 0 | 0x200, 0x5efe, _, _] = v6.segments() {
        targets.push(low(&v6).into());
    }
    targets
}

/// The IPv4 addresses that an IPv6 address carries by its prefix, and so cannot be without.
fn by_prefix(v6: &Ipv6Addr) -> Vec<Ipv4Addr> {
    match v6.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => vec![low(v6)],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![low(v6)],
        [0x64, 0xff9b, 1, ..] => translated(v6),
        [0x2002, high, low, ..] => vec![v4(high, low)],
        [0x2001, 0, high, low_half, .., c, d] => vec![v4(high, low_half), v4(!c, !d)],
        _ => vec![],
    }
}

/// What an address of NAT64's local-use prefix (RFC 8215) may be translated to. Nobody here knows how long the
/// translator's own prefix within it is, and translators ignore what follows the IPv4 address (RFC 6052, 2.2): so it is
/// each of what the lengths of 48, 56, 64 and 96 bits make of it, but for `0.0.0.0/8`, which is no machine's.
fn translated(v6: &Ipv6Addr) -> Vec<Ipv4Addr> {
    // Byte 8 belongs to no address, whatever the length.
    let [_, _, _, _, _, _, a, b, _, c, d, e, f, ..] = v6.octets();
    let is_a_machines = |v4: &Ipv4Addr| v4.octets()[0] != 0;
    let lengths = [[a, b, c, d], [b, c, d, e], [c, d, e, f]].map(Ipv4Addr::from);
    let candidates = [low(v6)].into_iter().chain(lengths);
    let found: Vec<Ipv4Addr> = candidates.filter(is_a_machines).collect();
    if found.is_empty() {
        vec![low(v6)]
    } else {
        found
    }
}

/// The IPv4 address in the last 32 bits.
fn low(v6: &Ipv6Addr) -> Ipv4Addr {
    let [.., high, low] = v6.segments();
    v4(high, low)
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Whether a cloud answers its machines there with their credentials, in whatever form the address is written: nobody
/// is led there, whatever is allowed and whoever names it.
pub fn is_metadata(address: IpAddr) -> bool {
    is_metadata_itself(address) || stands_for(address).into_iter().any(is_metadata_itself)
}

fn is_metadata_itself(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(
            address.octets(),
            // Nearly every cloud, and AWS's containers.
            [169, 254, 169, 254] | [169, 254, 170, 2 | 23]
            // Tencent, Alibaba, Azure, Oracle.
            | [169, 254, 0, 23] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192]
        ),
        IpAddr::V6(address) => matches!(
            address.segments(),
            // AWS has a network of its own for such services; Google and OpenStack have an address each.
            [0xfd00, 0xec2, ..]
                | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                | [0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        ),
    }
}

/// What of an address keeps every payload and registration from leading there, whatever is allowed: the address that it
/// stands for, and what kind that is.
pub fn never_allowed(address: IpAddr) -> Option<(IpAddr, AddressClass)> {
    let targets = stands_for(address);
    let kinds = targets
        .into_iter()
        .map(|target| (target, AddressClass::of(target)));
    kinds
        .into_iter()
        .find(|(_, class)| class.is_never_allowed())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{is_metadata, never_allowed, stands_for};

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
            // What looks like ISATAP may be an ordinary address, too.
            ("fe80::5efe:10.1.2.3", &["fe80::5efe:10.1.2.3", "10.1.2.3"]),
            (
                "fd00::200:5efe:10.1.2.3",
                &["fd00::200:5efe:10.1.2.3", "10.1.2.3"],
            ),
            // Both at once.
            ("2002:a01:203::5efe:10.4.5.6", &["10.1.2.3", "10.4.5.6"]),
            // Every length of the translator's prefix: 48, 56, 64 and 96 bits.
            ("64:ff9b:1:a01:2:300::", &["10.1.2.3", "1.2.3.0", "2.3.0.0"]),
            (
                "64:ff9b:1:7:1:203:400:0",
                &["4.0.0.0", "7.1.2.3", "1.2.3.4"],
            ),
            ("64:ff9b:1:0:a:102:300:0", &["3.0.0.0", "10.1.2.3"]),
            (
                "64:ff9b:1:a9fe:a9:fe00:a00:1",
                &[
                    "10.0.0.1",
                    "169.254.169.254",
                    "254.169.254.0",
                    "169.254.0.10",
                ],
            ),
            ("64:ff9b:1::", &["0.0.0.0"]),
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
            "fd00:ec2::5efe:10.0.0.1",
            "64:ff9b:1:a9fe:a9:fe00:a00:1",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "fe80::a9fe:a9fe",
        ] {
            assert!(
                is_metadata(ip(text)) && never_allowed(ip(text)).is_some(),
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
            "64:ff9b:1:a9fe:7:700::",
            "fe80::5efe:10.0.0.1",
            "2001:db8::5efe:169.254.7.7",
        ] {
            assert!(
                !is_metadata(ip(text)) && never_allowed(ip(text)).is_some(),
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
            assert!(never_allowed(ip(text)).is_none(), "{text}");
        }
    }
}
