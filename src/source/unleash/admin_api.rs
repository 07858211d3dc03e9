//! Unleash's admin API: what canaries are recorded by, and rings switched.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::admin_flag::{AdminFlag, Tag, is_own_tag};
use crate::config::unleash::{UnleashAdmin, UnleashConfig, UnleashPlace};
use crate::source::feed::flag_server::FetchError;
use crate::source::feed::http::{HttpClient, retry_after, whole};

/// How much of the server's own words is passed on.
const MOST_WORDS: usize = 300;

/// Talks to one server with the token that may write there.
#[derive(Clone, Debug)]
pub(super) struct AdminApi {
    http: HttpClient,
    place: UnleashPlace,
}

/// Why something was not done; each asks for another reaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AdminError {
    /// The server does not answer, or asks to come back later.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The token, the project or the environment is wrong, or not enough: a person has to mend that first.
    #[error("{0}")]
    Refused(String),
    /// The server will not have this of this flag.
    #[error("{0}")]
    Impossible(String),
    /// The flag is not what it was when it was read: read it again.
    #[error("{0}")]
    Changed(String),
}

/// Where a flag's name was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Nowhere.
    Nothing,
    /// Among the flags of the project that was asked.
    Here {
        /// The flag.
        flag: Box<AdminFlag>,
        /// Whether it has Serin's tag.
        is_tagged: bool,
    },
    /// In this other project.
    Elsewhere(Box<str>),
    /// In the archive.
    Archived {
        /// Its project.
        project: Box<str>,
        /// Its description.
        description: Box<str>,
        /// Whether it has Serin's tag.
        is_tagged: bool,
    },
}

