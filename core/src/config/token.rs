//! Tokens of callers, known by their hashes alone.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A token that is known by its hash alone (SHA-256), so that nothing can give it away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// The token in a value of `Authorization` that names the scheme (RFC 6750); `None`: it does not.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer ");
    is_bearer.then(|| token.trim())
}

impl Token {
    /// Of a token's text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The token of a hash in 64 hexadecimal digits.
    ///
    /// # Errors
    /// How such a hash is written.
    pub fn from_hex(text: &str) -> Result<Self, String> {
        let hint = || {
            "64 hexadecimal digits, as `printf %s \"$TOKEN\" | sha256sum` prints them".to_owned()
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(hint());
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).map_err(|_| hint())?;
            let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
            let value = u8::from_str_radix(digits, 16).map_err(|_| hint())?;
            *byte = is_hex.then_some(value).ok_or_else(hint)?;
        }
        Ok(Self(hash))
    }

    /// Whether it is the same, found out in a time that tells nothing of it.
    pub fn is(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }

    /// The hash.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn tokens_are_compared_and_not_shown() {
        let token = Token::of("*:development.secret");
        assert!(token.is(&Token::of("*:development.secret")));
        assert!(!token.is(&Token::of("*:development.secre")));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_token_is_known_by_its_hash_as_sha256sum_prints_it() {
        // printf %s abc | sha256sum
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Token::from_hex(hash), Ok(Token::of("abc")));
        assert_eq!(Token::from_hex(&hash.to_uppercase()), Ok(Token::of("abc")));
        for wrong in [
            "",
            "ba78",
            &hash[1..],
            &format!("{hash}0"),
            &hash.replace('b', "g"),
            &hash.replace("ba", "+a"),
            &"é".repeat(32),
        ] {
            assert!(Token::from_hex(wrong).is_err(), "{wrong}");
        }
    }
}
