//! Cookies that are for Serin alone: no upstream gets them.

use http::HeaderValue;
use http::header::COOKIE;

use crate::edit::Edit;
use crate::identity::Rules;
use crate::request::{RequestHead, cookie_pairs, cookie_value, without_blanks};

/// Takes Serin's own cookies out of a request, and leaves the others as they are; `None`: it has none of its own.
pub fn without_own(head: &RequestHead<'_>, rules: &Rules) -> Option<Edit> {
    // Most gateways have none, and need not look.
    rules.own_cookies().next()?;
    let is_own = |pair: &[u8]| {
        let mut names = rules.own_cookies();
        names.any(|name| cookie_value(pair, name).is_some())
    };
    let mut has_own = false;
    head.headers.visit("cookie", &mut |field| {
        has_own |= cookie_pairs(field).any(is_own);
    });
    if !has_own {
        return None;
    }
    let mut kept: Vec<u8> = Vec::new();
    head.headers.visit("cookie", &mut |field| {
        for pair in cookie_pairs(field).filter(|pair| !is_own(pair)) {
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(without_blanks(pair));
        }
    });
    // What is left of a valid field is one.
    let field = HeaderValue::from_bytes(&kept).ok();
    let field = field.filter(|field| !field.is_empty());
    Some(field.map_or(Edit::Remove(COOKIE), |field| Edit::Set(COOKIE, field)))
}

/// A `Set-Cookie` value by which a browser keeps the user's channel; without a channel it forgets it.
pub fn of_channel(rules: &Rules, channel: Option<&str>, https: bool) -> Option<HeaderValue> {
    let own = rules.channels.as_deref()?;
    let (value, age) = match channel {
        Some(channel) => (own.signed(channel), own.max_age.as_secs()),
        None => (String::new(), 0),
    };
    let secure = match rules.cookie.secure.holds(https) {
        true => "; Secure",
        false => "",
    };
    let name = &own.cookie;
    let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).ok()
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::without_own;
    use crate::edit::Edit;
    use crate::identity::Rules;
    use crate::overrides::sample;
    use crate::request::{HeaderList, RequestHead};

    fn rules() -> Rules {
        Rules {
            overrides: Some(sample::rules()),
            ..Rules::default()
        }
    }

    /// What becomes of these `Cookie` fields; `None`: nothing does.
    fn left(rules: &Rules, fields: &[&str]) -> Option<String> {
        let edit = with_head(fields, |head| without_own(head, rules))?;
        Some(match edit {
            Edit::Set(_, value) => value.to_str().expect("text").to_owned(),
            Edit::Remove(_) => String::new(),
            other => panic!("{other:?}"),
        })
    }

    fn with_head<T>(fields: &[&str], then: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let headers: HeaderList = fields.iter().map(|field| ("cookie", *field)).collect();
        let head = headers.head();
        then(&head)
    }

    #[test]
    fn only_serins_own_cookies_are_taken_out() {
        let rules = rules();
        for (fields, expected) in [
            (&["serin_override=t"] as &[_], Some("")),
            (&["a=1; serin_override=t; b=2"], Some("a=1; b=2")),
            (&["serin_override=t; a=\"x y\""], Some("a=\"x y\"")),
            (&["a=1;serin_override=t"], Some("a=1")),
            (&["a=1; serin_override=t; serin_override=u"], Some("a=1")),
            (&["a=1; serin_override = t"], Some("a=1")),
            (&["a=1", "b=2;  serin_override=\"t\""], Some("a=1; b=2")),
            (&["serin_override=t", "b=2"], Some("b=2")),
            (&["a=1; b=2"], None),
            (
                &["serin_overrides=1; Serin_Override=2; a=serin_override=3; serin_override"],
                None,
            ),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(left(&rules, fields).as_deref(), expected, "{fields:?}");
        }
        assert_eq!(left(&Rules::default(), &["serin_override=t"]), None);
    }

    /// However a client writes its cookies: what is left has none of Serin's own, and all of the others.
    #[test]
    fn nothing_of_serins_own_is_left_whatever_was_sent() {
        const PIECES: [&str; 9] = ["serin_override", "=", ";", "; ", " ", "\t", "\"", "a", ","];
        let rules = rules();
        let mut random = SmallRng::seed_from_u64(1);
        let mut taken = 0;
        for _ in 0..20_000 {
            let count = random.random_range(0..12);
            let field: String = (0..count)
                .map(|_| PIECES[random.random_range(0..PIECES.len())])
                .collect();
            let Some(left) = left(&rules, &[&field]) else {
                assert!(!has_own(&field), "{field:?}");
                continue;
            };
            taken += 1;
            assert!(
                has_own(&field) && !has_own(&left),
                "{field:?} became {left:?}"
            );
            let others = |field: &str| -> Vec<String> {
                let pairs = field.split(';').map(|pair| pair.trim_matches([' ', '\t']));
                let others = pairs.filter(|pair| !pair.is_empty() && !has_own(pair));
                others.map(str::to_owned).collect()
            };
            assert_eq!(others(&left), others(&field), "{field:?}");
        }
        assert!(taken > 500, "{taken}");
    }

    /// Whether an override's cookie can be read off a field.
    fn has_own(field: &str) -> bool {
        with_head(&[field], |head| {
            head.cookie_bytes("serin_override").is_some()
        })
    }
}
