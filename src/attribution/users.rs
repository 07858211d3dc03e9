//! How users appear to a sink.

use crate::config::attribution::{ExposuresConfig, UserForm};
use crate::config::flag_server::Secret;
use crate::exposure::hashed_user;

/// How users appear.
#[derive(Clone, Debug)]
pub struct Users {
    form: UserForm,
    key: Option<Secret>,
}

impl Users {
    /// As the configuration says it, of a sink that may say otherwise.
    ///
    /// # Errors
    /// When IDs are to be hashed and there is no key.
    pub fn new(config: &ExposuresConfig, otherwise: Option<UserForm>) -> Result<Self, String> {
        let form = otherwise.unwrap_or(config.users);
        let key = config.key.clone();
        if form == UserForm::Hash && key.is_none() {
            return Err("`users: hash` needs a `key`".to_owned());
        }
        Ok(Self { form, key })
    }

    /// The ID itself, or the first 128 bits of HMAC-SHA-256 of it, in hexadecimal.
    pub fn shown(&self, user: &str) -> Box<str> {
        match self.form {
            UserForm::Plain => user.into(),
            UserForm::Hash => self.hashed(user).unwrap_or_default(),
        }
    }

    /// Every form in which files may have a user: the configuration may have been another when they were written.
    pub fn forms(&self, user: &str) -> Vec<Box<str>> {
        self.hashed(user).into_iter().chain([user.into()]).collect()
    }

    /// The first 128 bits of HMAC-SHA-256 of the ID, in hexadecimal; `None` without a key.
    pub fn hashed(&self, user: &str) -> Option<Box<str>> {
        let key = self.key.as_ref()?;
        Some(hashed_user(key.expose().as_bytes(), user).into())
    }
}

#[cfg(test)]
mod tests {
    use super::Users;
    use crate::config::attribution::{Control, ExposuresConfig, UserForm};
    use crate::config::flag_server::Secret;

    fn config(users: UserForm, key: Option<&str>) -> ExposuresConfig {
        ExposuresConfig {
            users,
            key: key.map(Secret::new),
            anonymous: false,
            control: Control::Matched,
            properties: Vec::new(),
        }
    }

    #[test]
    fn users_are_hashed_under_the_key_or_shown_as_they_are() {
        let config = config(UserForm::Hash, Some("key"));
        // printf u1 | openssl dgst -sha256 -hmac key
        let users = Users::new(&config, None).unwrap();
        assert_eq!(&*users.shown("u1"), "dc0708706ec6b9b1224ee4d159bdf545");
        let plain = Users::new(&config, Some(UserForm::Plain)).unwrap();
        assert_eq!(&*plain.shown("u1"), "u1");
        assert!(format!("{users:?}").contains("Secret(…)"));
        assert_eq!(plain.forms("u1"), users.forms("u1"));
        assert_eq!(plain.forms("u1").len(), 2);
    }

    #[test]
    fn hashing_needs_a_key() {
        let config = config(UserForm::Plain, None);
        assert!(Users::new(&config, Some(UserForm::Hash)).is_err());
        assert!(Users::new(&config, None).is_ok());
    }
}
