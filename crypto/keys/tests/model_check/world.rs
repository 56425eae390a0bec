//! Everything that can be signed in a small study, made once and named by small numbers.

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Answer;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::log::{Checkpoint, LogEntry, StudyLog};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{
    Closing, Endorsement, Freeze, Header, Included, Manifest, Review, Study,
};
use ringfence_crypto::threshold::Threshold;

use crate::decisions::Decisions;
use ringfence_testkit::{Parties, Proposal, Set, TIMEOUT_SECONDS, previous_of};

/// Most rounds that are explored.
pub(crate) const ROUNDS: usize = 3;

/// Index into [`World::manifests`].
pub(crate) type ManifestAt = u16;
/// Index into [`World::closings`].
pub(crate) type ClosingAt = u16;

/// A manifest that some initiator signed, and what it stands on.
pub(crate) struct KnownManifest {
    pub(crate) signed: Signed<Manifest>,
    pub(crate) round: usize,
    pub(crate) previous: Option<ClosingAt>,
    /// The set that made the base model; none for the initial one.
    pub(crate) base: Option<ClosingAt>,
    pub(crate) closings: Vec<ClosingAt>,
}

/// A closing that the malicious aggregator may sign.
pub(crate) struct KnownClosing {
    pub(crate) signed: Signed<Closing>,
    pub(crate) manifest: ManifestAt,
    /// Bit `k`: site `k` is in the set.
    pub(crate) members: u8,
    /// What it is of.
    pub(crate) list: List,
    /// Manifests of the next round that name this closing.
    pub(crate) next: Vec<ManifestAt>,
}

/// A list of contributions that was frozen, and what all holders say of it: nobody is accused. Honest
/// holders review one list a round; here the adversary has their reviews of every list.
pub(crate) struct List {
    pub(crate) freeze: Signed<Freeze>,
    pub(crate) headers: Vec<Signed<Header>>,
    pub(crate) reviews: Vec<Signed<Review>>,
}

/// What the adversary has at its disposal in every round.
#[derive(Clone)]
pub(crate) struct Menu {
    /// Sites; the last `corrupt` of them sign anything, and the study allows for as many.
    pub(crate) sites: usize,
    pub(crate) corrupt: usize,
    /// `m`: holders of a round.
    pub(crate) holders: usize,
    pub(crate) rounds: usize,
    /// Manifests for the same round number, previous closing and base model.
    pub(crate) manifests: u8,
    /// Sets that closings are signed over, as bits; 0 is an abort. A set that stands twice gives
    /// two closings that differ in the time or in the corrupt site's contribution.
    pub(crate) sets: Vec<u8>,
}

/// What a site has on disk, by round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Disk {
    pub(crate) contributed: [Option<ManifestAt>; ROUNDS],
    pub(crate) endorsed: [Option<ClosingAt>; ROUNDS],
    pub(crate) ended: [Option<ClosingAt>; ROUNDS],
    /// Restored from a backup of its first day: all above was lost.
    pub(crate) restored: Option<Restored>,
}

/// How far a restored site abstains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Restored {
    /// In every round: it has no answers, or they name as many rounds as are explored.
    Everywhere,
    /// Through this round.
    Through(u8),
}

/// The menu of a study, signed, and the decisions taken so far.
pub(crate) struct World {
    pub(crate) menu: Menu,
    pub(crate) manifests: Vec<KnownManifest>,
    /// Manifests of round 0.
    pub(crate) first: Vec<ManifestAt>,
    pub(crate) closings: Vec<KnownClosing>,
    /// Whether a holder that was restored from a backup abstains, as it must.
    pub(crate) abstains: bool,
    pub(crate) parties: Parties,
    /// Everything of the menu, round by round: what the adversary proves to every holder, so that
    /// the log never stands in its way.
    pub(crate) log: StudyLog,
    pub(crate) decisions: Decisions,
}

/// A closing and the last set up to it.
type RoundEnd = (Option<ClosingAt>, Option<ClosingAt>);

