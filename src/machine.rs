//! The machine that this process runs on.

/// Its name, which a pod has too; empty if it has none that is text.
pub fn name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_str().unwrap_or_default().to_owned()
}
