//! Branch and commit of a build, from the variables that CI systems set.

/// Variables with the branch, the first that is set counts. For a pull request its source branch comes before the name of the
/// pull request itself.
const BRANCH: [&str; 10] = [
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_COMMIT_REF_NAME",
    // Jenkins.
    "CHANGE_BRANCH",
    "BRANCH_NAME",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
    "BITBUCKET_BRANCH",
    // Azure Pipelines.
    "BUILD_SOURCEBRANCH",
];

/// Variables with the commit, the first that is set counts. GitLab names the commit of the source branch where the build is of
/// a merged result; GitHub has no such variable.
const COMMIT: [&str; 8] = [
    "GITHUB_SHA",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA",
    "CI_COMMIT_SHA",
    "GIT_COMMIT",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BITBUCKET_COMMIT",
    "BUILD_SOURCEVERSION",
];

/// The branch of this build.
pub(super) fn branch(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let branch = first(&BRANCH, variable)?;
    match branch.strip_prefix("refs/heads/") {
        Some(name) => Some(name.to_owned()),
        None => Some(branch),
    }
}

/// The commit of this build.
pub(super) fn commit(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    first(&COMMIT, variable)
}

/// GitHub sets `GITHUB_HEAD_REF` to nothing where there is no pull request.
fn first(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut values = names.iter().filter_map(|name| variable(name));
    values.find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{branch, commit};

    fn said(variables: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let variable = |name: &str| {
            let mut all = variables.iter();
            let found = all.find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        (branch(variable), commit(variable))
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: (&str, &str)) {
        let (branch, commit) = said(variables);
        let found = (branch.as_deref(), commit.as_deref());
        assert_eq!(found, (Some(expected.0), Some(expected.1)));
    }

    #[test]
    fn every_system_names_branch_and_commit_its_own_way() {
        check(
            &[
                ("GITHUB_HEAD_REF", ""),
                ("GITHUB_REF_NAME", "main"),
                ("GITHUB_SHA", "c1"),
            ],
            ("main", "c1"),
        );
        let pull_request = [
            ("GITHUB_REF_NAME", "12/merge"),
            ("GITHUB_HEAD_REF", "feature/x"),
            ("GITHUB_SHA", "c2"),
        ];
        check(&pull_request, ("feature/x", "c2"));
        check(
            &[("CI_COMMIT_REF_NAME", "feature/x"), ("CI_COMMIT_SHA", "c3")],
            ("feature/x", "c3"),
        );
        let jenkins = [
            ("BRANCH_NAME", "PR-7"),
            ("CHANGE_BRANCH", "feature/x"),
            ("GIT_COMMIT", "c4"),
        ];
        check(&jenkins, ("feature/x", "c4"));
        let azure = [
            ("BUILD_SOURCEBRANCH", "refs/heads/feature/x"),
            ("BUILD_SOURCEVERSION", "c5"),
        ];
        check(&azure, ("feature/x", "c5"));
    }

    #[test]
    fn without_a_ci_system_nothing_is_said() {
        assert_eq!(said(&[("HOME", "/root")]), (None, None));
    }
}
