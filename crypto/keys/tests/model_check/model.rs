//! The states and steps that are explored: honest sites that crash, and an adversary that holds
//! the aggregator's key and the corrupt sites' keys, delivers, withholds, reorders and repeats
//! messages at will, and shows every site whatever it likes.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::state::{Message, State};
use crate::world::{ClosingAt, Disk, ManifestAt, Restored, World};

/// At most one certified set per round number.
pub(crate) const ONE_CERTIFIED: &str = "at most one certified closing per round number";
/// At most one opened set per base model.
pub(crate) const ONE_OPENED: &str = "at most one opened set per base model";
/// What breaking the rules above is good for.
pub(crate) const NO_DIFFERENCE: &str = "no two opened sets differ by one honest update";
/// The checker sees rounds that succeed.
pub(crate) const OPENS: &str = "a certified set is opened";
/// It sees retries.
pub(crate) const RETRIES: &str = "a retry after a certified abort is opened";
/// It sees training go on.
pub(crate) const GOES_ON: &str = "a round on the mean of an opened round is opened";

/// A rule that is taken away, to see that the checker finds what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// Nothing: the protocol as it is.
    Nothing,
    /// Holders open what they endorsed, before it is certified.
    Certification,
    /// Sites believe an abort that is signed by the aggregator only.
    CertifiedAborts,
    /// Sites contribute without asking the contributor's rules.
    ContributionRules,
    /// An endorsement leaves before it is written, so that a crash forgets it.
    DurableEndorsements,
    /// A header leaves before it is written, so that a crash forgets it.
    DurableHeaders,
    /// A holder restored from a backup does not abstain.
    Abstention,
    /// A restored site abstains through as many rounds as the aggregator says that there are.
    Answers,
}

/// What is explored.
pub(crate) struct Exploration {
    pub(crate) world: World,
    pub(crate) without: Without,
    /// Sites crash after durable writes (before them, nothing has changed).
    pub(crate) crashes: bool,
    /// One site loses its disk and is restored from a backup.
    pub(crate) backups: bool,
    /// Sites that no set, no window and no role tells apart, class by class: of states that
    /// differ in their order only one is searched. Empty to search all.
    pub(crate) alike: Vec<Vec<usize>>,
}

/// A step. With `crash`, the site crashes between its durable write and sending, and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A site is shown a manifest and contributes (or sends again what it has on disk).
    Contribute { site: u8, manifest: ManifestAt, crash: bool },
    /// A holder is shown a closing and endorses it (or sends again what it has on disk).
    Endorse { site: u8, closing: ClosingAt, crash: bool },
    /// A site is shown a certificate and keeps it.
    Learn { site: u8, closing: ClosingAt },
    /// A holder is shown a certificate and opens.
    Open { site: u8, closing: ClosingAt },
    /// A site's disk is lost; it goes on from a backup in which nothing had happened yet, and
    /// abstains as far as the answers say that the adversary lets it have.
    Restore { site: u8, restored: Restored },
}

impl Exploration {
    /// Whether the adversary has the headers of all honest members of a set.
    fn can_close(&self, state: &State, closing: ClosingAt) -> bool {
        let known = self.world.closing(closing);
        (0..self.world.honest() as u8).all(|site| {
            known.members >> site & 1 == 0
                || state.seen.contains(&Message::Header(site, known.manifest))
        })
    }

    fn certified(&self, state: &State, closing: ClosingAt) -> bool {
        self.world.certified(closing, state.endorsers(closing))
    }

    /// A closing that a site takes for the certified end of its round.
    fn believes(&self, state: &State, closing: ClosingAt) -> bool {
        let uncertified = self.without == Without::CertifiedAborts
            && self.world.closing(closing).members == 0
            && self.world.closing_checks(closing);
        uncertified || self.certified(state, closing)
    }

    fn may_contribute(&self, disk: &Disk, manifest: ManifestAt) -> bool {
        self.without == Without::ContributionRules || self.world.may_contribute(disk, manifest)
    }

