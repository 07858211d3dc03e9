//! `deploy/pipelines/` against a gateway: the command lines of every file, run as they stand there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::dns::Lookup;
use crate::harness::origin::Protocol;
use crate::harness::{Dns, Gateway, Origin, Setup, assert_has, eventually, get, until};

/// Stands for every value that a CI system fills in.
const FILLED_IN: &str = "7";
/// The file that the containers read their token from.
const TOKEN_FILE: &str = "/run/secrets/serin/token";
const TOKEN: &str = "token-of-the-pipeline-of-search";
/// The gateway's admin API, as the files name it.
const ADMIN_PORT: &str = ":9900";

const CONFIG: &str = "
services: { search: { stable: @stable } }
routes: [{ path: /, service: search }]
admin:
  address: 127.0.0.1:0
  tokens:
    - { name: ci-search, role: registrar, services: [search], token: token-of-the-pipeline-of-search }
    - { name: looks, role: viewer, token: token-of-somebody-who-looks }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: ./state }
";

/// A command of a file, with the variables that the file sets for it.
struct Step {
    command: Words,
    env: BTreeMap<String, String>,
}

enum Words {
    /// The arguments of a container of Serin's image.
    Arguments(Vec<String>),
    /// A line for a shell.
    Line(String),
}

fn documents(name: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/pipelines")
        .join(name);
    let text = std::fs::read_to_string(&path).expect(name);
    let documents = text.split("\n---\n");
    documents
        .map(|text| serde_saphyr::from_str(text).expect(name))
        .collect()
}

/// Puts values in place of `${{ … }}` of GitHub Actions, and of GitLab's variable.
fn filled_in(text: &str) -> String {
    let expression = regex::Regex::new(r"\$\{\{[^}]*\}\}").expect("an expression");
    let text = expression.replace_all(text, FILLED_IN);
    text.replace("$CI_COMMIT_REF_SLUG", FILLED_IN)
}

/// The variables of a file, with the secret that the CI system keeps.
fn variables(map: &Value) -> BTreeMap<String, String> {
    let map = map.as_object().into_iter().flatten();
    let variables =
        map.filter_map(|(name, value)| Some((name.clone(), filled_in(value.as_str()?))));
    let secret = ("SERIN_TOKEN".to_owned(), TOKEN.to_owned());
    variables.chain([secret]).collect()
}

fn shell(line: &Value, env: &BTreeMap<String, String>) -> Option<Step> {
    let line = line.as_str().filter(|line| line.contains("serin "))?;
    Some(Step {
        command: Words::Line(filled_in(line)),
        env: env.clone(),
    })
}