/// A closing to be signed.
struct Draft {
    manifest: ManifestAt,
    members: u8,
    twin: bool,
    list: List,
}

impl World {
    pub(crate) fn new(menu: Menu, alter: impl FnOnce(&mut Study)) -> Self {
        let Menu { sites, corrupt, holders, .. } = menu;
        let parties = Parties::new(sites, corrupt as u16, |study| {
            let (m, c) = (holders as u16, corrupt as u16);
            study.threshold = Threshold::derive(m, c, 1, sites).unwrap();
            alter(study);
        });
        let mut world = Self {
            menu,
            manifests: Vec::new(),
            first: Vec::new(),
            closings: Vec::new(),
            abstains: true,
            parties,
            log: StudyLog::default(),
            decisions: Decisions::default(),
        };
        // The closing that the next round follows, and the last set before it.
        let mut ends = vec![(None, None)];
        for round in 0..world.menu.rounds {
            ends = world.grow(round, ends);
        }
        world
    }

    /// Signs every manifest of a round that may follow these ends of the one before, and every
    /// closing of them; all have the checkpoint of a log that contains all of it.
    fn grow(&mut self, round: usize, ends: Vec<RoundEnd>) -> Vec<RoundEnd> {
        let Menu { manifests, sets, .. } = self.menu.clone();
        let mut drafts = Vec::new();
        for (previous, last_set) in ends {
            // Either the model that the last set made, or, maliciously, the initial one again.
            let mut bases = vec![None, last_set];
            bases.dedup();
            let variants = |base| (0..manifests).map(move |variant| (base, variant));
            for (base, variant) in bases.into_iter().flat_map(variants) {
                let manifest = self.add_manifest(round, previous, base, variant);
                for (at, members) in sets.iter().enumerate() {
                    let twin = sets[..at].contains(members);
                    let headers = self.headers(manifest, *members, twin);
                    let list = self.list(manifest, headers);
                    drafts.push((last_set, Draft { manifest, members: *members, twin, list }));
                }
            }
        }
        let checkpoint = self.log.checkpoint();
        let mut next = Vec::new();
        for (last_set, draft) in drafts {
            let aborts = draft.members == 0;
            let closing = self.add_closing(draft, checkpoint);
            next.push((Some(closing), if aborts { last_set } else { Some(closing) }));
        }
        next
    }

    /// The first variant is signed by the initiator that is due, every other by a corrupt site
    /// that claims to have waited for its turn.
    fn add_manifest(
        &mut self,
        round: usize,
        previous: Option<ClosingAt>,
        base: Option<ClosingAt>,
        variant: u8,
    ) -> ManifestAt {
        let n = self.menu.sites;
        let due = round % n;
        let initiator = if variant == 0 { due } else { n - 1 };
        let turns = ((initiator + n - due) % n) as u64;
        let ended = previous.map(|closing| previous_of(&self.closing(closing).signed));
        let created_at = self.parties.study.created_at;
        let since = ended.as_ref().map_or(created_at, |ended| ended.closed_at);
        let opened_at = since.after(turns * u64::from(TIMEOUT_SECONDS) + u64::from(variant));
        let signed = self.parties.manifest(Proposal {
            initiator,
            previous: ended.as_ref(),
            base_model: Digest::of(format!("keyed {base:?}").as_bytes()),
            opened_at,
            round_keys: &[],
        });
        self.log.append(LogEntry::of_signed(&signed));
        let id = self.manifests.len() as ManifestAt;
        let closings = Vec::new();
        self.manifests.push(KnownManifest { signed, round, previous, base, closings });
        match previous {
            Some(closing) => self.closings[usize::from(closing)].next.push(id),
            None => self.first.push(id),
        }
        id
    }

    /// The headers of a set's members, logged.
    fn headers(&mut self, manifest: ManifestAt, members: u8, twin: bool) -> Vec<Signed<Header>> {
        let of = &self.manifests[usize::from(manifest)].signed.statement;
        let mut headers = Vec::new();
        for site in (0..self.menu.sites).filter(|site| members >> site & 1 == 1) {
            // Corrupt sites sign a second contribution whenever that helps.
            let second = twin && self.is_corrupt(site);
            headers.push(self.header(of, site, second));
        }
        headers.iter().for_each(|header| {
            self.log.append(LogEntry::of_signed(header));
        });
        headers
    }

