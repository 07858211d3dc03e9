//! A running gateway's admin API, as commands ask it.

mod tls;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{NOT_SO, TRY_AGAIN};
use tls::TlsArgs;

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
    pub(super) admin: AdminUrl,
    #[command(flatten)]
    credentials: Credentials,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The URL of an admin API, without a slash at its end.
#[derive(Clone, Debug)]
pub(super) struct AdminUrl(String);

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = text.trim_end_matches('/');
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => Ok(Self(url.to_owned())),
            _ => Err("write it as http://HOST:PORT or https://HOST:PORT".to_owned()),
        }
    }
}

impl AdminUrl {
    fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a command shows of itself: a token, and where TLS is spoken a certificate.
#[derive(Debug, clap::Args)]
pub(super) struct Credentials {
    /// A file with the token, one of admin.tokens; without it the variable SERIN_TOKEN counts
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
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

/// Why a request has failed, by what its caller can do about it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The same request would be refused again.
    Refused {
        /// The status of the gateway's answer; `None`: the request could not even be sent.
        status: Option<StatusCode>,
        /// The reason, for people.
        error: anyhow::Error,
    },
    /// The gateway was not reached, or asks for patience: the same request may succeed later.
    TryAgain(anyhow::Error),
}

impl Failure {
    /// Whether the gateway has answered 404.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: Some(status), .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Prints it to standard error and returns the command's exit code.
    pub(super) fn report(&self) -> ExitCode {
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

/// Writes a line to standard error. A closed standard error ends no command.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "serin: {text}");
}

impl AdminArgs {
    /// Sends a request and prints its answer, as JSON or by `text`; reports a failure.
    pub(super) fn ask(
        &self,
        (method, path): (Method, &str),
        document: Option<&Value>,
        text: impl FnOnce(&Value, &mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<ExitCode> {
        match runtime()?.block_on(self.call(method, path, document)) {
            Ok(answer) => self.print(&answer, text)?,
            Err(failure) => return Ok(failure.report()),
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

    /// Prints an answer, as JSON or by `text`.
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

/// The runtime that sends requests; one thread is enough.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A name as a segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// Posts a document to the admin API at `base` and returns the answer.
pub(super) fn post(
    base: &AdminUrl,
    credentials: &Credentials,
    path: &str,
    document: &Value,
) -> io::Result<Result<Value, Failure>> {
    let call = call((base, credentials), Method::POST, path, Some(document));
    Ok(runtime()?.block_on(call))
}

async fn call(
    (base, credentials): (&AdminUrl, &Credentials),
    method: Method,
    path: &str,
    document: Option<&Value>,
) -> Result<Value, Failure> {
    let authorization = credentials.authorization()?;
    let has_token = authorization.is_some();
    let uri: Uri = format!("{base}{path}")
        .parse()
        .with_context(|| format!("{base} is not a URL"))?;
    let body = document.map(Value::to_string).unwrap_or_default();
    let connector = credentials.tls.connector(base.is_https())?;
    let exchange = exchange(connector, uri, method, authorization, body);
    let response = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| anyhow!("no answer within {} s", TIMEOUT.as_secs()))
        .and_then(|answer| answer)
        .with_context(|| base.to_string())
        .map_err(unanswered)?;
    answered(base, has_token, &response)
}

/// Why there is no answer. One side's certificate is as good as before when it is shown again.
fn unanswered(error: anyhow::Error) -> Failure {
    match tls::is_distrust(&error) {
        true => Failure::from(error),
        false => Failure::TryAgain(error),
    }
}

/// Reads a response.
fn answered(
    base: &AdminUrl,
    has_token: bool,
    response: &Response<Bytes>,
) -> Result<Value, Failure> {
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
    // 408: this client was too slow; 502 and 504: a proxy between here and the gateway did not reach it.
    let is_passing = matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504);
    if is_passing || response.headers().contains_key(RETRY_AFTER) {
        return Err(Failure::TryAgain(error));
    }
    Err(Failure::Refused {
        status: Some(status),
        error,
    })
}

/// The text of a problem document for people: its sentence, then every error with its place.
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
    connector: HttpsConnector<HttpConnector>,
    uri: Uri,
    method: Method,
    authorization: Option<HeaderValue>,
    body: String,
) -> anyhow::Result<Response<Bytes>> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
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