#[derive(Deserialize)]
struct Tags {
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct FoundFlags {
    features: Vec<FoundFlag>,
}

#[derive(Deserialize)]
struct FoundFlag {
    name: Box<str>,
    project: Box<str>,
    description: Option<Box<str>>,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDocument {
    message: String,
    details: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    message: String,
}

impl AdminApi {
    /// For one server that has a token for it. Connects to nothing yet.
    ///
    /// # Errors
    /// When the system has no certificates to know servers by, and one is needed.
    pub(super) fn new(config: &UnleashConfig, admin: &UnleashAdmin) -> io::Result<Self> {
        let json = HeaderValue::from_static("application/json");
        let agent = concat!("serin/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        // The configuration's token is one: it was checked when it was read.
        if let Ok(mut token) = HeaderValue::from_str(admin.token.expose()) {
            token.set_sensitive(true);
            headers.insert(AUTHORIZATION, token);
        }
        Ok(Self {
            http: HttpClient::new(&config.url, headers)?,
            place: admin.place.clone(),
        })
    }

    /// Where canaries are recorded, and rings switched.
    pub(super) fn place(&self) -> &UnleashPlace {
        &self.place
    }

    /// Finds a flag by its name, which no two flags of a server share. Whether another project or the archive has it is
    /// only asked if the name `is_taken`: Unleash answers few searches a minute.
    pub(super) async fn find(&self, name: &str, is_taken: bool) -> Result<Found, AdminError> {
        if let Some(flag) = self.flag(&self.place.project, name).await? {
            let is_tagged = self.is_tagged(name).await?;
            let flag = Box::new(flag);
            return Ok(Found::Here { flag, is_tagged });
        }
        if !is_taken {
            return Ok(Found::Nothing);
        }
        if let Some(found) = self.search(name, "").await? {
            return Ok(Found::Elsewhere(found.project));
        }
        let archived = self.search(name, "&archived=IS:true").await?;
        Ok(archived.map_or(Found::Nothing, |found| Found::Archived {
            project: found.project,
            description: found.description.unwrap_or_default(),
            is_tagged: found.tags.unwrap_or_default().iter().any(is_own_tag),
        }))
    }

    /// A flag of a project, with the strategies of all environments; `None`: the project has none of this name.
    pub(super) async fn flag(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<AdminFlag>, AdminError> {
        let path = flag_path(project, name);
        match self.ask(&path).await {
            Ok(flag) => Ok(Some(flag)),
            Err(AdminError::Changed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The project of a flag that is not archived.
    pub(super) async fn project_of(&self, name: &str) -> Result<Option<Box<str>>, AdminError> {
        Ok(self.search(name, "").await?.map(|found| found.project))
    }

    async fn is_tagged(&self, name: &str) -> Result<bool, AdminError> {
        let path = format!("/admin/features/{name}/tags");
        let tags: Tags = self.ask(&path).await?;
        Ok(tags.tags.iter().any(is_own_tag))
    }

    async fn search(&self, name: &str, more: &str) -> Result<Option<FoundFlag>, AdminError> {
        // It finds what contains the text; exact ones are few.
        let path = format!("/admin/search/features?query={name}&limit=100{more}");
        let found: FoundFlags = self.ask(&path).await?;
        let mut found = found.features.into_iter();
        Ok(found.find(|flag| *flag.name == *name))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let body = self.send(Method::GET, path, Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|error| AdminError::Unavailable {
            message: format!("the answer to GET {path} cannot be read: {error}"),
            retry_after: None,
        })
    }

    /// Changes something. A flag or a strategy that is not there is [`AdminError::Changed`].
    pub(super) async fn tell(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(), AdminError> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        self.send(method, path, body).await.map(|_| ())
    }

    /// Adds a strategy to a flag's environment.
    pub(super) async fn add_strategy(
        &self,
        project: &str,
        flag: &str,
        strategy: &Value,
    ) -> Result<(), AdminError> {
        let path = self.strategies_path(project, flag);
        self.tell(Method::POST, &path, strategy).await
    }

    /// Changes a part of a strategy, as JSON Patch (RFC 6902) names it.
    pub(super) async fn patch_strategy(
        &self,
        project: &str,
        (flag, strategy): (&str, &str),
        patch: &Value,
    ) -> Result<(), AdminError> {
        let path = format!("{}/{strategy}", self.strategies_path(project, flag));
        self.tell(Method::PATCH, &path, &json!([patch])).await
    }

    fn strategies_path(&self, project: &str, flag: &str) -> String {
        let environment = &self.place.environment;
        let flag = flag_path(project, flag);
        format!("{flag}/environments/{environment}/strategies")
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, AdminError> {
        let call = format!("{method} {path}");
        let request = self.http.request(method, path, body)?;
        let response = self.http.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = whole(response.into_body()).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.failure(&call, status, &headers, &words(&body)))
    }

    fn failure(
        &self,
        call: &str,
        status: StatusCode,
        headers: &HeaderMap,
        said: &str,
    ) -> AdminError {
        let UnleashPlace {
            project,
            environment,
            ..
        } = &self.place;
        let answered = format!("the server answered {status} to {call}: {said}");
        match status {
            StatusCode::UNAUTHORIZED => AdminError::Refused(format!(
                "the server does not know the token ({status}): check `admin_token`"
            )),
            StatusCode::FORBIDDEN => AdminError::Refused(format!(
                "{answered}; `admin_token` must be allowed to write in project `{project}` and environment \
                 `{environment}`, and no change request may be needed for it"
            )),
            StatusCode::NOT_FOUND if said.contains("project with id") => AdminError::Refused(
                format!("{answered}; check `registry.unleash.project`, which is `{project}`"),
            ),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => AdminError::Changed(answered),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                unavailable(answered, headers)
            }
            status if status.is_server_error() => unavailable(answered, headers),
            _ => AdminError::Impossible(answered),
        }
    }
}

impl From<FetchError> for AdminError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Misconfigured(message) => Self::Refused(message),
            FetchError::Unavailable {
                message,
                retry_after,
            } => Self::Unavailable {
                message,
                retry_after,
            },
            FetchError::Unusable(message) => Self::Unavailable {
                message,
                retry_after: None,
            },
        }
    }
}

/// Where a flag of a project is.
pub(super) fn flag_path(project: &str, flag: &str) -> String {
    format!("/admin/projects/{project}/features/{flag}")
}

fn unavailable(message: String, headers: &HeaderMap) -> AdminError {
    AdminError::Unavailable {
        message,
        retry_after: retry_after(headers),
    }
}

/// What the server itself says is wrong.
fn words(body: &[u8]) -> String {
    let document: ErrorDocument = serde_json::from_slice(body).unwrap_or_default();
    let detail = document.details.into_iter().next();
    let text = detail.map_or(document.message, |detail| detail.message);
    let text = if text.is_empty() {
        "it does not say why".to_owned()
    } else {
        text
    };
    text.trim_end_matches('.')
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_server_s_own_words_are_passed_on_in_bounds() {
        let body = br#"{"message":"Request validation failed.","details":[{"message":"\"name\" must be\n URL friendly."}]}"#;
        assert_eq!(words(body), "\"name\" must be URL friendly");
        assert_eq!(words(br#"{"message":"gone."}"#), "gone");
        assert_eq!(words(b"<html>"), "it does not say why");
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(9000));
        assert_eq!(words(long.as_bytes()).len(), super::MOST_WORDS);
    }
}
