//! What a state holds, and which of several states that differ in the order of like sites is
//! searched.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{ClosingAt, Disk, ManifestAt, World};

/// A message of an honest site that the adversary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    Header(u8, ManifestAt),
    Endorsement(u8, ClosingAt),
    /// By some honest holder; one is as bad as many.
    Opening(ClosingAt),
}

/// What survives crashes at the honest sites, and what the adversary has seen. A site's machine
/// holds nothing that is not on its disk; [`World`] compares restarted with running machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) disks: Vec<Disk>,
    pub(crate) seen: BTreeSet<Message>,
}

impl State {
    /// Honest sites whose endorsements of a closing the adversary has, as bits.
    pub(crate) fn endorsers(&self, closing: ClosingAt) -> u8 {
        self.seen.iter().fold(0, |endorsers, message| match message {
            Message::Endorsement(site, of) if *of == closing => endorsers | 1 << site,
            _ => endorsers,
        })
    }

    pub(crate) fn opened(&self) -> impl Iterator<Item = ClosingAt> + Clone {
        self.seen.iter().filter_map(|message| match message {
            Message::Opening(closing) => Some(*closing),
            _ => None,
        })
    }
}

impl State {
    /// Puts sites that are alike into an order.
    pub(crate) fn sort(&mut self, alike: &[Vec<usize>]) {
        let mut order: Vec<usize> = (0..self.disks.len()).collect();
        let sent = |site: usize| {
            let of = move |message: &Message| match *message {
                Message::Header(by, manifest) => (usize::from(by) == site).then_some((0, manifest)),
                Message::Endorsement(by, closing) => {
                    (usize::from(by) == site).then_some((1, closing))
                }
                Message::Opening(_) => None,
            };
            self.seen.iter().filter_map(of).collect::<Vec<_>>()
        };
        for class in alike {
            let mut sorted = class.clone();
            sorted.sort_by_cached_key(|site| (self.disks[*site].clone(), sent(*site)));
            for (place, site) in class.iter().zip(sorted) {
                order[*place] = site;
            }
        }
        let place =
            |site: u8| order.iter().position(|old| *old == usize::from(site)).unwrap() as u8;
        let seen = self.seen.iter().map(|message| match *message {
            Message::Header(site, manifest) => Message::Header(place(site), manifest),
            Message::Endorsement(site, closing) => Message::Endorsement(place(site), closing),
            opening @ Message::Opening(_) => opening,
        });
        let seen = seen.collect();
        self.disks = order.iter().map(|old| self.disks[*old].clone()).collect();
        self.seen = seen;
    }
}

impl World {
    /// Honest sites that are in the same sets, and hold keys in the same rounds.
    pub(crate) fn alike(&self) -> Vec<Vec<usize>> {
        let mut classes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for site in 0..self.honest() {
            let member = |set: &u8| set >> site & 1;
            let sets: Vec<u8> = self.menu.sets.iter().map(member).collect();
            let rounds: Vec<bool> =
                (0..self.menu.rounds).map(|round| self.is_holder(site, round)).collect();
            classes.entry((sets, rounds)).or_default().push(site);
        }
        classes.into_values().filter(|class| class.len() > 1).collect()
    }
}
