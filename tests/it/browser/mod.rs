//! A real Chromium at the testbed: what browsers make of the cookie, over plain http and TLS.

mod chromium;
mod cross_site;
mod persistence;
mod prefix;
mod races;
mod site;
mod tls;
mod visit;