    fn opens(&self, state: &State, site: u8, closing: ClosingAt) -> bool {
        let disk = &state.disks[usize::from(site)];
        let round = self.world.round_of(closing);
        let endorsed = disk.endorsed[round] == Some(closing);
        let early = self.without == Without::Certification
            && endorsed
            && self.world.closing(closing).members != 0;
        early || {
            let endorsers = state.endorsers(closing);
            self.world.opens(usize::from(site), disk, closing, endorsers)
        }
    }

    /// The steps of one site under one manifest that it accepts.
    fn site_actions(&self, state: &State, site: u8, of: ManifestAt, actions: &mut Vec<Action>) {
        let disk = &state.disks[usize::from(site)];
        let known = self.world.manifest(of);
        let mut twice = |action: &dyn Fn(bool) -> Action| {
            actions.push(action(false));
            if self.crashes {
                actions.push(action(true));
            }
        };
        // Believes in this base model: the initial one, or one whose set it knows.
        let based = known.base.is_none_or(|base| disk.ended.contains(&Some(base)));
        let made = disk.contributed[known.round] == Some(of);
        if !made && based && self.may_contribute(disk, of) {
            twice(&|crash| Action::Contribute { site, manifest: of, crash });
        }
        // What is on disk may be sent again; the adversary may have it already.
        if made && !state.seen.contains(&Message::Header(site, of)) {
            actions.push(Action::Contribute { site, manifest: of, crash: false });
        }
        for closing in known.closings.iter().copied() {
            if !self.can_close(state, closing) {
                continue;
            }
            let sent = state.seen.contains(&Message::Endorsement(site, closing));
            let fresh = disk.endorsed[known.round] != Some(closing);
            if (fresh || !sent) && self.world.endorses(usize::from(site), disk, closing) {
                actions.push(Action::Endorse { site, closing, crash: false });
                if self.crashes && fresh {
                    actions.push(Action::Endorse { site, closing, crash: true });
                }
            }
            if disk.ended[known.round].is_none() && self.believes(state, closing) {
                actions.push(Action::Learn { site, closing });
            }
            if !state.seen.contains(&Message::Opening(closing)) && self.opens(state, site, closing)
            {
                actions.push(Action::Open { site, closing });
            }
        }
    }

    /// How far the adversary can have a site abstain that is restored now. It lets any of the others'
    /// answers through, as early as it likes: what they know only grows. Honest sites name the last
    /// round that they have taken part in or seen certified (the sites that are shipped name one
    /// whose manifest they have accepted, which is no lower), corrupt ones none at all.
    fn recalls(&self, state: &State, site: usize) -> Vec<Restored> {
        let rounds = self.world.menu.rounds as u8;
        let mut ways = vec![Restored::Everywhere];
        if self.without == Without::Answers {
            ways.extend((0..rounds - 1).map(Restored::Through));
            return ways;
        }
        let highest = |disk: &Disk| {
            let known = |round: &usize| {
                disk.contributed[*round].is_some()
                    || disk.endorsed[*round].is_some()
                    || disk.ended[*round].is_some()
            };
            (0..usize::from(rounds)).rev().find(known).map(|round| round as u8)
        };
        let certified = state.seen.iter().filter_map(|message| match message {
            Message::Endorsement(_, closing) => Some(*closing),
            _ => None,
        });
        let proven = certified
            .filter(|closing| self.certified(state, *closing))
            .fold(0, |proven: u8, closing| proven | 1 << self.world.round_of(closing));
        for through in 0u8..1 << state.disks.len() {
            let mut answers = vec![Some(None); self.world.menu.sites];
            for (other, disk) in state.disks.iter().enumerate() {
                let answers_it = other != site && through >> other & 1 == 1;
                answers[other] = answers_it.then(|| highest(disk));
            }
            if let Some(through) = self.world.recalls(site, &answers, proven) {
                let restored = Restored::Through(through);
                // Whoever abstains through the last round that is explored abstains in all.
                if through + 1 < rounds && !ways.contains(&restored) {
                    ways.push(restored);
                }
            }
        }
        ways
    }

    /// Pairs of opened sets that contain one honest site's updates from one base model.
    fn overlapping(&self, state: &State) -> impl Iterator<Item = (u8, u8)> {
        let honest = (1u8 << self.world.honest()) - 1;
        let base = |closing| self.world.manifest(self.world.closing(closing).manifest).base;
        let members = move |closing| self.world.closing(closing).members & honest;
        let opened = state.opened();
        let pairs = opened.clone().flat_map(move |a| opened.clone().map(move |b| (a, b)));
        pairs
            .filter(move |(a, b)| a < b && base(*a) == base(*b))
            .map(move |(a, b)| (members(a), members(b)))
            .filter(|(a, b)| a & b != 0)
    }
}

