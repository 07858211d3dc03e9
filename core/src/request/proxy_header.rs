//! The PROXY header, by which a load balancer says who the client is, before anything of the client's own: versions 1
//! and 2, as HAProxy's `proxy-protocol.txt` has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many bytes a header may have. One of version 1 has 107 at most; one of version 2 is as long as it says, with what
/// load balancers add to it.
pub const LONGEST: usize = 2048;

const LONGEST_LINE: usize = 107;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands before a header of version 2's addresses.
const FIXED: usize = 16;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Whose connection it is.
    pub client: Client,
    /// How many bytes it has; what follows is the client's.
    pub length: usize,
}

/// Whose connection a load balancer hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Its own, such as a health check's.
    Own,
    /// A client's, with this address.
    At(SocketAddr),
    /// Somebody's: it does not say whose. What comes is not the load balancer's word.
    Unknown,
}

/// What is wrong with a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are something else.
    #[error("it does not begin with a PROXY header")]
    Missing,
    /// They begin as one, and go on in another way.
    #[error("its PROXY header cannot be read")]
    Unreadable,
    /// It has too many bytes.
    #[error("its PROXY header is too long")]
    TooLong,
}

/// Reads a header off a connection's first bytes. `None`: more have to come.
///
/// # Errors
/// There is none, however many may come.
pub fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, b"PROXY ") {
        line(bytes)
    } else {
        Err(Malformed::Missing)
    }
}

/// Whether the bytes begin so, as far as they go.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let length = bytes.len().min(with.len());
    bytes.get(..length) == with.get(..length)
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    let within = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() >= LONGEST_LINE {
            true => Err(Malformed::TooLong),
            false => Ok(None),
        };
    };
    let text = within.get(..end).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Unreadable)?;
    let mut words = text.split(' ').skip(1);
    let mut word = || words.next().ok_or(Malformed::Unreadable);
    let client = match word()? {
        "UNKNOWN" => Client::Unknown,
        family @ ("TCP4" | "TCP6") => {
            let (client, _own) = (word()?, word()?);
            let (port, _own) = (word()?, word()?);
            Client::At(address(family, client, port).ok_or(Malformed::Unreadable)?)
        }
        _ => return Err(Malformed::Unreadable),
    };
    if client != Client::Unknown && words.next().is_some() {
        return Err(Malformed::Unreadable);
    }
    Ok(Some(ProxyHeader {
        client,
        length: end + 2,
    }))
}

fn address(family: &str, client: &str, port: &str) -> Option<SocketAddr> {
    let client: IpAddr = client.parse().ok()?;
    let is_digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let fits = client.is_ipv4() == (family == "TCP4") && is_digits;
    fits.then_some(SocketAddr::new(client, port.parse().ok()?))
}

/// Version 2: fixed fields, addresses, and what else the sender has to say.
fn binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let stated = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + stated;
    if command >> 4 != 2 {
        return Err(Malformed::Unreadable);
    }
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    let Some(stated) = rest.get(..stated) else {
        return Ok(None);
    };
    let client = match (command & 0xf, family) {
        // The load balancer's own, a health check of it for one.
        (0, _) => Client::Own,
        (1, 0x11) => Client::At(client_of::<4>(stated, |ip| Ipv4Addr::from(ip).into())?),
        (1, 0x21) => Client::At(client_of::<16>(stated, |ip| Ipv6Addr::from(ip).into())?),
        // Of a family that is no TCP over IP nothing is to be learned.
        (1, _) => Client::Unknown,
        _ => return Err(Malformed::Unreadable),
    };
    Ok(Some(ProxyHeader { client, length }))
}

/// The client of a block of addresses: both addresses, then both ports.
fn client_of<const N: usize>(
    block: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<SocketAddr, Malformed> {
    let read = || {
        let (client, rest) = block.split_first_chunk::<N>()?;
        let (_own, rest) = rest.split_first_chunk::<N>()?;
        let ([high, low], rest) = rest.split_first_chunk::<2>()?;
        let (_own, _more) = rest.split_first_chunk::<2>()?;
        Some(SocketAddr::new(
            ip(*client),
            u16::from_be_bytes([*high, *low]),
        ))
    };
    read().ok_or(Malformed::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::{Client, LONGEST, Malformed, ProxyHeader, SIGNATURE, read};

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    fn client(bytes: &[u8]) -> Option<String> {
        let header = read(bytes).unwrap().unwrap();
        assert_eq!(header.length, bytes.len());
        match header.client {
            Client::At(client) => Some(client.to_string()),
            Client::Own => Some("own".to_owned()),
            Client::Unknown => None,
        }
    }

    #[test]
    fn a_line_says_who_the_client_is() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
                Some("192.0.2.7:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n",
                Some("[2001:db8::7]:1"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            assert_eq!(client(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_block_says_who_the_client_is_whatever_follows_in_it() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        let with_more = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(
            client(&v2(0x21, 0x11, &four)).as_deref(),
            Some("192.0.2.7:56324")
        );
        assert_eq!(
            client(&v2(0x21, 0x11, &with_more)).as_deref(),
            Some("192.0.2.7:56324")
        );
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[33]) = (0x20, 1, 7, 9);
        assert_eq!(
            client(&v2(0x21, 0x21, &six)).as_deref(),
            Some("[2001::7]:9")
        );
        assert_eq!(
            client(&v2(0x20, 0x00, &[])).as_deref(),
            Some("own"),
            "a health check"
        );
        assert_eq!(client(&v2(0x21, 0x31, &[0; 216])), None, "a Unix socket");
    }

    #[test]
    fn of_each_part_of_a_header_more_has_to_come_and_what_follows_is_the_clients() {
        let headers = [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(),
            v2(0x21, 0x11, &[1; 12]),
        ];
        for header in headers {
            for length in 0..header.len() {
                assert_eq!(read(&header[..length]), Ok(None), "{length} bytes");
            }
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            let length = header.len();
            let found = read(&followed).unwrap().unwrap();
            assert_eq!(found, ProxyHeader { length, ..found });
        }
    }

    #[test]
    fn what_is_none_is_refused_however_little_of_it_has_come() {
        use Malformed::{Missing, TooLong, Unreadable};
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for (bytes, expected) in [
            (&b"G"[..], Missing),
            (b"\x16\x03\x01", Missing),
            (b"PROXX", Missing),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", Unreadable),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", Unreadable),
            (b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", Unreadable),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", Unreadable),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", Unreadable),
            (b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n", Unreadable),
            (b"PROXY \xff\r\n", Unreadable),
            (&endless, TooLong),
            (&v2(0x11, 0x11, &[0; 12]), Unreadable),
            (&v2(0x22, 0x11, &[0; 12]), Unreadable),
            (&v2(0x21, 0x11, &[0; 11]), Unreadable),
            (&v2(0x21, 0x21, &[0; 12]), Unreadable),
            (&v2(0x21, 0x11, &[0; LONGEST]), TooLong),
        ] {
            assert_eq!(read(bytes), Err(expected), "{}", bytes.escape_ascii());
        }
    }
}
