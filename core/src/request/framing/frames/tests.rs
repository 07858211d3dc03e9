use bytes::{Buf as _, BytesMut};

use super::{Frames, REGULAR};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END: u8 = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What is handed on of what comes in pieces of this length, with room for so much at a time.
fn passed(sent: &[u8], piece: usize, room: usize) -> Vec<u8> {
    let (mut frames, mut held, mut out) = (Frames::default(), BytesMut::new(), Vec::new());
    for piece in sent.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            let most = held.len().min(room);
            let length = frames.pass(&held, most);
            out.extend_from_slice(&held[..length]);
            held.advance(length);
            if length == 0 && (most == 0 || !frames.guard(&mut held)) {
                break;
            }
        }
    }
    out.extend(held);
    out
}

/// The same in every piece and with any room.
fn expect(sent: &[Vec<u8>], expected: &[Vec<u8>]) {
    let (sent, expected) = (sent.concat(), expected.concat());
    for piece in [1, 2, 3, 5, 8, 9, 10, 13, 17, 29, sent.len()] {
        for room in [1, 7, 64, usize::MAX] {
            assert_eq!(passed(&sent, piece, room), expected, "{piece} {room}");
        }
    }
}

fn begin() -> Vec<Vec<u8>> {
    vec![
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, 4, 1, &[0x83, 0x86, 0x84]),
        frame(HEADERS, 4, 3, &[0x83, 0x86, 0x84]),
        frame(
            DATA,
            0,
            1,
            b"\0\0\0\x01\x01\x05\0\0\0\x01 a body that looks like a frame",
        ),
    ]
}

#[test]
fn trailers_get_a_regular_field_in_front() {
    let with = |parts: &[&[u8]]| parts.concat();
    let path = [0x44, 1, b'/'];
    for (flags, before, fields, behind) in [
        (END, &b""[..], &path[..], &b""[..]),
        (END, b"", b"", b""),
        // Behind new sizes of the table, however they are written.
        (END, b"\x20", &path, b""),
        (END, b"\x3f\xe1\x1f\x20", &path, b""),
        // Padded, with a priority, with both.
        (END | 8, b"\x03", &path, b"\0\0\0"),
        (END | 32, b"\0\0\0\0\x10", &path, b""),
        (END | 8 | 32, b"\x02\0\0\0\0\x10\x20", &path, b"\0\0"),
        // To be continued.
        (1, b"", &path, b""),
    ] {
        let mut sent = begin();
        let mut expected = sent.clone();
        sent.push(frame(HEADERS, flags, 1, &with(&[before, fields, behind])));
        expected.push(frame(
            HEADERS,
            flags,
            1,
            &with(&[before, &REGULAR, fields, behind]),
        ));
        for frames in [&mut sent, &mut expected] {
            frames.push(frame(CONTINUATION, 4, 1, b"\x84"));
            frames.push(frame(HEADERS, END, 5, &[0x82, 0x86, 0x84]));
        }
        expect(&sent, &expected);
    }
}

#[test]
fn everything_else_passes_as_it_is() {
    let mut sent = begin();
    sent.extend([
        frame(HEADERS, END, 5, &[0x82, 0x86, 0x84]),
        frame(6, 0, 0, b"12345678"),
        // Errors that the library answers.
        frame(HEADERS, END | 8, 3, b"\xff"),
        frame(HEADERS, END | 32, 3, b"\0"),
        frame(HEADERS, END, 0, b"\x84"),
        b"\0\0".to_vec(),
    ]);
    expect(&sent, &sent);
}

#[test]
fn trailers_that_leave_no_room_do_not_end_their_stream() {
    let mut sent = begin();
    let mut expected = sent.clone();
    let fields = vec![0x84; 16_383];
    sent.push(frame(HEADERS, END, 1, &fields));
    expected.push(frame(HEADERS, 4, 1, &fields));
    let (sent, expected) = (sent.concat(), expected.concat());
    for piece in [1000, sent.len()] {
        assert_eq!(passed(&sent, piece, usize::MAX), expected);
    }
}
