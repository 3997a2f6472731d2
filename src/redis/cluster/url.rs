//! The URL of a Cluster: several hosts, and what one server's URL says for all of them.
//!
//! Floor 3.

use std::collections::BTreeSet;

use redis::ConnectionAddr;

use super::node::Node;
use crate::config::ConfigError;
use crate::redis::url::{self, Place, mask};

#[cfg(feature = "tls-rustls")]
const ACCEPTED: &str = "redis-cluster:// or, for TLS, rediss-cluster://, then \
     [[user]:password@]host[:port][,host[:port]…], the port from 1 to 65535 and without a \
     database, which a Cluster has one of; one server has redis://";
#[cfg(not(feature = "tls-rustls"))]
const ACCEPTED: &str = "redis-cluster://[[user]:password@]host[:port][,host[:port]…], the port \
     from 1 to 65535 and without a database, which a Cluster has one of; one server has redis://; \
     rediss-cluster:// only with the crate's feature `tls-rustls`";

/// What a URL says, and the nodes to begin with where it is a Cluster's.
pub(crate) fn parse(text: &str) -> Result<(Place, Option<BTreeSet<Node>>), ConfigError> {
    let cluster = ["redis-cluster://", "rediss-cluster://"]
        .iter()
        .find_map(|scheme| Some((scheme.replace("-cluster", ""), text.strip_prefix(scheme)?)));
    let Some((scheme, rest)) = cluster else {
        return url::parse(text).map(|place| (place, None));
    };
    let refuse = || ConfigError::new("url", mask(text), ACCEPTED);
    let (userinfo, hosts) = match rest.rsplit_once('@') {
        Some((userinfo, hosts)) => (format!("{userinfo}@"), hosts),
        None => (String::new(), rest),
    };
    let hosts = hosts
        .strip_suffix("/0")
        .or_else(|| hosts.strip_suffix('/'))
        .unwrap_or(hosts);
    let mut first = None;
    let mut seeds = BTreeSet::new();
    for host in hosts.split(',') {
        // What is left of a path would be a database.
        if host.contains('/') {
            return Err(refuse());
        }
        let place = url::parse(&format!("{scheme}{userinfo}{host}")).map_err(|_| refuse())?;
        let ConnectionAddr::Tcp(host, port) = place.info.addr() else {
            return Err(refuse());
        };
        seeds.insert(Node {
            host: host.clone(),
            port: *port,
        });
        first.get_or_insert(place);
    }
    let place = first.ok_or_else(refuse)?;
    Ok((place, Some(seeds)))
}