impl Model for Exploration {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let disks = vec![Disk::default(); self.world.honest()];
        vec![State { disks, seen: BTreeSet::new() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (site, disk) in state.disks.iter().enumerate() {
            // Manifests of the first round, and those that follow what the site knows has ended.
            let follow = disk.ended.iter().flatten().flat_map(|k| &self.world.closing(*k).next);
            for manifest in self.world.first.iter().chain(follow) {
                if self.world.accepts(disk, *manifest) {
                    self.site_actions(state, site as u8, *manifest, actions);
                }
            }
            let restored = state.disks.iter().any(|disk| disk.restored.is_some());
            if self.backups && !restored && disk.endorsed.iter().any(Option::is_some) {
                let ways = self.recalls(state, site).into_iter();
                actions.extend(ways.map(|restored| Action::Restore { site: site as u8, restored }));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Contribute { site, manifest, crash } => {
                let forgets = crash && self.without == Without::DurableHeaders;
                if !forgets {
                    let round = self.world.manifest(manifest).round;
                    next.disks[usize::from(site)].contributed[round] = Some(manifest);
                }
                if !crash || forgets {
                    next.seen.insert(Message::Header(site, manifest));
                }
            }
            Action::Endorse { site, closing, crash } => {
                let forgets = crash && self.without == Without::DurableEndorsements;
                if !forgets {
                    let round = self.world.round_of(closing);
                    next.disks[usize::from(site)].endorsed[round] = Some(closing);
                }
                if !crash || forgets {
                    next.seen.insert(Message::Endorsement(site, closing));
                }
            }
            Action::Learn { site, closing } => {
                let round = self.world.round_of(closing);
                next.disks[usize::from(site)].ended[round] = Some(closing);
            }
            Action::Open { closing, .. } => {
                next.seen.insert(Message::Opening(closing));
            }
            Action::Restore { site, restored } => {
                let restored = Some(restored);
                next.disks[usize::from(site)] = Disk { restored, ..Disk::default() };
            }
        }
        if !self.alike.is_empty() {
            next.sort(&self.alike);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_CERTIFIED, |model: &Self, state: &State| {
                let endorsed: BTreeSet<ClosingAt> = state
                    .seen
                    .iter()
                    .filter_map(|message| match message {
                        Message::Endorsement(_, closing) => Some(*closing),
                        _ => None,
                    })
                    .collect();
                let mut certified = BTreeSet::new();
                endorsed
                    .into_iter()
                    .filter(|closing| model.certified(state, *closing))
                    .all(|closing| certified.insert(model.world.round_of(closing)))
            }),
            Property::always(ONE_OPENED, |model: &Self, state: &State| {
                model.overlapping(state).next().is_none()
            }),
            Property::always(NO_DIFFERENCE, |model: &Self, state: &State| {
                model.overlapping(state).all(|(a, b)| (a ^ b).count_ones() != 1)
            }),
            Property::sometimes(OPENS, |_: &Self, state: &State| state.opened().next().is_some()),
        ];
        if self.world.menu.rounds > 1 {
            properties.push(Property::sometimes(RETRIES, |model: &Self, state: &State| {
                state.opened().any(|closing| {
                    let known = model.world.closing(closing);
                    let manifest = model.world.manifest(known.manifest);
                    let Some(aborted) = manifest.previous else { return false };
                    // Some honest site in it had contributed to the aborted round already.
                    let of = model.world.closing(aborted);
                    of.members == 0
                        && state.disks.iter().enumerate().any(|(site, disk)| {
                            known.members >> site & 1 == 1
                                && disk.contributed[manifest.round - 1] == Some(of.manifest)
                        })
                })
            }));
            properties.push(Property::sometimes(GOES_ON, |model: &Self, state: &State| {
                state.opened().any(|closing| {
                    model.world.manifest(model.world.closing(closing).manifest).base.is_some()
                })
            }));
        }
        properties
    }
}