fn all(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The commands of the containers of Serin's own image.
fn of_containers(document: &Value) -> Vec<Step> {
    let containers = &document["spec"]["template"]["spec"]["containers"];
    let is_own = |container: &&Value| {
        let image = container["image"].as_str();
        image.is_some_and(|image| image.contains("/serin:"))
    };
    let step = |container: &Value| {
        let env = all(&container["env"]).filter_map(|one| {
            let text = |key: &str| one[key].as_str().map(str::to_owned);
            Some((text("name")?, text("value")?))
        });
        let args = all(&container["args"]).map(|arg| arg.as_str().expect("text").to_owned());
        Step {
            command: Words::Arguments(args.collect()),
            env: env.collect(),
        }
    };
    all(containers).filter(is_own).map(step).collect()
}

/// A gateway with tokens, and a branch that is up at the host and port that a file names.
struct Stage {
    gateway: Gateway,
    folder: TempDir,
    name: &'static str,
    _parties: (Origin, Origin, Dns),
}

impl Stage {
    async fn start(name: &'static str, host: &str, address: [u8; 4]) -> Self {
        let stable = Origin::start("stable").await;
        let address = Ipv4Addr::from(address);
        let branch = Origin::start_on("branch", Protocol::Http1, address.into(), 8080).await;
        let dns = Dns::start().await;
        let host = format!("{host}.canary.svc.cluster.local");
        dns.set(&host, Lookup::address(address));
        let config = CONFIG.replace("@stable", &stable.url());
        let gateway = Setup::new(config).dns(&dns).start().await;
        let folder = TempDir::new().expect("a folder");
        let serin = folder.path().join("serin");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_serin"), serin).expect("a link");
        std::fs::write(folder.path().join("token"), TOKEN).expect("a file");
        Self {
            gateway,
            folder,
            name,
            _parties: (stable, branch, dns),
        }
    }

    /// Starts a command. What the test puts in place of the file's own: the address of the admin API, and the path of the
    /// mounted token.
    fn spawn(&self, step: &Step) -> Running {
        let place = step.env.get("SERIN_ADMIN").expect("the file says where");
        assert!(
            place.starts_with("http://") && place.ends_with(ADMIN_PORT),
            "{place}"
        );
        let folder = self.folder.path();
        let mut command = match &step.command {
            Words::Line(line) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-euc", line]);
                command
            }
            Words::Arguments(words) => {
                let token = folder.join("token").display().to_string();
                let words = words.iter().map(|word| word.replace(TOKEN_FILE, &token));
                let mut command = Command::new(folder.join("serin"));
                command.args(words);
                command
            }
        };
        command
            .env_clear()
            .envs(&step.env)
            .envs(runner(folder))
            .env(
                "SERIN_ADMIN",
                format!("http://{}", self.gateway.admin_address()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Running(command.spawn().expect("it runs"))
    }

    /// Runs a command to its end.
    async fn run(&self, step: &Step) {
        self.spawn(step).ended().await;
    }

    async fn canary(&self) -> Option<Value> {
        let path = format!("/api/v1/services/search/canaries/{}", self.name);
        let call = get(&path).header("authorization", "Bearer token-of-somebody-who-looks");
        let answer = self.gateway.admin_send(call).await;
        (answer.status == 200).then(|| answer.json())
    }

    async fn assert_registered(&self) {
        let canary = self.canary().await.expect("a registration");
        let expected = json!({ "state": "ready", "health": { "path": "/healthz" }, "by": "ci-search at 127.0.0.1" });
        assert_has(&canary, &expected);
        let branch = canary["branch"].as_str().expect("a branch");
        assert!(branch.starts_with("feature/"), "{canary}");
    }

    async fn assert_taken_back(&self) {
        let canary = self.canary().await.expect("a registration");
        assert_eq!(canary["state"], "over", "{canary}");
        let last = canary["history"].as_array().and_then(|all| all.last());
        assert_eq!(last.expect("an entry")["what"], "taken_back");
    }

    /// Runs a command that registers the branch and one that takes it back.
    async fn assert_life(&self, steps: Vec<Step>) {
        let Ok([register, deregister]) = <[Step; 2]>::try_from(steps) else {
            panic!("two commands");
        };
        self.run(&register).await;
        self.assert_registered().await;
        self.run(&deregister).await;
        self.assert_taken_back().await;
        // A lease that is over already keeps nobody from tearing a branch down.
        self.run(&deregister).await;
    }
}

/// A running command; it ends with the test.
struct Running(Child);

impl Running {
    async fn ended(mut self) {
        let child = &mut self.0;
        let status = until("the command's end", || child.try_wait().expect("a child")).await;
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The variables that the CI systems set for every command.
fn runner(serin: &Path) -> [(&'static str, String); 6] {
    [
        ("PATH", format!("{}:/usr/bin:/bin", serin.display())),
        ("GITHUB_ACTOR", "ann".to_owned()),
        ("GITHUB_HEAD_REF", "feature/x".to_owned()),
        ("GITLAB_USER_EMAIL", "ann@example.com".to_owned()),
        ("CI_COMMIT_REF_SLUG", FILLED_IN.to_owned()),
        ("CI_COMMIT_REF_NAME", "feature/x".to_owned()),
    ]
}

#[tokio::test]
async fn the_workflow_of_github_registers_a_branch_and_takes_it_back() {
    let file = documents("github-actions.yaml").remove(0);
    let env = variables(&file["env"]);
    let steps = ["register", "deregister"].iter().flat_map(|job| {
        let steps = all(&file["jobs"][job]["steps"]);
        let serin = steps.filter_map(|step| {
            let command = shell(&step["run"], &env)?;
            let token = step["env"]["SERIN_TOKEN"].as_str();
            assert_eq!(token, Some("${{ secrets.SERIN_TOKEN }}"), "{step}");
            Some(command)
        });
        serin.collect::<Vec<_>>()
    });
    let stage = Stage::start("search.pr-7", "pr-7", [127, 0, 77, 1]).await;
    stage.assert_life(steps.collect()).await;
}

#[tokio::test]
async fn the_jobs_of_gitlab_register_a_branch_and_take_it_back() {
    let file = documents("gitlab-ci.yaml").remove(0);
    let env = variables(&file["variables"]);
    assert_eq!(file["canary"]["environment"]["on_stop"], "canary-stop");
    let steps = ["canary", "canary-stop"].iter().flat_map(|job| {
        let lines = all(&file[job]["script"]);
        lines
            .filter_map(|line| shell(line, &env))
            .collect::<Vec<_>>()
    });
    let stage = Stage::start("search.7", "7", [127, 0, 77, 2]).await;
    stage.assert_life(steps.collect()).await;
}

#[tokio::test]
async fn the_hooks_of_argo_cd_register_a_branch_and_take_it_back() {
    let files = documents("argocd-hooks.yaml");
    let hooks: Vec<&Value> = files
        .iter()
        .map(|file| &file["metadata"]["annotations"]["argocd.argoproj.io/hook"])
        .collect();
    assert_eq!(hooks, ["PostSync", "PostDelete"]);
    let steps = files.iter().flat_map(of_containers).collect();
    let stage = Stage::start("search.ranker-v2", "search-ranker-v2", [127, 0, 77, 3]).await;
    stage.assert_life(steps).await;
}

#[tokio::test]
async fn the_sidecar_holds_a_canary_and_ends_it_before_the_service_ends() {
    let file = documents("sidecar.yaml").remove(0);
    let pod = &file["spec"]["template"]["spec"];
    // A native sidecar would get SIGTERM only after the service.
    assert!(pod["initContainers"].is_null());
    let pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    // The command gives up after ten seconds.
    assert!(pause > Some(10) && grace > pause, "{pause:?}, {grace:?}");

    let stage = Stage::start("search.ranker-v2", "search-ranker-v2", [127, 0, 77, 4]).await;
    let mut steps = of_containers(&file);
    let child = stage.spawn(&steps.remove(0));
    assert!(steps.is_empty());
    eventually("a ready canary", || async {
        let canary = stage.canary().await?;
        (canary["state"] == "ready").then_some(())
    })
    .await;
    stage.assert_registered().await;
    kill_process(Pid::from_child(&child.0), Signal::TERM).expect("it runs");
    child.ended().await;
    stage.assert_taken_back().await;
}
