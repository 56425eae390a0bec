//! Arguments that every command of a site in a study takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::SignedStudy;
use ringfence_keys::identity::Identity;
use ringfence_site::by_hand::{BY_HAND, Mailbox};
use ringfence_site::transport::{Transport, Way};
use ringfence_site::{Membership, Newcomer, NoPart, Site, SiteError};

use crate::commands::study::{given_up_in_words, newest_epoch};
use crate::files::{read_study, read_token};
use crate::identity::{IdentityArg, from_environment, read_identity};

/// Seconds that a step waits for others unless told.
const PATIENCE: u64 = 600;

/// Which site in which study.
#[derive(Debug, clap::Args)]
pub(crate) struct Own {
    /// The study file, signed by all.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    #[command(flatten)]
    identity: IdentityArg,
    /// Folder for this site's durable state; never share it between sites.
    #[arg(long)]
    state: PathBuf,
}

/// Which site in which study, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    server: Server,
    /// Seconds to wait for others in each step, beyond the time that the study gives it: 600 unless
    /// given, for `ringfence join` 86400.
    #[arg(long)]
    patience: Option<u64>,
}

/// Where the aggregator is.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// URL of the aggregator: https:// or, on this machine, http://, with a host and perhaps a port; or
    /// `by-hand`, at a site without a network (`ringfence bundle`).
    /// The proxy that HTTPS_PROXY, ALL_PROXY and NO_PROXY name is used, to loopback none. No redirect
    /// is followed.
    #[arg(long, env = "RINGFENCE_SERVER")]
    server: String,
    /// PEM file with the CA that the aggregator's certificate must lead to, and no other: its own, or
    /// that of a proxy that opens connections. This machine's root certificates unless given.
    #[arg(long, value_name = "FILE", env = "RINGFENCE_CA")]
    ca: Option<PathBuf>,
    /// Speak plain HTTP beyond loopback.
    #[arg(long)]
    allow_plain_http: bool,
}

/// Who reads of a study: a site of it, or whoever the aggregator's operator gave a token.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Reader {
    /// Read as a site: its secret identity file; the environment variable RINGFENCE_IDENTITY holds its
    /// text where none may lie.
    #[arg(long)]
    identity: Option<PathBuf>,
    /// Read as an auditor or administrator: the file with the token.
    #[arg(long, env = "RINGFENCE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Reader {
    /// The connection to the aggregator, as whom it is read.
    pub(crate) fn connect(&self, server: &Server, clock: Clock) -> anyhow::Result<Transport> {
        let transport = server.connect(clock)?;
        Ok(match (&self.identity, &self.token_file) {
            (Some(identity), _) => transport.of_site(Arc::new(read_identity(identity)?)),
            (None, Some(token)) => transport.with_token(read_token(token)?),
            (None, None) => {
                let identity = from_environment()?.context(
                    "give --identity FILE to read as a site of the study, or --token-file FILE to read as an auditor or administrator",
                )?;
                transport.of_site(Arc::new(identity))
            }
        })
    }
}

/// Where a signature is sent, if it is sent anywhere.
#[derive(Debug, clap::Args)]
pub(crate) struct Gatherer {
    /// Send the signature to the aggregator at this URL, too, which gathers all of them and registers
    /// the study with the last one. RINGFENCE_SERVER alone does not send it.
    #[arg(long)]
    server: Option<String>,
    /// PEM file with the CA that the aggregator's certificate must lead to, and no other.
    #[arg(long, value_name = "FILE", env = "RINGFENCE_CA")]
    ca: Option<PathBuf>,
    /// Speak plain HTTP beyond loopback.
    #[arg(long, requires = "server")]
    allow_plain_http: bool,
}

impl Gatherer {
    /// The connection to it; none where nothing is sent.
    pub(crate) fn connect(&self, clock: Clock) -> anyhow::Result<Option<Transport>> {
        let Some(server) = self.server.clone() else { return Ok(None) };
        let (ca, allow_plain_http) = (self.ca.clone(), self.allow_plain_http);
        Server { server, ca, allow_plain_http }.connect(clock).map(Some)
    }
}

