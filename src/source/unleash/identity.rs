//! The names that Unleash knows this process by.

use crate::machine;

/// What this process, and its use of one server, are called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The process.
    pub(super) instance: Box<str>,
    /// This use of the server, as a UUID (RFC 9562, version 4).
    pub(super) connection: Box<str>,
}

impl Identity {
    /// Another connection of this process.
    pub(super) fn new() -> Self {
        Self {
            instance: instance(),
            connection: uuid(rand::random()),
        }
    }

    /// The name and version of what is on this side.
    pub(super) fn sdk(&self) -> String {
        format!("serin:{}", env!("CARGO_PKG_VERSION"))
    }
}

/// The machine's name, which a pod has too, and the process's number.
fn instance() -> Box<str> {
    let host: String = machine::name()
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .collect();
    format!("{host}-{}", std::process::id()).into()
}

fn uuid(chance: u128) -> Box<str> {
    let bits = chance & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let [a, b, c, d, e] = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
        .map(|(from, to)| hex.get(from..to).unwrap_or_default());
    format!("{a}-{b}-{c}-{d}-{e}").into()
}

#[cfg(test)]
mod tests {
    use super::{Identity, uuid};

    #[test]
    fn a_connection_is_a_uuid_of_version_4() {
        assert_eq!(&*uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(&*uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let (one, other) = (Identity::new(), Identity::new());
        assert_eq!(one.instance, other.instance);
        assert_ne!(one.connection, other.connection);
    }
}
