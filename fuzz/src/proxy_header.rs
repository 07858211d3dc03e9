//! The header by which a load balancer says whose connection it is (PROXY, versions 1 and 2).

use serin_core::request::proxy_header::{Client, read};

/// The longest one that is taken, in bytes: 16, and 536 that the second version allows.
const LONGEST: usize = 552;

/// Bytes come as the network cuts them. However that is, the answer is the same, nothing of the client's is taken for the
/// header's, and who waits for more does so within bounds.
pub fn check(input: &[u8]) {
    let whole = read(input);
    for length in 0..input.len().min(LONGEST + 1) {
        let (part, rest) = input.split_at(length);
        match read(part) {
            Ok(None) => assert!(length < LONGEST, "{length} bytes, and more are waited for"),
            Ok(Some(header)) => {
                assert!(header.length <= part.len());
                assert_eq!(whole, Ok(Some(header)), "{} bytes later", rest.len());
            }
            Err(_) => assert!(whole.is_err(), "refused at {length}, and taken with more"),
        }
    }
    let Ok(Some(header)) = whole else {
        return;
    };
    assert!(header.length <= LONGEST);
    // What the first version says can be read off its text.
    let (line, _) = input.split_at(header.length);
    if let (Client::At(address), true) = (header.client, line.starts_with(b"PROXY ")) {
        let line = std::str::from_utf8(line).expect("text");
        let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
        let ip = words.get(2).and_then(|word| word.parse().ok());
        let port = words.get(4).and_then(|word| word.parse().ok());
        assert_eq!(
            (Some(address.ip()), Some(address.port())),
            (ip, port),
            "{line}"
        );
    }
}
