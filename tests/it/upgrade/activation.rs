//! systemd opens the sockets, and hears who serves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::{CONFIG, start};
use crate::harness::gateway::path_of_serin;
use crate::harness::{Origin, Setup, fill, in_time};

/// Opens three sockets, puts the first two addresses into `routes.yaml`, and becomes the gateway with them, as systemd starts a
/// service.
const OPEN: &str = "#!/usr/bin/env python3
import os, socket
sockets = [socket.create_server(('127.0.0.1', 0), backlog=64) for _ in range(3)]
text = open('routes.yaml').read()
for index, opened in enumerate(sockets):
    text = text.replace('@socket%d' % index, '127.0.0.1:%d' % opened.getsockname()[1])
    # Out of the way of the numbers that they get.
    os.dup2(opened.fileno(), 100 + index)
open('routes.yaml', 'w').write(text)
for index in range(3):
    os.dup2(100 + index, 3 + index)
    os.set_inheritable(3 + index, True)
os.environ.update(LISTEN_FDS='3', LISTEN_PID=str(os.getpid()))
os.execv('%serin%', ['%serin%', 'run', '-c', 'routes.yaml'])
";

#[tokio::test]
async fn sockets_of_the_service_manager_are_taken_by_their_addresses() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = TempDir::new().expect("a folder");
    let program = folder.path().join("open");
    let serin = path_of_serin().to_str().expect("a path");
    fs::write(&program, OPEN.replace("%serin%", serin)).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let route = fill(CONFIG, [&stable, &canary]);
    let config = format!("listeners: ['@socket0']\nadmin: '@socket1'\n{route}");
    let mut gateway = Setup::new(config).program(&program).start().await;
    gateway.get_as("c1", "/").await.assert_from("canary");
    assert!(
        gateway.log().contains("no listener for"),
        "{}",
        gateway.log()
    );
    // They go on to the next process as all others do.
    let before = (gateway.address(), gateway.admin_address());
    let mut old = gateway.upgrade().await;
    assert_eq!(old.await_exit().await.code(), Some(0));
    gateway.learn_sockets();
    assert_eq!((gateway.address(), gateway.admin_address()), before);
    gateway.get_as("c1", "/").await.assert_from("canary");
}

#[tokio::test]
async fn the_service_manager_hears_which_process_serves_and_of_no_end() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let path = path.to_str().expect("a path");
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let setup = Setup::new(fill(CONFIG, [&stable, &canary])).env("NOTIFY_SOCKET", path);
    let mut gateway = setup.start().await;
    let hears = async || {
        let mut buffer = [0; 4096];
        let length = in_time("a notification", socket.recv(&mut buffer)).await;
        let length = length.expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let serving = "READY=1\nSTATUS=serving generation 1\n";
    assert_eq!(hears().await.trim_end(), serving.trim_end());
    let mut old = gateway.upgrade().await;
    assert_eq!(old.await_exit().await.code(), Some(0));
    let pid = format!("MAINPID={}", gateway.pid());
    assert_eq!(hears().await.trim_end(), pid);
    assert_eq!(hears().await.trim_end(), serving.trim_end());
    gateway.sigterm();
    let end = hears().await;
    assert!(end.starts_with("STOPPING=1"), "{end}");
}

#[tokio::test]
async fn the_socket_is_the_users_own_and_goes_with_its_process() {
    let (_stable, _canary, mut gateway) = start().await;
    let socket = gateway.upgrade_socket();
    let found = fs::metadata(&socket).expect("a socket");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    gateway.upgrade().await.await_exit().await;
    assert!(socket.exists(), "the next process has it");
    gateway.terminate().await;
    assert!(!socket.exists());
}
