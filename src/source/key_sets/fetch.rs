//! Keys behind a URL: fetched for as long as anybody needs them, as often as whoever has them says, and when a token names one
//! that is not here.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{fail, take};
use crate::config::flag_server::ServerUrl;
use crate::source::feed::backoff::Backoff;
use crate::source::feed::flag_server::FetchError;
use crate::source::feed::http::{HttpClient, whole_within};
use crate::tokens::keys;
use crate::tokens::store::KeyStore;

/// The largest key set that is read, in bytes.
const MOST_BYTES: usize = 256 << 10;
/// How long a key set is good for at least, and where its server does not say.
const LEAST_AGE: Duration = Duration::from_secs(5 * 60);
/// How long it is good for at most.
const MOST_AGE: Duration = Duration::from_hours(24);
/// How often keys are fetched for tokens that name one that is not here, at most.
const WANTED_EVERY: Duration = Duration::from_secs(60);
/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Fetches the keys, for as long as anybody needs them.
pub(super) async fn follow(url: Box<str>, store: Weak<KeyStore>) {
    let Some(bell) = store.upgrade().map(|store| store.bell()) else {
        return;
    };
    let mut backoff = Backoff::default();
    let mut wanted = Wanted::default();
    let client = client(&url);
    while store.strong_count() > 0 {
        let fetched = match &client {
            Ok(client) => fetch(client).await,
            Err(error) => Err(error.clone()),
        };
        let Some(kept) = store.upgrade() else {
            return;
        };
        let taken = fetched.and_then(|(document, age)| {
            take(&kept, keys::read(&document))?;
            Ok(age)
        });
        let wait = match taken {
            Ok(age) => {
                backoff.reset();
                age
            }
            Err(trouble) => {
                fail(&kept, &trouble);
                backoff.next(LONGEST_WAIT, rand::random())
            }
        };
        drop(kept);
        wanted.wait(Instant::now() + wait, &store, &bell).await;
    }
}

/// Fetches that tokens have asked for.
#[derive(Default)]
struct Wanted {
    /// When the last one was begun.
    last: Option<Instant>,
}

impl Wanted {
    /// Waits until keys are due, or a token wants them and may have them, or nobody needs them any more.
    async fn wait(&mut self, due: Instant, store: &Weak<KeyStore>, bell: &Arc<Notify>) {
        loop {
            let is_wanted = match store.upgrade() {
                Some(store) => store.is_wanted(),
                None => return,
            };
            if is_wanted {
                let earliest = self.last.map(|last| last + WANTED_EVERY);
                let at = earliest.unwrap_or_else(Instant::now).min(due);
                sleep_until(at).await;
                if at < due {
                    self.last = Some(Instant::now());
                }
                return;
            }
            tokio::select! {
                () = sleep_until(due) => return,
                () = bell.notified() => {}
            }
        }
    }
}

fn client(url: &str) -> Result<HttpClient, String> {
    let url = ServerUrl::parse(url)?;
    let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
    let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
    HttpClient::new(&url, headers).map_err(|error| error.to_string())
}

/// The key set, and how long it is good for. A redirect is not followed: it could lead anywhere.
async fn fetch(client: &HttpClient) -> Result<(Bytes, Duration), String> {
    let told = |error: FetchError| error.to_string();
    let request = client
        .request(Method::GET, "", Bytes::new())
        .map_err(told)?;
    let response = client.send(request).await.map_err(told)?;
    let status = response.status();
    if status != http::StatusCode::OK {
        let more = if status.is_redirection() {
            ", which is not followed"
        } else {
            ""
        };
        return Err(format!("the server answered {status}{more}"));
    }
    let age = age(response.headers());
    let body = whole_within(response.into_body(), MOST_BYTES).await;
    Ok((body.map_err(told)?, age))
}

/// How long an answer is good for, within our bounds (RFC 9111, section 5.2.2.1).
fn age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let directives = texts.flat_map(|value| value.split(','));
    let seconds = directives.filter_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let is_age = name.eq_ignore_ascii_case("max-age");
        value.trim_matches('"').parse().ok().filter(|_| is_age)
    });
    let age = seconds.map(Duration::from_secs).next();
    age.unwrap_or(LEAST_AGE).clamp(LEAST_AGE, MOST_AGE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::CACHE_CONTROL;
    use http::{HeaderMap, HeaderValue};

    use super::age;

    #[test]
    fn a_key_set_is_good_for_five_minutes_to_a_day() {
        let of = |value: &'static str| {
            age(&HeaderMap::from_iter([(
                CACHE_CONTROL,
                HeaderValue::from_static(value),
            )]))
        };
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(age(&HeaderMap::new()), minutes(5));
        for (value, expected) in [
            ("public, max-age=3600", 60),
            ("Max-Age=\"3600\"", 60),
            ("max-age=1", 5),
            ("max-age=31536000", 24 * 60),
            ("no-store", 5),
            ("s-maxage=7200", 5),
            ("max-age=soon", 5),
        ] {
            assert_eq!(of(value), minutes(expected), "{value}");
        }
    }
}
