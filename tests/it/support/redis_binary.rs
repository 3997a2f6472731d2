//! Which server the tests start, and what it says that it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What `REDIS_SERVER` names, or the `redis-server` of this machine.
pub(crate) fn binary() -> PathBuf {
    let name = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let found = Path::new(&name).is_file()
        || std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(&name).is_file()));
    assert!(
        found,
        "no redis-server found: run ./scripts/test, which installs one, or install it yourself (apt-get install redis-server)"
    );
    PathBuf::from(name)
}

/// Major and minor, of Redis or of Valkey, which went on from Redis 7.2.
pub(crate) fn version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let said = Command::new(binary()).arg("--version").output();
        let said = said.expect("the server's binary runs").stdout;
        let said = String::from_utf8_lossy(&said);
        // `Redis server v=7.0.15 sha=…`
        let mut numbers = said
            .split("v=")
            .nth(1)
            .into_iter()
            .flat_map(|v| v.split('.'));
        let mut number = || numbers.next()?.parse().ok();
        number()
            .zip(number())
            .unwrap_or_else(|| panic!("no version in: {said}"))
    })
}