impl Server {
    /// The connection to it.
    pub(crate) fn connect(&self, clock: Clock) -> anyhow::Result<Transport> {
        let Self { server, ca, allow_plain_http } = self;
        ensure!(
            server != BY_HAND,
            "--server {BY_HAND}: this command asks the aggregator itself; run it where there is a network, with the aggregator's URL"
        );
        let way = Way { allow_plain_http: *allow_plain_http, ca: ca.clone() };
        Ok(Transport::by(server, &way, clock)?)
    }
}

impl Member {
    /// The study file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(crate) fn study(&self) -> anyhow::Result<SignedStudy> {
        read_study(&self.own.study)
    }

    /// The site's identity.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        self.own.identity.read()
    }

    /// Folder of the site's durable state.
    pub(crate) fn state(&self) -> &Path {
        &self.own.state
    }

    /// The connection to the aggregator of a site that is let in and has no part in the study yet; with what
    /// keeps others from its state meanwhile, where it has no network.
    ///
    /// # Errors
    /// When a file is wrong, the study unsigned, or the state in use.
    pub(crate) fn joining(
        &self,
        identity: Identity,
    ) -> anyhow::Result<(Transport, Arc<Identity>, Option<Newcomer>)> {
        let clock = Clock::system();
        if self.server.server != BY_HAND {
            let identity = Arc::new(identity);
            let transport = self.server.connect(clock)?;
            return Ok((transport.of_site(Arc::clone(&identity)), identity, None));
        }
        let own = Arc::new(Identity::from_file(&identity.to_file())?);
        let newcomer = Newcomer::open(&self.study()?, identity, self.state(), clock)?;
        Ok((newcomer.transport()?, own, Some(newcomer)))
    }

    /// Opens the site; what happens in its rounds is printed to standard error, with times.
    ///
    /// # Errors
    /// When a file is wrong, the study unsigned, or the state in use.
    pub(crate) async fn open(&self) -> anyhow::Result<Site> {
        let site = self.open_for(PATIENCE).await?;
        let clock = site.clock().clone();
        Ok(site.telling(move |event| {
            let now = clock.now().utc();
            event.to_string().lines().for_each(|line| eprintln!("{now}  {line}"));
        }))
    }

    /// Opens the site, with so many seconds of patience unless told otherwise. Where it is not on the
    /// roster as the study file has it, the study's epochs are asked for first.
    ///
    /// # Errors
    /// As for [`Member::open`].
    pub(crate) async fn open_for(&self, patience: u64) -> anyhow::Result<Site> {
        let clock = Clock::system();
        let patience = Duration::from_secs(self.patience.unwrap_or(patience));
        if self.server.server == BY_HAND {
            return Ok(self.own.by_hand(clock, patience).await?.0);
        }
        Ok(Site::enter(Membership {
            study: read_study(&self.own.study)?,
            identity: self.own.identity.read()?,
            state: self.own.state.clone(),
            transport: self.server.connect(clock.clone())?,
            patience,
            clock,
        })
        .await?)
    }
}

impl Own {
    /// A site that has no part in the study yet, as far as its last bundle shows: none where it has one.
    ///
    /// # Errors
    /// When a file is wrong, the study unsigned, or the state in use.
    pub(crate) fn newcomer(
        &self,
        error: &anyhow::Error,
        clock: Clock,
    ) -> anyhow::Result<Option<Newcomer>> {
        let (study, identity) = (read_study(&self.study)?, self.identity.read()?);
        // Whoever is on the first roster needs no bundle to know it.
        let is_first = study.study.site(identity.site()) == Some(&identity.public());
        let comes = match error.downcast_ref::<SiteError>() {
            Some(SiteError::Transport(error)) => error.is_by_hand(),
            Some(SiteError::NoPart(no_part)) => matches!(**no_part, NoPart::Never(_)),
            _ => false,
        };
        match comes && !is_first {
            true => Ok(Some(Newcomer::open(&study, identity, &self.state, clock)?)),
            false => Ok(None),
        }
    }

