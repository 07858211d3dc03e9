//! Orders that were not carried out, in words that say what to do.

use super::named;
use crate::admin::diagnostic::DiagnosticView;
use crate::admin::problem::{Problem, UsersView};
use crate::config::diagnostic::Severity;
use crate::config::document::FieldProblem;
use crate::config::kept::Subject;
use crate::engine::origin::{REGISTRATION, SERIN};
use crate::publisher::flag_keeper::{Keeper, KeptFailure, tag};
use crate::state::StoreError;

/// An order that was not carried out, in words that say what to do.
pub(super) fn refusal(failure: KeptFailure, subject: &Subject, ring: Option<&str>) -> Problem {
    let (kind, name) = named(subject);
    match failure {
        KeptFailure::Invalid(problems) => invalid(&problems, kind, name),
        KeptFailure::KeptBy(keeper) => kept_by(&keeper, kind, name, ring),
        KeptFailure::Precondition(None) => {
            let detail = format!("there is no {kind} `{name}` that serin keeps");
            Problem::new(412, detail)
        }
        KeptFailure::Precondition(Some(document)) => {
            let tag = tag(&document);
            let detail = format!(
                "the {kind} `{name}` is not the one that you have read: read it again, make your change to that, and send its tag"
            );
            Problem::new(412, detail).with_etag(format!("\"{tag}\""))
        }
        KeptFailure::Missing(nearest) => {
            let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?"));
            let hint = hint.unwrap_or_default();
            Problem::new(404, format!("there is no {kind} `{name}`{hint}"))
        }
        KeptFailure::NoRing(rings) => {
            let rings: Vec<String> = rings.iter().map(|ring| format!("`{ring}`")).collect();
            let detail = format!(
                "the flag `{name}` has no ring `{}`; it has {}",
                ring.unwrap_or_default(),
                match rings.as_slice() {
                    [] => "none".to_owned(),
                    rings => rings.join(", "),
                }
            );
            Problem::new(404, detail)
        }
        KeptFailure::InUse(subjects) => in_use(&subjects, kind, name),
        failure @ KeptFailure::Full => Problem::new(507, failure.to_string()),
        KeptFailure::Store(error) => {
            let status = match &error {
                StoreError::Changed(_) => 409,
                StoreError::Full(_) => 507,
                StoreError::Unwritable(_) | StoreError::Unreachable | StoreError::Stopped => 503,
            };
            Problem::new(status, format!("the {kind} `{name}` is as it was: {error}"))
        }
        failure @ KeptFailure::Contended => Problem::new(503, failure.to_string()).retry_after(1),
        failure @ KeptFailure::Unpublished(_) => Problem::new(500, failure.to_string()),
        failure @ KeptFailure::Stopped(_) => Problem::new(503, failure.to_string()),
    }
}

fn invalid(problems: &[FieldProblem], kind: &str, name: &str) -> Problem {
    let errors = problems.iter();
    let errors: Vec<_> = errors
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    let first = errors.first().map(|error| error.in_one_line());
    let more = match errors.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let detail = format!(
        "the {kind} `{name}` is wrong: {}{more}",
        first.unwrap_or_default()
    );
    Problem::new(422, detail).with_errors(problems.iter().map(DiagnosticView::from).collect())
}

fn in_use(subjects: &[Subject], kind: &str, name: &str) -> Problem {
    let names = |wanted: &str| -> Vec<String> {
        let all = subjects.iter().map(named);
        let wanted = all.filter(|(kind, _)| *kind == wanted);
        wanted.map(|(_, name)| name.to_owned()).collect()
    };
    let users = UsersView {
        flags: names("flag"),
        segments: names("segment"),
    };
    let told: Vec<String> = subjects
        .iter()
        .map(named)
        .map(|(kind, name)| format!("the {kind} `{name}`"))
        .collect();
    let detail = format!(
        "without this {kind} `{name}`, or with it as it is here, others would not compile: {}; change them first",
        told.join(", ")
    );
    Problem::new(409, detail).used_by(users)
}

/// What somebody else keeps is theirs to change.
pub(in crate::admin) fn kept_by(
    keeper: &Keeper,
    kind: &str,
    name: &str,
    ring: Option<&str>,
) -> Problem {
    let (owner, detail) = match (keeper, ring) {
        (Keeper::File, Some(ring)) => (
            "routes.yaml",
            format!(
                "the flag `{name}` stands in routes.yaml, which git owns: set `enabled` or `rollout` of its ring `{ring}` there"
            ),
        ),
        (Keeper::File, None) => (
            "routes.yaml",
            format!("the {kind} `{name}` stands in routes.yaml, which git owns: change it there"),
        ),
        (Keeper::Unleash(server), Some(ring)) => (
            &**server,
            format!(
                "the flag `{name}` is kept by the Unleash server `{server}`, and its rings are strategies there: switch `{ring}` there, or give `{server}` an `admin_token` in routes.yaml, with which it is switched from here"
            ),
        ),
        (Keeper::Unleash(server), None) => (
            &**server,
            format!(
                "the {kind} `{name}` is kept by the Unleash server `{server}`: change it there"
            ),
        ),
        (Keeper::LaunchDarkly(server), _) => (
            &**server,
            format!("the {kind} `{name}` is kept by LaunchDarkly (`{server}`): change it there"),
        ),
        (Keeper::Registration, Some(ring)) => (
            REGISTRATION,
            format!(
                "the flag `{name}` is the registration's own: register the canary with another ring `{ring}`, or put a flag of this name, which comes before it"
            ),
        ),
        (Keeper::Registration, None) => (
            REGISTRATION,
            format!("the {kind} `{name}` is the registration's own: register the canary anew"),
        ),
        (Keeper::Serin, _) => (SERIN, format!("the {kind} `{name}` is kept by serin")),
    };
    Problem::new(409, detail).kept_by(owner)
}
