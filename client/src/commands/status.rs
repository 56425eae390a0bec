//! `ringfence status`: where a study stands, by round and site.

mod lines;
mod reader;
mod sentences;
mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use console::Term;
use ringfence_clock::{Clock, Moment};
use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::wire::json;
use ringfence_exit::CLOSED_PIPE;
use ringfence_site::overview::{MOST_ROUNDS, Onlooker, Overview, OverviewError};
use ringfence_site::transport::Transport;
use serde::Serialize;

use crate::files::read_study;
use crate::member::{Reader, Server};

pub(super) use table::shortened;

/// Between two looks of `--watch`.
const INTERVAL: Duration = Duration::from_secs(2);
/// Columns where the output goes to no terminal.
const COLUMNS: u16 = 120;
/// Fewest columns that a table is made for.
const FEWEST_COLUMNS: u16 = 40;
/// Rounds on a screen that is drawn again and again.
const ON_SCREEN: u32 = 10;
/// Clears the screen and goes to its first place.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Arguments of `ringfence status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The study file, signed by all.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// The study's digest (see `ringfence study verify`), where there is no study file: it is fetched
    /// from the aggregator then, and checked.
    #[arg(long, conflicts_with = "study")]
    digest: Option<StudyId>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    reader: Reader,
    /// Show so many of the last rounds; all unless given, on a terminal with --watch 10.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ROUNDS)))]
    rounds: Option<u32>,
    /// Look again every two seconds until the study has ended, and show what is new. What comes late
    /// to a round before the last four is shown by a new start only.
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds to go on trying while the aggregator is away.
    #[arg(long, default_value_t = 600, requires = "watch")]
    patience: u64,
    /// Print JSON; with --watch one line whenever something has changed.
    #[arg(long)]
    json: bool,
    /// Columns of the output; the terminal's unless given, 120 where there is none.
    #[arg(long, value_parser = clap::value_parser!(u16).range(i64::from(FEWEST_COLUMNS)..))]
    columns: Option<u16>,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    /// By this machine's clock.
    at: UnixSeconds,
    #[serde(flatten)]
    overview: &'a Overview,
}

/// An aggregator that is away: tried again as long as patience says, which is said once each time.
struct Away<'a> {
    clock: &'a Clock,
    patience: u64,
    /// When patience ends, while it is away.
    end: Option<Moment>,
}

impl Away<'_> {
    /// Waits before another look, where one may help.
    ///
    /// # Errors
    /// The error itself where none may, or patience has ended.
    async fn after(&mut self, error: OverviewError) -> anyhow::Result<()> {
        if !error.is_transient() {
            return Err(error.into());
        }
        let (clock, now) = (self.clock, self.clock.moment());
        let end = *self.end.get_or_insert_with(|| {
            let until = clock.now().after(self.patience).utc();
            eprintln!("trying again until {until} at most (--patience): {error}");
            now.after(Duration::from_secs(self.patience))
        });
        if now >= end {
            return Err(error.into());
        }
        clock.sleep(INTERVAL).await;
        Ok(())
    }

    /// It has answered; said where it was said that it was away.
    fn is_back(&mut self) {
        if self.end.take().is_some() {
            eprintln!("the aggregator answers again; going on");
        }
    }
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let clock = Clock::system();
        // Somebody looks on, who is told at once that nobody listens.
        let transport = self.reader.connect(&self.server, clock.clone())?.saying_at_once();
        let mut away = Away { clock: &clock, patience: self.patience, end: None };
        let mut onlooker = loop {
            match self.onlooker(&transport, &clock).await {
                Err(error) if self.watch => match error.downcast::<OverviewError>() {
                    Ok(error) => away.after(error).await?,
                    Err(error) => return Err(error),
                },
                onlooker => break onlooker?,
            }
        };
        away.is_back();
        match self.watch {
            true => tokio::select! {
                // First: nobody is told any more.
                biased;
                () = reader::gone() => std::process::exit(CLOSED_PIPE.into()),
                ended = self.watch(&mut onlooker, away) => ended,
            },
            false => {
                let overview = onlooker.look(self.rounds.unwrap_or(MOST_ROUNDS)).await?;
                self.print(&overview, clock.now(), false, true);
                Ok(())
            }
        }
    }

    /// Whoever looks at the study, once the server has said who it is. Clocks that differ are said, for
    /// all that is shown as late or due is by one of them.
    async fn onlooker(&self, transport: &Transport, clock: &Clock) -> anyhow::Result<Onlooker> {
        let (onlooker, apart) = match self.digest {
            None => {
                let signed = read_study(&self.study)?;
                let key = &signed.study.aggregator_key;
                let apart = transport.meet(key).await.map_err(OverviewError::from)?;
                (Onlooker::new(signed, transport.clone(), clock.clone())?, apart)
            }
            Some(digest) => {
                let onlooker = Onlooker::fetch(digest, transport.clone(), clock.clone()).await?;
                let key = &onlooker.study().aggregator_key;
                let apart = transport.meet(key).await.map_err(OverviewError::from)?;
                (onlooker, apart)
            }
        };
        if let Some(apart) = apart {
            eprintln!("warning: {apart}");
        }
        Ok(onlooker)
    }

    /// Looks until the study has ended.
    async fn watch(&self, onlooker: &mut Onlooker, mut away: Away<'_>) -> anyhow::Result<()> {
        let clock = away.clock;
        let redraw = std::io::stdout().is_terminal() && !self.json;
        let rounds = self.rounds.unwrap_or(if redraw { ON_SCREEN } else { MOST_ROUNDS });
        let mut shown: Option<Overview> = None;
        // Below one another, only the first table says what its marks mean.
        let mut explained = false;
        loop {
            match onlooker.look(rounds).await {
                Ok(overview) => {
                    away.is_back();
                    if redraw || shown.as_ref() != Some(&overview) {
                        let legend = redraw || !explained;
                        self.print(&overview, clock.now(), redraw, legend);
                        explained |= !overview.rounds.is_empty();
                    }
                    if overview.ended {
                        return Ok(());
                    }
                    if overview.planned_rounds.is_none() && shown.is_none() {
                        eprintln!(
                            "the study pins no training plan, and so no number of rounds: watching until interrupted (Ctrl-C)"
                        );
                    }
                    shown = Some(overview);
                }
                Err(error) => {
                    away.after(error).await?;
                    continue;
                }
            }
            clock.sleep(INTERVAL).await;
        }
    }

    /// What cannot be printed ends the program, into a closed pipe without a word, as everywhere
    /// ([`ringfence_exit::end_on_lost_output`]).
    fn print(&self, overview: &Overview, at: UnixSeconds, redraw: bool, legend: bool) {
        let text = match (self.json, self.watch) {
            (true, watch) => {
                let printed = Printed { at, overview };
                let json = if watch { json::compact(&printed) } else { json::pretty(&printed) };
                String::from_utf8_lossy(&json).into_owned() + "\n"
            }
            (false, _) => lines::text(overview, at, self.columns(), legend),
        };
        let clear = if redraw { CLEAR } else { "" };
        // A table of --watch ends in an empty line where the next one follows below it.
        let after = if self.watch && !redraw && !self.json { "\n" } else { "" };
        print!("{clear}{text}{after}");
    }

    fn columns(&self) -> usize {
        let terminal = || Term::stdout().size_checked().map(|(_, columns)| columns);
        let columns = self.columns.or_else(terminal).unwrap_or(COLUMNS);
        columns.max(FEWEST_COLUMNS).into()
    }
}