    /// Opens the site with its mailbox in the aggregator's place.
    ///
    /// # Errors
    /// When a file is wrong, the study unsigned, or the state in use.
    pub(crate) async fn by_hand(
        &self,
        clock: Clock,
        patience: Duration,
    ) -> anyhow::Result<(Site, Arc<Mailbox>)> {
        let study = read_study(&self.study)?;
        let identity = self.identity.read()?;
        let mailbox = Mailbox::new(&self.state, &study.study, &identity, clock.clone());
        let mailbox = Arc::new(mailbox);
        let transport = Transport::by_hand(Arc::clone(&mailbox), clock.clone())?;
        let state = self.state.clone();
        let membership = Membership { study, identity, state, transport, patience, clock };
        let site = Site::enter(membership).await?;
        Ok((site, mailbox))
    }
}

/// The number that the next round will have, of an aggregator that is the study's, and the site with the
/// epochs that have been made since it was here last.
pub(crate) async fn next_round(site: Site) -> anyhow::Result<(Site, RoundNumber)> {
    site.meet().await?;
    if let Some(given_up) = site.give_up_epoch().await? {
        println!("{}", given_up_in_words(given_up));
    }
    let site = match site.next_round().await {
        Err(SiteError::NewEpoch(_)) => {
            let site = site.renewed().await?.unwrap_or(site);
            println!("{}", newest_epoch(&site));
            site
        }
        next => {
            next?;
            site
        }
    };
    let site = with_check_keys(site).await?;
    let next = site.next_round().await?;
    Ok((site, next))
}

/// Between two looks for a snapshot.
const LOOK_FOR_SNAPSHOT: Duration = Duration::from_secs(2);

/// The site with the check keys of the rosters before its own, where it has come later: another one seals
/// them to it, with the model that it has.
///
/// # Errors
/// [`SiteError::NoSnapshot`] where none does, within this site's patience.
async fn with_check_keys(site: Site) -> anyhow::Result<Site> {
    let round = site.first_round();
    let Some(last) = round.before().filter(|_| site.lacks_check_keys()) else { return Ok(site) };
    let end = site.clock().moment().after(site.patience());
    let mut said = false;
    loop {
        let error = match site.patiently(|| site.fetch_snapshot(last, |_| Ok(()))).await {
            Ok((site, _)) => return Ok(site),
            Err(error @ SiteError::NoSnapshot { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        if site.clock().moment() >= end {
            return Err(error.into());
        }
        if !std::mem::replace(&mut said, true) {
            let until = site.clock().now().after(site.patience().as_secs()).utc();
            println!(
                "this site takes part from round {round} on: it waits until {until} at most for another one to seal the check keys to it, which `ringfence join`, `round` and `contribute` do there (--patience)"
            );
        }
        site.clock().sleep(LOOK_FOR_SNAPSHOT).await;
    }
}

/// The round that is meant, once it is open, of an aggregator that is the study's: the one that is named,
/// the latest, or the first where none is open yet. It is waited for, and this site's round keys are
/// published before that. With the site, whose [`Site::for_round`] has its part in it.
pub(crate) async fn which_round(
    site: Site,
    named: Option<RoundNumber>,
) -> anyhow::Result<(Site, RoundNumber)> {
    let (site, next) = next_round(site).await?;
    let round = named.or(next.before()).unwrap_or(RoundNumber::FIRST);
    if round >= next {
        let until = site.clock().now().after(site.patience().as_secs()).utc();
        println!("round {round} is not open yet; waiting until {until} at most (--patience)");
    }
    site.for_round(round).await_opening(round).await?;
    Ok((site, round))
}
