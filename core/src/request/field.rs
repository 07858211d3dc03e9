//! Look-ups of single fields in a header map. Nearly all maps have few fields, and most look-ups are for one that is not
//! there: a walk over the names alone says so in fewer instructions than a hash of the name.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Up to how many fields it is quicker to look at each than to hash the name that is looked for.
const FEW: usize = 16;

/// The first field of this name.
pub fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    match headers.len() > FEW {
        true => headers.get(name),
        false => found(headers, |field| field == name),
    }
}

/// The first field whose name, in lower case, is this text.
pub fn first_named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    match headers.len() > FEW {
        true => headers.get(name),
        false => found(headers, |field| field.as_str() == name),
    }
}

/// The first value of the first name that is looked for.
fn found(headers: &HeaderMap, is_it: impl Fn(&HeaderName) -> bool) -> Option<&HeaderValue> {
    let mut names = headers.keys().enumerate();
    let (at, name) = names.find(|(_, name)| is_it(name))?;
    match is_each_once(headers) {
        true => headers.values().nth(at),
        false => headers.get(name),
    }
}

/// Whether no name is repeated: values stand where their names do.
fn is_each_once(headers: &HeaderMap) -> bool {
    headers.len() == headers.keys_len()
}

/// Calls `visit` with the value of every field whose name, in lower case, is this text, in the order of the message.
pub fn visit_named<'a>(headers: &'a HeaderMap, name: &str, visit: impl FnMut(&'a HeaderValue)) {
    if headers.len() > FEW {
        headers.get_all(name).iter().for_each(visit);
    } else if is_each_once(headers) {
        first_named(headers, name).into_iter().for_each(visit);
    } else if let Some(field) = headers.keys().find(|field| field.as_str() == name) {
        headers.get_all(field).iter().for_each(visit);
    }
}

/// Every value of this name, in the order of the message.
pub fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
    let found = has(headers, name).then(|| headers.get_all(name));
    found.into_iter().flatten()
}

/// Whether there is a field of this name.
pub fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    match headers.len() > FEW {
        true => headers.contains_key(name),
        false => headers.keys().any(|field| field == name),
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, EXPECT};
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{first, first_named, has, visit_named};

    #[test]
    fn few_and_many_fields_are_found_alike() {
        for others in [0, 3, 40] {
            let mut headers = HeaderMap::new();
            for other in 0..others {
                let name = HeaderName::try_from(format!("x-{other}")).expect("a name");
                headers.insert(name, HeaderValue::from(other));
            }
            headers.append(CONTENT_LENGTH, HeaderValue::from(1));
            let once = first(&headers, &CONTENT_LENGTH);
            assert_eq!(once, Some(&HeaderValue::from(1)), "{others}");
            let mut all = Vec::new();
            visit_named(&headers, "content-length", |value| all.push(value.clone()));
            assert_eq!(all, ["1"], "{others}");
            headers.append(CONTENT_LENGTH, HeaderValue::from(2));
            let found = first(&headers, &CONTENT_LENGTH);
            assert_eq!(found, Some(&HeaderValue::from(1)), "{others}");
            assert!(!has(&headers, &EXPECT), "{others}");
            let both: Vec<_> = super::all(&headers, &CONTENT_LENGTH).collect();
            assert_eq!(both, ["1", "2"], "{others}");
            assert_eq!(super::all(&headers, &EXPECT).next(), None, "{others}");
            let named = first_named(&headers, "content-length");
            assert_eq!(named, Some(&HeaderValue::from(1)), "{others}");
            let mut all = Vec::new();
            visit_named(&headers, "content-length", |value| all.push(value));
            assert_eq!(all, ["1", "2"], "{others}");
        }
    }
}
