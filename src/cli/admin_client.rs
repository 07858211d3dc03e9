//! A running gateway's admin API, as commands ask it.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{NOT_SO, TRY_AGAIN};

/// The variable that says where the admin API is.
pub(super) const ADMIN: &str = "SERIN_ADMIN";
/// The variable with the token, for those that give no file.
const TOKEN: &str = "SERIN_TOKEN";
/// How long a gateway may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Which gateway is asked, and how its answer is printed.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// Where the gateway's admin API is
    #[arg(
        long,
        value_name = "URL",
        env = ADMIN,
        default_value = "http://127.0.0.1:9900"
    )]
    pub(super) admin: String,
    #[command(flatten)]
    credentials: Credentials,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What shows a gateway who asks.
#[derive(Debug, clap::Args)]
pub(super) struct Credentials {
    /// A file with the token, one of admin.tokens; without it the variable SERIN_TOKEN counts
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Credentials {
    /// The value of `Authorization`, if there is a token.
    fn authorization(&self) -> anyhow::Result<Option<HeaderValue>> {
        let (token, place) = match &self.token_file {
            Some(file) => {
                let place = file.display().to_string();
                let text = std::fs::read_to_string(file).with_context(|| place.clone())?;
                (text, place)
            }
            None => match std::env::var(TOKEN) {
                Ok(token) => (token, TOKEN.to_owned()),
                Err(_) => return Ok(None),
            },
        };
        let token = token.trim();
        if token.is_empty() {
            bail!("{place}: there is no token in it");
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| anyhow!("{place}: a token is one line of visible ASCII characters"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Why there is no answer to go on with, by what a caller can do about it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The same request would be refused again.
    Refused {
        /// What the gateway answered; `None`: the request could not even be made.
        status: Option<StatusCode>,
        /// What is wrong with it.
        error: anyhow::Error,
    },
    /// The gateway was not reached, or asks for patience: the same request may succeed later.
    TryAgain(anyhow::Error),
}

impl Failure {
    /// Whether the gateway knows nothing of what was asked for.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: Some(status), .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Tells people, and says what the command exits with.
    pub(super) fn told(&self) -> ExitCode {
        tell(&self.to_string());
        ExitCode::from(match self {
            Self::Refused { .. } => NOT_SO,
            Self::TryAgain(_) => TRY_AGAIN,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { error, .. } | Self::TryAgain(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused {
            status: None,
            error,
        }
    }
}

/// Writes a line to standard error. That nobody may read it ends no command.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "serin: {text}");
}

impl AdminArgs {
    /// Sends a request and prints its answer: as it is, or as `text` has it. What is refused is an error for people.
    pub(super) fn ask(
        &self,
        (method, path): (Method, &str),
        document: Option<&Value>,
        text: impl FnOnce(&Value, &mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<ExitCode> {
        match runtime()?.block_on(self.call(method, path, document)) {
            Ok(answer) => self.print(&answer, text)?,
            Err(failure) => return Ok(failure.told()),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Sends a request and returns its answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        document: Option<&Value>,
    ) -> Result<Value, Failure> {
        call((&self.admin, &self.credentials), method, path, document).await
    }

    /// Prints an answer: as it is, or as `text` has it.
    pub(super) fn print(
        &self,
        answer: &Value,
        text: impl FnOnce(&Value, &mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{answer:#}");
        }
        text(answer, &mut out)
    }
}

/// What requests are sent on: a thread is enough.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A name as a segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// Posts a document to the admin API at `base` and returns the answer's. A problem document becomes an error.
pub(super) fn post(
    base: &str,
    credentials: &Credentials,
    path: &str,
    document: &Value,
) -> anyhow::Result<Value> {
    let call = call((base, credentials), Method::POST, path, Some(document));
    runtime()?.block_on(call).map_err(|failure| match failure {
        Failure::Refused { error, .. } | Failure::TryAgain(error) => error,
    })
}

async fn call(
    (base, credentials): (&str, &Credentials),
    method: Method,
    path: &str,
    document: Option<&Value>,
) -> Result<Value, Failure> {
    let authorization = credentials.authorization()?;
    let has_token = authorization.is_some();
    let uri: Uri = format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{base} is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(anyhow!("{base} is not an http:// URL").into());
    }
    let body = document.map(Value::to_string).unwrap_or_default();
    let exchange = exchange(uri, method, authorization, body);
    let response = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| anyhow!("no answer within {} s", TIMEOUT.as_secs()))
        .and_then(|answer| answer)
        .with_context(|| base.to_owned())
        .map_err(Failure::TryAgain)?;
    answered(base, has_token, &response)
}

/// What a response says.
fn answered(base: &str, has_token: bool, response: &Response<Bytes>) -> Result<Value, Failure> {
    let status = response.status();
    let answer: anyhow::Result<Value> = serde_json::from_slice(response.body())
        .with_context(|| format!("{base}: status {status}, and the answer is not JSON"));
    if status.is_success() {
        return Ok(answer?);
    }
    let error = match answer {
        _ if status == StatusCode::UNAUTHORIZED && !has_token => anyhow!(
            "{base}: it asks for a token: give it by --token-file FILE, or in the variable {TOKEN}"
        ),
        Ok(answer) => anyhow!("{base}: {}", refusal(&answer).unwrap_or(status.to_string())),
        Err(error) => error,
    };
    // Proxies between here and the gateway answer 502 and 504.
    let is_passing = matches!(status.as_u16(), 429 | 502 | 503 | 504);
    if is_passing || response.headers().contains_key(RETRY_AFTER) {
        return Err(Failure::TryAgain(error));
    }
    Err(Failure::Refused {
        status: Some(status),
        error,
    })
}

/// What a problem document says to people: its sentence, then every error of a file.
fn refusal(problem: &Value) -> Option<String> {
    let mut text = problem["detail"]
        .as_str()
        .or(problem["title"].as_str())?
        .to_owned();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let message = error["message"].as_str().unwrap_or_default();
        let mut hint = None;
        text.push_str("\n  ");
        if let (Some(line), Some(column)) = (error["line"].as_u64(), error["column"].as_u64()) {
            text.push_str(&format!("{line}:{column}: "));
        } else if let Some(path) = error["path"].as_str().filter(|path| !path.is_empty()) {
            text.push_str(&format!("{path}: "));
            hint = error["hint"].as_str();
        }
        text.push_str(message);
        if let Some(hint) = hint {
            text.push_str(&format!("; {hint}"));
        }
    }
    Some(text)
}

async fn exchange(
    uri: Uri,
    method: Method,
    authorization: Option<HeaderValue>,
    body: String,
) -> anyhow::Result<Response<Bytes>> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))?;
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let (head, body) = client.request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow!(error))?.to_bytes();
    Ok(Response::from_parts(head, body))
}
