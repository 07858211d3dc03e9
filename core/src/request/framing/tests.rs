use super::chunks::{Chunks, Malformed};
use super::head_end::HeadEnd;
use super::{Framing, Requests};

/// What a chunked body comes to, with its bytes handed in in two pieces: how many are the body's; `None`: they are not
/// enough.
fn chunked(bytes: &[u8], split: usize) -> Result<Option<usize>, Malformed> {
    let mut chunks = Chunks::default();
    let (first, second) = bytes.split_at(split);
    let mut read = chunks.read(first)?;
    if read == first.len() {
        read += chunks.read(second)?;
    }
    Ok(chunks.are_over().then_some(read))
}

/// The same however it comes: in any two pieces, and byte by byte.
fn verdict(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let whole = chunked(bytes, 0);
    for split in 0..=bytes.len() {
        let pieces = chunked(bytes, split);
        assert_eq!(pieces, whole, "{} at {split}", bytes.escape_ascii());
    }
    let mut chunks = Chunks::default();
    let mut one_by_one = Ok(0);
    for byte in bytes {
        match chunks.read(&[*byte]) {
            Ok(read) => one_by_one = one_by_one.map(|sum| sum + read),
            Err(malformed) => {
                one_by_one = Err(malformed);
                break;
            }
        }
    }
    let one_by_one = one_by_one.map(|sum| chunks.are_over().then_some(sum));
    assert_eq!(one_by_one, whole, "{}", bytes.escape_ascii());
    whole
}

#[test]
fn a_chunked_body_ends_where_the_grammar_says() {
    for body in [
        &b"0\r\n\r\n"[..],
        b"5\r\nhello\r\n0\r\n\r\n",
        b"000000000000000a\r\n0\r\n\r\n12345\r\n0\r\n\r\n",
        b"A\r\n\r\n\r\n\r\n\r\n\r\n\r\n00\r\n\r\n",
        b"1;a\r\nx\r\n0;b=c;d=\"e\"\r\n\r\n",
        b"1 ; a = b ; c\r\nx\r\n0\r\n\r\n",
        b"1;a=\"b;\\\"c\\\\ \xe9\t\"\r\nx\r\n0\r\n\r\n",
        b"1  \r\nx\r\n0\t\r\n\r\n",
        b"0\r\nX-Trailer: a b\t\xff\r\nEmpty:\r\n\r\n",
    ] {
        let followed = [body, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(
            verdict(&followed),
            Ok(Some(body.len())),
            "{}",
            body.escape_ascii()
        );
        for length in 0..body.len() {
            assert_eq!(
                verdict(&body[..length]),
                Ok(None),
                "{}",
                body.escape_ascii()
            );
        }
    }
}

#[test]
fn what_two_servers_could_read_differently_is_no_chunked_body() {
    for body in [
        // No size.
        &b"\r\nhello\r\n0\r\n\r\n"[..],
        b";a\r\n\r\n",
        b" 5\r\nhello\r\n",
        b"\t0\r\n\r\n",
        b"\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5g\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"00000000000000000\r\n\r\n",
        // Lines that end otherwise.
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\rX",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n\rX",
        // Extensions that are none.
        b"5;\r\nhello\r\n",
        b"5; ;a\r\nhello\r\n",
        b"5;a\nhello\r\n",
        b"2;\nxx\r\n3d\r\n0\r\n\r\n",
        b"5;a\0b\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b"5;a=\"b\r\nhello\r\n",
        b"5;a=\"b\n\"\r\nhello\r\n",
        b"5;a=\"b\\\r\n\"\r\nhello\r\n",
        b"5;a=\"b\"c\r\nhello\r\n",
        b"5;a=b=c\r\nhello\r\n",
        b"5;a b\r\nhello\r\n",
        b"5;\"a\"\r\nhello\r\n",
        b"5;a=\x7f\r\nhello\r\n",
        b"5,a\r\nhello\r\n",
        // Trailers that are none.
        b"0\r\nabc\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
    ] {
        assert_eq!(verdict(body), Err(Malformed), "{}", body.escape_ascii());
    }
}

#[test]
fn a_size_is_a_whole_number_of_64_bits() {
    let mut chunks = Chunks::default();
    assert_eq!(chunks.read(b"ffffffffffffffff\r\nabc"), Ok(21));
    assert!(!chunks.are_over());
}

/// Where a head ends, however it comes, and where `httparse` says that it does.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let whole = HeadEnd::default().find(bytes);
    for split in 0..=bytes.len() {
        let mut end = HeadEnd::default();
        let (first, second) = bytes.split_at(split);
        let found = end
            .find(first)
            .or_else(|| end.find(second).map(|found| split + found));
        assert_eq!(found, whole, "{} at {split}", bytes.escape_ascii());
    }
    let mut fields = [httparse::EMPTY_HEADER; 8];
    match httparse::Request::new(&mut fields).parse(bytes) {
        Ok(httparse::Status::Complete(end)) => assert_eq!(whole, Some(end)),
        Ok(httparse::Status::Partial) => assert_eq!(whole, None),
        // It is refused, wherever it ends.
        Err(_) => {}
    }
    whole
}

#[test]
fn a_head_ends_where_pingoras_parser_ends_it() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\n\r\n",
    ] {
        let followed = format!("{head}5\r\nhello\r\n\r\n");
        assert_eq!(head_end(followed.as_bytes()), Some(head.len()), "{head:?}");
        assert_eq!(
            head_end(&head.as_bytes()[..head.len() - 1]),
            None,
            "{head:?}"
        );
    }
    for not_yet in ["", "\r\n\r\n\r\n", "\n\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(head_end(not_yet.as_bytes()), None, "{not_yet:?}");
    }
    // A carriage return that ends no line makes none empty.
    assert_eq!(head_end(b"GET / HTTP/1.1\r\n\r\r\n"), None);
}

#[test]
fn requests_come_one_at_a_time() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    const BODIES: [(Framing, &[u8]); 4] = [
        (Framing::Length(0), b""),
        (Framing::Length(5), b"hello"),
        (Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\n"),
        (Framing::Length(0), b""),
    ];
    let all: Vec<u8> = BODIES
        .iter()
        .flat_map(|(_, body)| [HEAD, body].concat())
        .collect();
    for piece in 1..all.len() {
        let (mut requests, mut at) = (Requests::default(), 0);
        let mut read = |requests: &mut Requests, done: fn(&Requests) -> bool| {
            let from = at;
            while !done(requests) {
                let to = all.len().min(at + piece);
                at += requests.read(&all[at..to]).expect("well-formed");
            }
            all[from..at].to_vec()
        };
        for (framing, body) in BODIES {
            assert_eq!(read(&mut requests, Requests::awaits_framing), HEAD);
            assert_eq!(requests.read(b"more"), Ok(0));
            requests.frame(framing);
            assert_eq!(read(&mut requests, Requests::are_over), body);
            assert_eq!(requests.read(b"more"), Ok(0));
            assert_eq!(requests.may_be_followed(), framing != Framing::Chunked);
            requests.begin_head();
        }
        requests.open_tunnel();
        assert_eq!(requests.read(b"\n\nanything"), Ok(10));
    }
}
