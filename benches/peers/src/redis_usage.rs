//! What a redis-server has done, by its own counts.

use std::collections::BTreeMap;

use crate::Error;

/// Redis's own counts; commands inside scripts are among them.
#[derive(Debug, Clone)]
pub struct Usage {
    commands: BTreeMap<String, u64>,
    /// Seconds.
    pub cpu: f64,
}

impl Usage {
    pub fn of(url: &str) -> Result<Self, Error> {
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut connection)?;
        let cpu: String = redis::cmd("INFO").arg("cpu").query(&mut connection)?;
        let mut commands = BTreeMap::new();
        for line in stats.lines() {
            let Some((name, calls)) = line
                .strip_prefix("cmdstat_")
                .and_then(|rest| rest.split_once(":calls="))
            else {
                continue;
            };
            // What this function and connecting cost.
            if !["info", "client|setinfo", "hello", "time", "ping"].contains(&name) {
                commands.insert(
                    name.to_owned(),
                    calls.split(',').next().unwrap_or("0").parse()?,
                );
            }
        }
        let seconds = |name: &str| -> Option<f64> {
            cpu.lines().find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .parse()
                    .ok()
            })
        };
        let cpu = seconds("used_cpu_sys").zip(seconds("used_cpu_user"));
        let (system, user) = cpu.ok_or("INFO cpu tells no time")?;
        Ok(Self {
            commands,
            cpu: system + user,
        })
    }

    /// `get 1.00, evalsha 1.00`: commands since `before`, per unit of work.
    pub fn commands_since(&self, before: &Self, work: u64) -> String {
        let cells: Vec<_> = self
            .commands
            .iter()
            .map(|(name, calls)| {
                (
                    name,
                    calls - before.commands.get(name).copied().unwrap_or(0),
                )
            })
            .map(|(name, calls)| (name, calls as f64 / work as f64))
            .filter(|(_, calls)| *calls >= 0.005)
            .map(|(name, calls)| format!("{name} {calls:.2}"))
            .collect();
        if cells.is_empty() {
            "none".to_owned()
        } else {
            cells.join(", ")
        }
    }
}
