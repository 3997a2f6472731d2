//! What the whole suite left behind, checked once it has ended: no token in Redis or in a log,
//! and no cookie that a browser would refuse. `scripts/test` runs the suite so that it leaves it.

mod after;
mod answers;
mod cookie;
mod kept;
mod secrets;
