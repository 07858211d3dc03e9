//! Registrations, flags and segments where nothing can be stored: they are refused, say why, and change nothing; traffic goes on.

use http::Method;

use super::{
    Gateway, Origin, Path, Setup, TempDir, Value, assert_has, config, fs, json, kill, origins, post,
};
use crate::harness::{Call, eventually};

const CANARIES: &str = "/api/v1/services/search/canaries";

fn send(method: Method, path: &str, body: &Value) -> Call {
    Call::new(method, path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Everything that must be stored before it is answered, by what it is about.
fn orders(canary: &str) -> [(String, Call); 4] {
    let all = json!([{ "name": "all" }]);
    let registration = json!({ "url": canary, "ttl": "1h", "rings": all });
    let flag = json!({ "url": canary, "rings": all });
    let segment = json!({ "userId": ["ann"] });
    [
        (format!("{CANARIES}/search.new"), registration),
        ("/api/v1/flags/search.kept".to_owned(), flag),
        ("/api/v1/segments/Kept".to_owned(), segment.clone()),
        ("/api/v1/segments/Other".to_owned(), segment),
    ]
    .map(|(path, body)| (path.clone(), send(Method::PUT, &path, &body)))
}

/// Orders all of it: each is refused with that status and words, and there is nothing of it afterwards.
async fn assert_refused(gateway: &Gateway, canary: &Origin, status: u16, words: &str) {
    let before = gateway.generation().await;
    for (path, order) in orders(&canary.url()) {
        let answer = gateway.admin_send(order).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let problem = answer.json();
        assert_has(&problem, &json!({ "status": status }));
        assert!(problem["detail"].to_string().contains(words), "{problem}");
        assert_eq!(gateway.admin(&path).await.status, 404, "{path}");
        gateway.get_as("u1", "/").await.assert_from("stable");
    }
    assert_eq!(gateway.generation().await, before);
}

/// Orders all of it: each is carried out.
async fn assert_done(gateway: &Gateway, canary: &Origin) {
    for (path, order) in orders(&canary.url()) {
        let answer = gateway.admin_send(order).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
        assert_eq!(gateway.admin(&path).await.status, 200, "{path}");
    }
}

/// A configuration that lets pipelines register, and whose one canary has nobody.
fn open(origins: &[Origin; 2], state: &Path) -> String {
    let config = config(origins, state).replace(
        "rings: [{ name: all }]",
        "rings: [{ name: none, rollout: 0% }]",
    );
    config.replace(
        "services:\n  search: { stable:",
        "services:\n  search: { canaries: ['search.*'], stable:",
    )
}

/// Paths of what is stored by a gateway that ends then: of each kind one.
async fn stored_before(origins: &[Origin; 2], state: &Path) -> [String; 3] {
    let gateway = Gateway::start(open(origins, state)).await;
    let users: Vec<String> = (0..2000).map(|user| format!("user-{user}")).collect();
    let (url, description) = (origins[1].url(), "x".repeat(400));
    let rings = json!([{ "name": "few", "rollout": "0%" }]);
    let segment = json!({ "userId": users });
    let flag = json!({ "url": url, "rings": rings, "description": description });
    let registration =
        json!({ "url": url, "ttl": "1h", "description": description, "rings": rings });
    let paths = [
        "/api/v1/segments/Long".to_owned(),
        "/api/v1/flags/search.long".to_owned(),
        format!("{CANARIES}/search.first"),
    ];
    for (path, body) in paths.iter().zip([segment, flag, registration]) {
        let answer = gateway.admin_send(send(Method::PUT, path, &body)).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
    }
    eventually("the first check", || async {
        (gateway.admin(&paths[2]).await.json()["state"] == "ready").then_some(())
    })
    .await;
    paths
}

#[tokio::test]
async fn what_has_no_room_is_refused_with_507_and_goes_when_there_is_room() {
    let state = TempDir::new().expect("a folder");
    let origins = origins().await;
    let paths = stored_before(&origins, state.path()).await;
    // No file may have more than half a KiB from now on.
    let setup = Setup::new(open(&origins, state.path())).file_size(1);
    let gateway = setup.start().await;
    assert_refused(&gateway, &origins[1], 507, "there is no room in state_dir").await;
    let off = json!({ "enabled": false });
    for order in [
        post(&format!("{}/renew", paths[2]), ""),
        send(Method::PATCH, &format!("{}/rings/few", paths[1]), &off),
    ] {
        let answer = gateway.admin_send(order).await;
        assert_eq!(answer.status, 507, "{answer:?}");
    }
    let killed = kill(&gateway, "search.ranker", &"x".repeat(500)).await;
    assert_has(&killed, &json!({ "killed": true, "stored": false }));
    let store = gateway.status().await["stores"][0].clone();
    assert_has(&store, &json!({ "name": "state", "up": false }));
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("the audit trail cannot be written"),
        "{warnings}"
    );
    drop(gateway);
    // What was there before is whole.
    let gateway = Gateway::start(open(&origins, state.path())).await;
    for path in &paths {
        assert_eq!(gateway.admin(path).await.status, 200, "{path}");
    }
    assert_done(&gateway, &origins[1]).await;
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_with_503_and_goes_when_it_can() {
    let folder = TempDir::new().expect("a folder");
    // A file where the folder should be: not even root can write there.
    let state = folder.path().join("state");
    fs::write(&state, "").expect("a file");
    let origins = origins().await;
    let gateway = Gateway::start(open(&origins, &state)).await;
    assert_refused(&gateway, &origins[1], 503, "state_dir cannot be written").await;
    kill(&gateway, "search.other", "").await;
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("the audit trail cannot be written"),
        "{warnings}"
    );
    fs::remove_file(&state).expect("a file");
    assert_done(&gateway, &origins[1]).await;
    drop(gateway);
    let gateway = Gateway::start(open(&origins, &state)).await;
    for (path, _) in orders("") {
        assert_eq!(gateway.admin(&path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn files_of_another_program_are_kept_beside_and_told_and_traffic_goes_on() {
    let state = TempDir::new().expect("a folder");
    let garbage = b"\x7fELF\x00 nothing that Serin wrote";
    let kinds = ["registrations", "flags", "segments"];
    for kind in kinds {
        fs::write(state.path().join(format!("{kind}.json")), garbage).expect("a file");
    }
    let origins = origins().await;
    let gateway = Gateway::start(open(&origins, state.path())).await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    for kind in kinds {
        gateway
            .await_log(&format!("{kind}.json: it cannot all be read"))
            .await;
    }
    assert_done(&gateway, &origins[1]).await;
    for kind in kinds {
        let kept = state.path().join(format!("{kind}.json.damaged.1"));
        assert_eq!(fs::read(&kept).expect("kept"), garbage, "{kind}");
    }
    drop(gateway);
    let gateway = Gateway::start(open(&origins, state.path())).await;
    for (path, _) in orders("") {
        assert_eq!(gateway.admin(&path).await.status, 200, "{path}");
    }
}
