use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::{Flaw, Mending, read, rest};

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    };
    fields.iter().map(field).collect()
}

fn read_in(
    version: Version,
    status: u16,
    fields: &[(&'static str, &'static str)],
) -> Result<Mending, Flaw> {
    let status = StatusCode::from_u16(status).expect("a status");
    read(status, version, &headers(fields))
}

#[test]
fn a_good_answer_is_left_alone() {
    for status in [200, 206, 304, 404, 500] {
        for fields in [
            &[][..],
            &[("content-length", "5")],
            &[("transfer-encoding", "chunked")],
            &[("transfer-encoding", "Chunked")],
        ] {
            let read = read_in(Version::HTTP_11, status, fields);
            assert_eq!(read, Ok(Mending::default()), "{status} {fields:?}");
        }
    }
    let whole = read_in(Version::HTTP_11, 205, &[("content-length", "0")]);
    assert_eq!(whole, Ok(Mending::default()));
}

#[test]
fn an_answer_without_a_body_has_no_length() {
    for status in [100, 103, 204] {
        for (fields, last) in [
            (("content-length", "0"), false),
            (("content-length", "5"), true),
            (("transfer-encoding", "chunked"), true),
        ] {
            let expected = Mending {
                unframed: true,
                last,
                ..Mending::default()
            };
            let read = read_in(Version::HTTP_11, status, &[fields]);
            assert_eq!(read, Ok(expected), "{status} {fields:?}");
        }
    }
}

#[test]
fn a_205_is_emptied() {
    for fields in [
        &[][..],
        &[("content-length", "5")],
        &[("transfer-encoding", "chunked")],
    ] {
        let read = read_in(Version::HTTP_11, 205, fields).expect("a certain reading");
        assert!(read.emptied && !read.unframed, "{fields:?}");
    }
}

#[test]
fn equal_lengths_are_one() {
    for fields in [
        &[("content-length", "2"), ("content-length", "2")][..],
        &[("content-length", "2, 2")],
        &[("content-length", "2,2 , 02")],
    ] {
        let read = read_in(Version::HTTP_11, 200, fields).expect("a certain reading");
        assert_eq!(read.length, Some(2), "{fields:?}");
    }
    for fields in [
        &[("content-length", "2"), ("content-length", "3")][..],
        &[("content-length", "2, 3")],
        &[("content-length", "2,")],
        &[("content-length", "+2")],
        &[("content-length", "-1")],
        &[("content-length", "two")],
        &[("content-length", "")],
        &[("content-length", "99999999999999999999")],
    ] {
        let read = read_in(Version::HTTP_11, 200, fields);
        assert_eq!(read, Err(Flaw::Length), "{fields:?}");
    }
}

#[test]
fn a_coding_is_chunked_or_the_answer_is_none() {
    for fields in [
        &[("transfer-encoding", "gzip, chunked")][..],
        &[("transfer-encoding", "gzip")],
        &[("transfer-encoding", "identity")],
        &[("transfer-encoding", "chunked, chunked")],
        &[
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        &[("transfer-encoding", "")],
    ] {
        let read = read_in(Version::HTTP_11, 200, fields);
        assert_eq!(read, Err(Flaw::Coding), "{fields:?}");
    }
    let old = read_in(Version::HTTP_10, 200, &[("transfer-encoding", "chunked")]);
    assert_eq!(old, Err(Flaw::CodingInHttp10));
}

#[test]
fn a_connection_rests_shorter_than_its_upstream_says() {
    for (value, expected) in [
        ("timeout=5", Some(4000)),
        ("max=100, timeout=60", Some(59_000)),
        ("Timeout=\"15\", max=3", Some(14_000)),
        ("timeout=1", Some(500)),
        ("timeout=0", Some(0)),
        ("timeout=soon", None),
        ("max=5", None),
        ("", None),
    ] {
        let headers = headers(&[("keep-alive", value)]);
        assert_eq!(
            rest(&headers),
            expected.map(Duration::from_millis),
            "{value}"
        );
    }
    assert_eq!(rest(&HeaderMap::new()), None);
}
