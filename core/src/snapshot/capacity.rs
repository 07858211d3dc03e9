//! Where a snapshot asks for more connections than the process has files for.

use super::Snapshot;
use crate::capacity::{OpenFiles, Shares};

/// What is asked for and cannot be had, in words for operators.
pub fn shortfalls(snapshot: &Snapshot, files: OpenFiles) -> Vec<String> {
    let wanted = snapshot.traffic.connections;
    let shares = Shares::of(files.limit, wanted);
    let limit = files.limit;
    let how = "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)";
    let clients = wanted.filter(|wanted| *wanted > shares.clients);
    let clients = clients.map(|wanted| {
        format!(
            "`server.limits.connections` is {wanted}, but of {limit} open files only {} are for clients' connections: {how}",
            shares.clients
        )
    });
    let services = snapshot.services.iter().filter_map(|service| {
        let wanted = service.upstream.load.max_connections?;
        let beyond = usize::try_from(wanted).is_ok_and(|wanted| wanted > shares.upstreams);
        beyond.then(|| {
            format!(
                "`max_connections` of service `{}` is {wanted}, but of {limit} open files only {} are for connections to upstreams: {how}",
                service.name, shares.upstreams
            )
        })
    });
    clients.into_iter().chain(services).collect()
}

#[cfg(test)]
mod tests {
    use super::shortfalls;
    use crate::capacity::{LoadPolicy, OpenFiles};
    use crate::cluster::policy::UpstreamPolicy;
    use crate::config::{Config, ServiceConfig};
    use crate::snapshot::fixture::{assembled, config, service};

    #[test]
    fn what_is_asked_for_and_cannot_be_had_is_told() {
        let greedy = ServiceConfig {
            upstream: UpstreamPolicy {
                load: LoadPolicy {
                    max_connections: Some(1_000),
                    ..LoadPolicy::default()
                },
                ..UpstreamPolicy::default()
            },
            ..service("greedy", &[])
        };
        let mut config = config(vec![service("modest", &[]), greedy], Vec::new());
        let short = |config: &Config, limit| {
            let found = limit;
            shortfalls(&assembled(config), OpenFiles { found, limit })
        };
        assert_eq!(short(&config, 100_000), [""; 0]);
        // The default is no wish.
        let told = short(&config, 1024);
        assert!(
            told.len() == 1 && told[0].contains("`greedy` is 1000"),
            "{told:?}"
        );
        config.traffic.connections = Some(500);
        let told = short(&config, 1024);
        assert!(
            told[0].contains("`server.limits.connections` is 500"),
            "{told:?}"
        );
        assert!(told[0].contains("only 320"), "{told:?}");
        config.traffic.connections = Some(300);
        assert_eq!(short(&config, 1024).len(), 1);
    }
}
