//! Opens a connection to one server and logs in.
//!
//! Floor 3.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::failure::Failure;
use super::lookup::Lookups;
use super::tcp;
#[cfg(feature = "tls-rustls")]
use super::tls::Tls;

/// Where a server is and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) info: ConnectionInfo,
    /// Of all who are spoken to through one handle.
    pub(crate) lookups: Lookups,
    /// For `rediss://` and `rediss-sentinel://`.
    #[cfg(feature = "tls-rustls")]
    pub(crate) tls: Option<Tls>,
}

impl Target {
    /// The same at another node.
    #[cfg(feature = "cluster")]
    pub(crate) fn at(&self, node: &super::cluster::node::Node) -> Self {
        let address = redis::ConnectionAddr::Tcp(node.host.clone(), node.port);
        let mut target = self.clone();
        target.info = target.info.set_addr(address);
        target
    }

    /// Host and port, or path: without user and password.
    pub(crate) fn address(&self) -> String {
        self.info.addr().to_string()
    }
}

/// The task that reads and writes, where redis-rs does not keep it itself. It ends with this value.
pub(crate) type Driver = JoinSet<()>;

/// Dropping the future closes whatever was opened.
pub(crate) async fn dial(
    target: Target,
    config: &AsyncConnectionConfig,
) -> Result<(MultiplexedConnection, Driver), Failure> {
    #[cfg(feature = "tls-rustls")]
    if let Some(tls) = &target.tls {
        let stream = tls.connect(&target.lookups, target.info.addr()).await?;
        return over(stream, &target, config).await;
    }
    // By redis-rs there would be a lookup for each attempt, and the addresses of a name tried one by one.
    if let ConnectionAddr::Tcp(host, port) = target.info.addr() {
        let stream = tcp::connect(&target.lookups, host, *port).await?;
        return over(stream, &target, config).await;
    }
    let client = redis::Client::open(target.info).map_err(|error| Failure::from(&error))?;
    let connection = client.get_multiplexed_async_connection_with_config(config);
    let connection = connection.await.map_err(|error| Failure::from(&error))?;
    Ok((connection, Driver::new()))
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    target: &Target,
    config: &AsyncConnectionConfig,
) -> Result<(MultiplexedConnection, Driver), Failure> {
    let settings = target.info.redis_settings();
    let opened = MultiplexedConnection::new_with_config(settings, stream, config.clone());
    let (connection, work) = opened.await.map_err(|error| Failure::from(&error))?;
    let mut driver = Driver::new();
    driver.spawn(work);
    Ok((connection, driver))
}
