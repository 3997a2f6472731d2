//! What was measured, a value a round.

use std::time::Duration;

use super::commands::Commands;
use super::load::Load;
use super::process::{Process, own_cpu};
use super::workload::Workload;
use crate::Error;
use crate::candidates::Candidate;
use crate::measure::Series;
use crate::redis_server::Server;

/// One candidate under one workload.
pub struct Figures {
    pub commands: Commands,
    pub rate: Series,
    /// Microseconds of CPU a request.
    pub server_cpu: Series,
    pub redis_cpu: Series,
    /// Shares of a core.
    pub server_busy: Series,
    pub redis_busy: Series,
    pub load_busy: Series,
}

/// A core that is busier than this is full.
pub const BUSY: f64 = 0.93;

/// Which core was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Server,
    /// That of Redis and the load: the rate understates the server.
    Others,
    /// Somebody else used the machine: the rate says nothing.
    Nothing,
    /// The system does not tell what processes use.
    Unknown,
}

impl Figures {
    pub fn limit(&self) -> Limit {
        let server = self.server_busy.median();
        let others = self.redis_busy.median() + self.load_busy.median();
        match (server >= BUSY, others >= BUSY) {
            _ if server.is_nan() => Limit::Unknown,
            (true, _) => Limit::Server,
            (false, true) => Limit::Others,
            (false, false) => Limit::Nothing,
        }
    }

    pub fn new(commands: Commands) -> Self {
        Self {
            commands,
            rate: Series::default(),
            server_cpu: Series::default(),
            redis_cpu: Series::default(),
            server_busy: Series::default(),
            redis_busy: Series::default(),
            load_busy: Series::default(),
        }
    }
}

/// A candidate that is up, and its load.
pub struct Running {
    pub candidate: Candidate,
    pub process: Process,
    pub load: Load,
}

impl Running {
    pub fn start(candidate: Candidate, redis: &Server) -> Result<Self, Error> {
        let process = Process::start(candidate, redis.url())?;
        let load = Load::connect(process.port())?;
        Ok(Self {
            candidate,
            process,
            load,
        })
    }

    /// One slice, after a tenth of it to warm up.
    pub fn measure(
        &mut self,
        workload: Workload,
        slice: Duration,
        redis: &Server,
        into: &mut Figures,
    ) -> Result<(), Error> {
        self.load.run(workload, slice / 10)?;
        let server = || self.process.cpu();
        let before = (server(), redis.usage()?.cpu, own_cpu());
        let (requests, elapsed) = self.load.run(workload, slice)?;
        let after = (server(), redis.usage()?.cpu, own_cpu());
        let (requests, elapsed) = (requests as f64, elapsed.as_secs_f64());
        // Not a number where the system does not tell.
        let spent = |before: Option<f64>, after: Option<f64>| {
            after
                .zip(before)
                .map_or(f64::NAN, |(after, before)| after - before)
        };
        let server = spent(before.0, after.0);
        let redis = after.1 - before.1;
        into.rate.push(requests / elapsed);
        into.server_cpu.push(server / requests * 1e6);
        into.redis_cpu.push(redis / requests * 1e6);
        into.server_busy.push(server / elapsed);
        into.redis_busy.push(redis / elapsed);
        into.load_busy.push(spent(before.2, after.2) / elapsed);
        Ok(())
    }
}
