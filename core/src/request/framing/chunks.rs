//! The chunked transfer coding (RFC 9112, section 7.1), as its grammar has it and not a byte more leniently: where two
//! readers could find different ends, there is no body at all.

/// A chunked body that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's chunks are malformed")]
pub struct Malformed;

/// Reads a chunked body up to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    /// The chunk's size so far, then how much of its data is yet to come.
    size: u64,
}

/// What the next byte is a part of, or comes behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind so many digits of a chunk's size.
    Size(u8),
    /// Behind a space or tab that stands behind the size, or an extension.
    BeforeExtension,
    /// Behind the semicolon.
    BeforeName,
    Name,
    AfterName,
    /// Behind the equals sign.
    BeforeValue,
    Token,
    Quoted,
    /// Behind a backslash.
    Escaped,
    /// Behind the carriage return that ends the size's line.
    SizeLineFeed,
    Data,
    /// Behind a chunk's data.
    DataEnd,
    DataLineFeed,
    /// Behind the last chunk, or a trailer field.
    Trailer,
    FieldName,
    FieldValue,
    FieldLineFeed,
    LastLineFeed,
    Over,
}

/// The digits that a size may have: those of 64 bits.
const MOST_DIGITS: u8 = 16;

impl Default for Chunks {
    fn default() -> Self {
        Self {
            at: At::Size(0),
            size: 0,
        }
    }
}

impl Chunks {
    /// How many of these bytes belong to the body: all of them, or those up to its end.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut read = 0;
        while let Some(&byte) = bytes.get(read) {
            match self.at {
                At::Over => break,
                At::Data => read += self.pass(bytes.len() - read),
                _ => {
                    self.at = self.next(byte)?;
                    read += 1;
                }
            }
        }
        Ok(read)
    }

    /// Whether the body has ended.
    pub fn are_over(&self) -> bool {
        self.at == At::Over
    }

    /// Passes over data, of which so much has come. How much of it is the chunk's.
    fn pass(&mut self, available: usize) -> usize {
        let length = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= length as u64;
        if self.size == 0 {
            self.at = At::DataEnd;
        }
        length
    }

    fn next(&mut self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Size(digits), _) if byte.is_ascii_hexdigit() && digits < MOST_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.size = self.size << 4 | u64::from(digit);
                At::Size(digits + 1)
            }
            (At::Size(0), _) => return Err(Malformed),
            (At::SizeLineFeed, b'\n') if self.size == 0 => At::Trailer,
            (At::SizeLineFeed, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size(0),
            (
                At::Trailer | At::FieldName | At::FieldValue | At::FieldLineFeed | At::LastLineFeed,
                _,
            ) => self.in_trailers(byte)?,
            _ => self.in_extension(byte)?,
        })
    }

    /// Within what may stand between a size and the end of its line.
    fn in_extension(&self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Quoted, b'"') => At::BeforeExtension,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, _) if is_text(byte) => At::Quoted,
            (At::BeforeName | At::Name, _) if is_token(byte) => At::Name,
            (At::BeforeValue | At::Token, _) if is_token(byte) => At::Token,
            (At::BeforeValue, b'"') => At::Quoted,
            (At::BeforeName | At::BeforeValue, b' ' | b'\t') => self.at,
            (At::Name | At::AfterName, b' ' | b'\t') => At::AfterName,
            (At::Name | At::AfterName, b'=') => At::BeforeValue,
            (At::Size(_) | At::Token | At::BeforeExtension, b' ' | b'\t') => At::BeforeExtension,
            (At::Size(_) | At::BeforeExtension | At::Name | At::AfterName | At::Token, b';') => {
                At::BeforeName
            }
            (At::Size(_) | At::BeforeExtension | At::Name | At::AfterName | At::Token, b'\r') => {
                At::SizeLineFeed
            }
            _ => return Err(Malformed),
        })
    }

    /// Behind the last chunk.
    fn in_trailers(&self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Trailer, b'\r') => At::LastLineFeed,
            (At::Trailer | At::FieldName, _) if is_token(byte) => At::FieldName,
            (At::FieldName, b':') => At::FieldValue,
            (At::FieldValue, b'\r') => At::FieldLineFeed,
            (At::FieldValue, _) if is_text(byte) => At::FieldValue,
            (At::FieldLineFeed, b'\n') => At::Trailer,
            (At::LastLineFeed, b'\n') => At::Over,
            _ => return Err(Malformed),
        })
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a quoted string or a field's value may hold: no control characters but the tab (RFC 9110, sections 5.5 and 5.6.4).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
