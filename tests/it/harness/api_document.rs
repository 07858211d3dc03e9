//! The admin API's own document, and whether answers are what it says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::{self, get};
use super::{Answer, Setup};

/// Statuses that the listener answers with before it looks for an operation.
const OF_LISTENER: [u16; 6] = [400, 401, 403, 421, 429, 508];

const ROUTES: &str = "
services: { none: { stable: 'http://127.0.0.1:9' } }
routes: [{ path: /, service: none }]
";

/// The document, as a gateway serves it.
pub(crate) struct ApiDocument {
    document: Value,
    /// Compiled on first use, by operation and status.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl ApiDocument {
    /// The one that the built binary serves, whatever it is configured to do.
    pub(crate) async fn of_the_binary() -> &'static Self {
        static DOCUMENT: OnceCell<ApiDocument> = OnceCell::const_new();
        DOCUMENT
            .get_or_init(|| async {
                let gateway = Setup::new(ROUTES).launch().await;
                let host = gateway.admin_address().to_string();
                let call = get("/api/v1/openapi.json").host(&host);
                Self::new(client::send(gateway.admin_address(), call).await.json())
            })
            .await
    }

    /// This one.
    pub(crate) fn new(document: Value) -> Self {
        Self {
            document,
            validators: Mutex::default(),
        }
    }

    /// What about an answer is not as the document says.
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let status = answer.status;
        let is_of_listener = OF_LISTENER.contains(&status);
        let path = path.split('?').next().unwrap_or_default();
        let Some((template, operations)) = self.operations(path) else {
            return match status == 404 || is_of_listener {
                true => self.check_problem(method, answer),
                false => Err(format!("{status} from a path that the document has not")),
            };
        };
        // RFC 9110, 9.3.2: as GET, without a body.
        let described = if method == "HEAD" { "GET" } else { method };
        let Some(operation) = operations.get(described.to_ascii_lowercase()) else {
            return match status == 405 || is_of_listener {
                true => self.check_problem(method, answer),
                false => Err(format!("{status} to a method that {template} has not")),
            };
        };
        let Some(response) = operation["responses"].get(status.to_string()) else {
            return Err(format!("{template} does not declare the status {status}"));
        };
        // Errors are described once for all operations.
        let shared = response["$ref"].as_str().and_then(|shared| {
            let pointer = shared.strip_prefix('#')?;
            self.document.pointer(pointer)
        });
        let response = shared.unwrap_or(response);
        let name = format!("{described} {template} {status}");
        self.check_content(&name, &response["content"], method, answer)
    }

    fn check_content(
        &self,
        name: &str,
        content: &Value,
        method: &str,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(content) = content.as_object() else {
            return match answer.body.is_empty() {
                true => Ok(()),
                false => Err(format!("{name} has a body, and declares none")),
            };
        };
        let media = answer.header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default();
        let Some(described) = content.get(media) else {
            return Err(format!("{name} does not declare the media type {media:?}"));
        };
        if method == "HEAD" {
            return Ok(());
        }
        let value = match media.ends_with("json") {
            true => serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?,
            false => json!(String::from_utf8_lossy(&answer.body)),
        };
        let validator = self.validator(name, &described["schema"]);
        let errors = validator.iter_errors(&value);
        let errors: Vec<String> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(format!("{name}: {}", errors.join("\n"))),
        }
    }

    /// Of what there is no operation for, only a problem tells.
    fn check_problem(&self, method: &str, answer: &Answer) -> Result<(), String> {
        let problem = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": problem } });
        self.check_content("a refusal", &content, method, answer)
    }

    /// The path of the document that this one is of, with its operations; the one with the fewest names in it.
    fn operations(&self, path: &str) -> Option<(&String, &Value)> {
        let paths = self.document["paths"].as_object().expect("paths");
        let matching = paths.iter().filter(|(template, _)| is_of(path, template));
        matching.min_by_key(|(template, _)| template.matches('{').count())
    }

    fn validator(&self, name: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(name.to_owned()).or_insert_with(|| {
            let whole = json!({ "allOf": [schema], "components": self.document["components"] });
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            let options = options.should_validate_formats(true);
            Arc::new(options.build(&whole).expect("a schema"))
        });
        validator.clone()
    }
}

fn is_of(path: &str, template: &str) -> bool {
    let (own, theirs): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), template.split('/').collect());
    let is_step = |(own, its): (&&str, &&str)| match its.starts_with('{') {
        true => !own.is_empty(),
        false => own == its,
    };
    own.len() == theirs.len() && own.iter().zip(&theirs).all(is_step)
}
