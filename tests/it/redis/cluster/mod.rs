//! Redis Cluster: commands find their node, whatever the cluster does with slots and masters.

mod contracts;
mod redirects;
mod routing;
