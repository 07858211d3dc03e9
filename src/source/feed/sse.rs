//! Server-sent events, read as they come (WHATWG HTML, section 9.2.6).

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Event {
    /// What it is called; `message` where it has no name.
    pub(in crate::source) name: String,
    /// What it says.
    pub(in crate::source) data: Vec<u8>,
}

/// An event, or a line that may become one, is too large to be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {most} bytes")]
pub(in crate::source) struct TooLarge {
    most: usize,
}

/// Takes bytes in whatever pieces they come.
#[derive(Debug)]
pub(in crate::source) struct Parser {
    most: usize,
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// A line has just ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
}

impl Parser {
    /// Refuses events of more than `most` bytes.
    pub(in crate::source) fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
        }
    }

    /// The events that these bytes complete.
    pub(in crate::source) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            bytes = bytes.get(1..).unwrap_or_default();
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, rest) = bytes.split_at(end);
            self.line.extend_from_slice(line);
            events.extend(self.end_line());
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.data.len() > self.most {
            return Err(TooLarge { most: self.most });
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // A comment (nothing before the colon), `id` or `retry`: of no use here.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let (name, data) = (
            std::mem::take(&mut self.name),
            std::mem::take(&mut self.data),
        );
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        std::mem::take(&mut self.has_data).then_some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Parser};

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.to_owned(),
            data: data.as_bytes().to_vec(),
        }
    }

    /// Fed whole, and byte by byte: the same.
    fn parse(text: &str) -> Vec<Event> {
        let whole = Parser::new(1000).feed(text.as_bytes()).expect("small");
        let mut parser = Parser::new(1000);
        let pieces: Vec<Event> = text
            .as_bytes()
            .chunks(1)
            .flat_map(|piece| parser.feed(piece).expect("small"))
            .collect();
        assert_eq!(whole, pieces, "{text:?}");
        whole
    }

    #[test]
    fn events_end_with_an_empty_line() {
        let text = "event: unleash-connected\ndata: {\"a\":1}\n\n: keep-alive\n\nevent:x\ndata:1\ndata:  2\nid: 7\n\ndata: no end";
        assert_eq!(
            parse(text),
            [event("unleash-connected", "{\"a\":1}"), event("x", "1\n 2")]
        );
    }

    #[test]
    fn every_way_to_end_a_line_is_one() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!(
                "\u{feff}event: a{end}data: 1{end}{end}data{end}{end}event: lost{end}{end}"
            );
            assert_eq!(
                parse(&text),
                [event("a", "1"), event("message", "")],
                "{end:?}"
            );
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut parser = Parser::new(100);
        assert_eq!(parser.feed(&[b'x'; 100]), Ok(Vec::new()));
        assert!(parser.feed(b"x").is_err());
        let mut parser = Parser::new(100);
        let line = b"data: 0123456789\n";
        assert!((0..20).any(|_| parser.feed(line).is_err()));
        // Many small events are none of that.
        let mut parser = Parser::new(100);
        assert!((0..200).all(|_| parser.feed(b"data: 0123456789\n\n").is_ok()));
    }
}