    /// Freeze and reviews of these headers, logged.
    fn list(&mut self, manifest: ManifestAt, headers: Vec<Signed<Header>>) -> List {
        let of = &self.manifests[usize::from(manifest)].signed.statement;
        let entry = |header: &Signed<Header>| {
            let site = header.statement.site.clone();
            Included { site, header: header.id() }
        };
        let freeze = Freeze {
            study: of.study,
            round: of.round,
            manifest: of.id(),
            frozen_at: of.deadline,
            contributions: headers.iter().map(entry).collect(),
        };
        let freeze = sign(freeze, &self.parties.aggregator);
        // The zero polynomial: all lie on it.
        let answers = vec![Answer::Masked([0, 0]); headers.len()];
        let review = |holder: &SiteId| {
            let (manifest, freeze) = (of.id(), freeze.id());
            let answers = answers.clone();
            self.parties.identity(holder).sign(Review {
                manifest,
                freeze,
                holder: holder.clone(),
                answers,
            })
        };
        let reviews: Vec<_> = match headers.is_empty() {
            true => Vec::new(),
            false => of.holders.iter().map(review).collect(),
        };
        self.log.append(LogEntry::of_signed(&freeze));
        reviews.iter().for_each(|review| {
            self.log.append(LogEntry::of_signed(review));
        });
        List { freeze, headers, reviews }
    }

    fn add_closing(&mut self, draft: Draft, checkpoint: Checkpoint) -> ClosingAt {
        let Draft { manifest, members, twin, list } = draft;
        let of = &self.manifests[usize::from(manifest)].signed.statement;
        let sum = (members != 0).then(|| Digest::of(&[members, u8::from(twin)]));
        let set = Set {
            freeze: list.freeze.id(),
            reviews: list.reviews.iter().map(Signed::id).collect(),
            included: list.freeze.statement.contributions.clone(),
            excluded: Vec::new(),
            sum,
        };
        let closed_at = of.deadline.after(twin.into());
        let signed = self.parties.closing(of, set, checkpoint, closed_at);
        self.log.append(LogEntry::of_signed(&signed));
        let id = self.closings.len() as ClosingAt;
        let next = Vec::new();
        self.closings.push(KnownClosing { signed, manifest, members, list, next });
        self.manifests[usize::from(manifest)].closings.push(id);
        id
    }

    fn header(&self, manifest: &Manifest, site: usize, second: bool) -> Signed<Header> {
        let envelopes =
            (0..self.menu.holders).map(|k| Digest::of(&[site as u8, k as u8])).collect();
        let body = Digest::of(&[site as u8, u8::from(second)]);
        self.parties.header(manifest, site, body, envelopes)
    }

    pub(crate) fn manifest(&self, id: ManifestAt) -> &KnownManifest {
        &self.manifests[usize::from(id)]
    }

    pub(crate) fn closing(&self, id: ClosingAt) -> &KnownClosing {
        &self.closings[usize::from(id)]
    }

    pub(crate) fn round_of(&self, closing: ClosingAt) -> usize {
        self.manifest(self.closing(closing).manifest).round
    }

    pub(crate) fn honest(&self) -> usize {
        self.menu.sites - self.menu.corrupt
    }

    pub(crate) fn is_corrupt(&self, site: usize) -> bool {
        site >= self.honest()
    }

    /// The endorsement of a closing by a site, whether or not it ever gave one.
    pub(crate) fn endorsement(&self, site: usize, closing: ClosingAt) -> Endorsement {
        let of = &self.closing(closing).signed;
        let study = of.statement.study;
        let holder = self.site_id(site);
        Endorsement { study, round: of.statement.round, closing: of.id(), holder }
    }

    pub(crate) fn site_id(&self, site: usize) -> SiteId {
        self.parties.identities[site].site().clone()
    }
}
