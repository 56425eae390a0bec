//! A round by the shipped programs beside a service that protects nothing: the same five sites, on
//! loopback and over lines of 100 Mbit/s; and the aggregator beside bare handlers of the same axum.
//!
//! The programs are child processes. What is compared takes turns in one run, every mean is compared
//! with the plain one before anything is timed, and the first turn is not timed.
//!
//! A line of 100 Mbit/s is simulated: between each site and the server lies a relay of the bench that
//! lets so many bytes pass each way (`service/relay.rs`), without latency. Each site has a line of its
//! own, and the server's is as wide as all of them.

mod crowd;
mod federation;
mod http;
mod join;
mod peers;
mod plain;
mod process;
mod relay;
mod ringfence;
mod roster;
mod round;
mod row;
mod small;
mod updates;
mod uploads;

pub use crowd::{Cost, Crowd, run as crowd, svg as crowd_chart};
pub use plain::{PlainServer, PlainSite};
pub use row::{Better, Row, table};

use process::Programs;
use row::{at_most, shown};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Values of the models of whole rounds; none leaves rounds out.
    pub values: Vec<usize>,
    /// Timed turns of each kind.
    pub repetitions: usize,
    /// Whether the aggregator is measured by itself: uploads, closings, small contributions.
    pub aggregator: bool,
    /// Whether NVIDIA FLARE has its rounds, too.
    pub peers: bool,
}

/// Measures all of it.
///
/// # Errors
/// When a program is not built, a round fails, or a mean is wrong.
pub fn run(options: &Options) -> anyhow::Result<Vec<Row>> {
    let programs = Programs::find()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Rows::default();
    for values in options.values.iter().copied() {
        eprintln!("rounds of {values} values ...");
        let measured = round::run(&programs, runtime.handle(), values, options.repetitions)?;
        rows.add(measured.rows);
        let peer = match options.peers {
            true => peers::nvflare(values)?,
            false => None,
        };
        if let Some(peer) = peer {
            let name = |what: &str| format!("round, {values} values: {what}");
            let ratio = measured.cpu / peer.cpu_seconds;
            rows.add(vec![
                at_most(&name("CPU-seconds over NVFlare's unprotected"), ratio, 1.0),
                shown(&name("NVFlare's CPU-seconds"), peer.cpu_seconds, Better::Lower),
                shown(&name("NVFlare's s"), peer.seconds, Better::Lower),
            ]);
        }
    }
    if !options.values.is_empty() {
        eprintln!("rounds of `ringfence join` ...");
        rows.add(join::run(&programs, options.repetitions)?);
    }
    if options.aggregator {
        eprintln!("uploads and closings ...");
        rows.add(uploads::run(&programs, options.repetitions)?);
        eprintln!("small contributions ...");
        rows.add(small::run(&programs, options.repetitions)?);
    }
    Ok(rows.0)
}

/// What was measured so far.
#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    /// Adds rows, and says them at once: all of it takes long.
    fn add(&mut self, rows: Vec<Row>) {
        eprint!("{}", table(&rows));
        self.0.extend(rows);
    }
}
