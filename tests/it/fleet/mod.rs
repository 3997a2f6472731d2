//! The promise: three instances behind a real load balancer, restarted and killed under load.

mod instances;
mod killed;
mod load;
mod promise;
mod soak;
mod troubles;
mod uses;
