//! Everything that can be signed in a small study, made once and named by small numbers, and the
//! shipped machines' decisions on it. A decision is a pure function of what a site has on disk
//! and of what it is shown, so each is taken once and remembered.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use ringfence_crypto::Digest;
use ringfence_crypto::log::{Checkpoint, LogEntry, StudyLog};
use ringfence_crypto::statement::{
    Certificate, Closing, Endorsement, Header, Included, Manifest, Signed, SiteId, Study,
};
use ringfence_keys::contribution::{Contributor, End, Record};
use ringfence_keys::holder::{Decision, Holder};
use ringfence_keys::logged::Seen;

use crate::common::{Parties, Set, TIMEOUT_SECONDS, previous_of, proofs, view};

/// Most rounds that are explored.
pub(crate) const ROUNDS: usize = 3;

/// Index into [`World::manifests`].
pub(crate) type ManifestId = u16;
/// Index into [`World::closings`].
pub(crate) type ClosingId = u16;

/// A manifest that some initiator signed, and what it stands on.
pub(crate) struct KnownManifest {
    pub(crate) signed: Signed<Manifest>,
    pub(crate) round: usize,
    pub(crate) previous: Option<ClosingId>,
    /// The set that made the base model; none for the initial one.
    pub(crate) base: Option<ClosingId>,
    pub(crate) closings: Vec<ClosingId>,
}

/// A closing that the malicious aggregator may sign.
pub(crate) struct KnownClosing {
    pub(crate) signed: Signed<Closing>,
    pub(crate) manifest: ManifestId,
    /// Bit `k`: site `k` is in the set.
    pub(crate) members: u8,
    /// Headers that the set names.
    headers: Vec<Signed<Header>>,
    /// Manifests of the next round that name this closing.
    pub(crate) next: Vec<ManifestId>,
}

/// What the adversary has at its disposal in every round.
#[derive(Clone)]
pub(crate) struct Menu {
    /// Sites; the last `corrupt` of them sign anything.
    pub(crate) sites: usize,
    pub(crate) corrupt: usize,
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
    pub(crate) contributed: [Option<ManifestId>; ROUNDS],
    pub(crate) endorsed: [Option<ClosingId>; ROUNDS],
    pub(crate) ended: [Option<ClosingId>; ROUNDS],
    /// Restored from a backup: its endorsements are lost, and it abstains in all these rounds.
    pub(crate) restored: bool,
}

/// The menu of a study, signed, and the decisions taken so far.
pub(crate) struct World {
    pub(crate) menu: Menu,
    pub(crate) manifests: Vec<KnownManifest>,
    /// Manifests of round 0.
    pub(crate) first: Vec<ManifestId>,
    pub(crate) closings: Vec<KnownClosing>,
    /// Whether a holder that was restored from a backup abstains, as it must.
    pub(crate) abstains: bool,
    parties: Parties,
    /// Everything of the menu, round by round: what the adversary proves to every holder, so that
    /// the log never stands in its way.
    log: StudyLog,
    manifest_checks: Memo<(ManifestId, Option<ClosingId>)>,
    contribute_decisions: Memo<(Vec<SpentRound>, ManifestId)>,
    endorse_decisions: Memo<(usize, [Option<ClosingId>; ROUNDS], bool, ClosingId)>,
    certificate_checks: Memo<(ClosingId, u8)>,
    open_decisions: Memo<(usize, ClosingId, u8)>,
}

/// A closing and the last set up to it.
type RoundEnd = (Option<ClosingId>, Option<ClosingId>);

/// A closing to be signed.
struct Draft {
    manifest: ManifestId,
    members: u8,
    twin: bool,
    headers: Vec<Signed<Header>>,
}

type SpentRound = (usize, Option<ClosingId>, Option<Ended>);

/// [`End`], hashable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Ended {
    Set,
    Abort,
}

/// Decisions taken so far.
struct Memo<K>(Mutex<HashMap<K, bool>>);

impl<K: Hash + Eq + Clone> Memo<K> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn get(&self, key: K, decide: impl FnOnce(&K) -> bool) -> bool {
        let mut known = self.0.lock().unwrap();
        if let Some(answer) = known.get(&key) {
            return *answer;
        }
        let answer = decide(&key);
        known.insert(key, answer);
        answer
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl World {
    pub(crate) fn new(menu: Menu, alter: impl FnOnce(&mut Study)) -> Self {
        let parties = Parties::new(menu.sites, 1, alter);
        let mut world = Self {
            menu,
            manifests: Vec::new(),
            first: Vec::new(),
            closings: Vec::new(),
            abstains: true,
            parties,
            log: StudyLog::default(),
            manifest_checks: Memo::new(),
            contribute_decisions: Memo::new(),
            endorse_decisions: Memo::new(),
            certificate_checks: Memo::new(),
            open_decisions: Memo::new(),
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
                    drafts.push((last_set, Draft { manifest, members: *members, twin, headers }));
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
        previous: Option<ClosingId>,
        base: Option<ClosingId>,
        variant: u8,
    ) -> ManifestId {
        let n = self.menu.sites;
        let due = round % n;
        let initiator = if variant == 0 { due } else { n - 1 };
        let turns = ((initiator + n - due) % n) as u64;
        let ended = previous.map(|closing| previous_of(&self.closing(closing).signed));
        let since = ended.map_or(self.parties.study.created_at, |ended| ended.closed_at);
        let opened_at = since + turns * u64::from(TIMEOUT_SECONDS) + u64::from(variant);
        let model = Digest::of(format!("keyed {base:?}").as_bytes());
        let signed = self.parties.manifest(initiator, ended.as_ref(), model, opened_at, &[]);
        self.log.append(LogEntry::of_signed(&signed));
        let id = self.manifests.len() as ManifestId;
        let closings = Vec::new();
        self.manifests.push(KnownManifest { signed, round, previous, base, closings });
        match previous {
            Some(closing) => self.closings[usize::from(closing)].next.push(id),
            None => self.first.push(id),
        }
        id
    }

    /// The headers of a set's members, logged.
    fn headers(&mut self, manifest: ManifestId, members: u8, twin: bool) -> Vec<Signed<Header>> {
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

    fn add_closing(&mut self, draft: Draft, checkpoint: Checkpoint) -> ClosingId {
        let Draft { manifest, members, twin, headers } = draft;
        let of = &self.manifests[usize::from(manifest)].signed.statement;
        let included = headers
            .iter()
            .map(|h| Included { site: h.statement.site.clone(), header: h.digest() })
            .collect();
        let sum = (members != 0).then(|| Digest::of(&[members, u8::from(twin)]));
        let set = Set { included, sum, ..Set::default() };
        let closed_at = of.deadline + u64::from(twin);
        let signed = self.parties.closing(of, set, checkpoint, closed_at);
        self.log.append(LogEntry::of_signed(&signed));
        let id = self.closings.len() as ClosingId;
        let next = Vec::new();
        self.closings.push(KnownClosing { signed, manifest, members, headers, next });
        self.manifests[usize::from(manifest)].closings.push(id);
        id
    }

    fn header(&self, manifest: &Manifest, site: usize, second: bool) -> Signed<Header> {
        let envelopes = (0..self.menu.sites).map(|k| Digest::of(&[site as u8, k as u8])).collect();
        let body = Digest::of(&[site as u8, u8::from(second)]);
        self.parties.header(manifest, site, body, envelopes)
    }

    pub(crate) fn manifest(&self, id: ManifestId) -> &KnownManifest {
        &self.manifests[usize::from(id)]
    }

    pub(crate) fn closing(&self, id: ClosingId) -> &KnownClosing {
        &self.closings[usize::from(id)]
    }

    pub(crate) fn round_of(&self, closing: ClosingId) -> usize {
        self.manifest(self.closing(closing).manifest).round
    }

    pub(crate) fn honest(&self) -> usize {
        self.menu.sites - self.menu.corrupt
    }

    fn is_corrupt(&self, site: usize) -> bool {
        site >= self.honest()
    }

    /// The endorsement of a closing by a site, whether or not it ever gave one.
    fn endorsement(&self, site: usize, closing: ClosingId) -> Endorsement {
        let of = &self.closing(closing).signed;
        let study = of.statement.study;
        let holder = self.site_id(site);
        Endorsement { study, round: of.statement.round, closing: of.digest(), holder }
    }

    fn site_id(&self, site: usize) -> SiteId {
        self.parties.identities[site].site().clone()
    }

    /// Whether a site that has these files takes part under a manifest: [`Manifest::check`]
    /// against the certified end of the round before, as it holds it.
    pub(crate) fn accepts(&self, disk: &Disk, manifest: ManifestId) -> bool {
        let known = self.manifest(manifest);
        let previous = match known.round {
            0 => None,
            round => match disk.ended[round - 1] {
                None => return false,
                ended => ended,
            },
        };
        self.manifest_checks.get((manifest, previous), |_| {
            let ended = previous.map(|closing| previous_of(&self.closing(closing).signed));
            let Parties { study, digest, .. } = &self.parties;
            Manifest::check(&known.signed, study, *digest, ended.as_ref()).is_ok()
        })
    }

    /// [`Contributor::may_contribute`], over the records on disk.
    pub(crate) fn may_contribute(&self, disk: &Disk, manifest: ManifestId) -> bool {
        let records: Vec<SpentRound> = (0..ROUNDS)
            .filter_map(|round| {
                let base = self.manifest(disk.contributed[round]?).base;
                let end =
                    disk.ended[round].map(|k| match End::from(&self.closing(k).signed.statement) {
                        End::Set => Ended::Set,
                        End::Abort => Ended::Abort,
                    });
                Some((round, base, end))
            })
            .collect();
        let known = self.manifest(manifest);
        self.contribute_decisions.get((records, manifest), |(records, _)| {
            let study = self.parties.digest;
            let model = |base: Option<ClosingId>| Digest::of(format!("{base:?}").as_bytes());
            let record = |(round, base, end): &SpentRound, with_end: bool| Record {
                study,
                round: *round as u32,
                base_model: model(*base),
                end: end.filter(|_| with_end).map(|end| match end {
                    Ended::Set => End::Set,
                    Ended::Abort => End::Abort,
                }),
            };
            // One machine that was started from what is on disk, one that has been running.
            let restarted = Contributor::restore(records.iter().map(|r| record(r, true)));
            let mut running = Contributor::default();
            for r in records {
                running.record(record(r, false));
                running.record(record(r, true));
            }
            let ask = |machine: &Contributor| {
                machine.may_contribute(study, known.round as u32, model(known.base))
            };
            assert_eq!(ask(&restarted), ask(&running), "a crash changed a decision");
            ask(&restarted).is_ok()
        })
    }

    /// [`Holder::endorse`], by a site with these endorsements on disk.
    pub(crate) fn endorses(&self, site: usize, disk: &Disk, closing: ClosingId) -> bool {
        let key = (site, disk.endorsed, disk.restored, closing);
        self.endorse_decisions.get(key, |_| {
            let KnownClosing { signed, manifest, headers, .. } = self.closing(closing);
            let manifest = &self.manifest(*manifest).signed.statement;
            let records: Vec<_> = disk.endorsed.iter().flatten().copied().collect();
            let [restarted, running] = self.holders(site, disk.restored, &records);
            assert_eq!(restarted.seen(), running.seen(), "a crash lost the last checkpoint");
            let log = proofs(&self.log, manifest, &signed.statement, None, running.seen());
            let ask = |machine: &Holder| {
                machine
                    .endorse(view(manifest, signed, headers, &[], None, &log))
                    .map_err(|e| e.to_string())
            };
            assert_eq!(ask(&restarted), ask(&running), "a crash changed a decision");
            match ask(&restarted) {
                Ok(Decision::Fresh(endorsement) | Decision::Repeat(endorsement)) => {
                    assert_eq!(endorsement, self.endorsement(site, closing));
                    true
                }
                Err(_) => false,
            }
        })
    }

    /// A holder started from what is on disk, and one that recorded the same while running.
    fn holders(&self, site: usize, restored: bool, endorsed: &[ClosingId]) -> [Holder; 2] {
        let abstains = (restored && self.abstains).then_some(self.menu.rounds as u32);
        let new = |records, seen| {
            let study = Arc::clone(&self.parties.study);
            Holder::restore(study, self.site_id(site), records, abstains, seen)
        };
        let closing = |id: &ClosingId| &self.closing(*id).signed.statement;
        let records = endorsed.iter().map(|id| self.endorsement(site, *id)).collect();
        let last = endorsed.iter().map(closing).max_by_key(|closing| closing.checkpoint.size);
        let (restarted, mut running) = (new(records, last.map(Seen::from)), new(Vec::new(), None));
        for id in endorsed {
            running.record(self.endorsement(site, *id), closing(id));
        }
        [restarted, running]
    }

    /// The certificate that the adversary can put together from these honest sites' endorsements
    /// of a closing and its own.
    fn certificate(&self, closing: ClosingId, endorsers: u8) -> Certificate {
        let sign =
            |site: usize| self.parties.identities[site].sign(self.endorsement(site, closing));
        let endorsements = (0..self.menu.sites)
            .filter(|site| self.is_corrupt(*site) || endorsers >> site & 1 == 1)
            .map(sign)
            .collect();
        Certificate { closing: self.closing(closing).signed.clone(), endorsements }
    }

    /// Whether any certificate passes [`Certificate::check`], honestly made or padded with
    /// endorsements that stand twice or are of another closing.
    pub(crate) fn certified(&self, closing: ClosingId, endorsers: u8) -> bool {
        self.certificate_checks.get((closing, endorsers), |_| {
            let known = self.closing(closing);
            let manifest = &self.manifest(known.manifest).signed.statement;
            let genuine = self.certificate(closing, endorsers);
            let mut twice = genuine.clone();
            twice.endorsements.extend(genuine.endorsements.iter().cloned());
            let mut foreign = genuine.clone();
            let other = if closing == 0 { 1 } else { closing - 1 };
            foreign.endorsements.extend(
                (0..self.honest())
                    .filter(|site| endorsers >> site & 1 == 0)
                    .map(|site| self.parties.identities[site].sign(self.endorsement(site, other))),
            );
            [genuine, twice, foreign]
                .iter()
                .any(|certificate| certificate.check(&self.parties.study, manifest).is_ok())
        })
    }

    /// [`Holder::may_open`].
    pub(crate) fn opens(&self, site: usize, closing: ClosingId, endorsers: u8) -> bool {
        self.open_decisions.get((site, closing, endorsers), |_| {
            let manifest = &self.manifest(self.closing(closing).manifest).signed.statement;
            let [holder, _] = self.holders(site, false, &[]);
            holder.may_open(manifest, &self.certificate(closing, endorsers)).is_ok()
        })
    }

    /// Whether a closing by itself holds up, without certificate: [`Closing::check`].
    pub(crate) fn closing_checks(&self, closing: ClosingId) -> bool {
        let known = self.closing(closing);
        let manifest = &self.manifest(known.manifest).signed.statement;
        Closing::check(&known.signed, &self.parties.study, manifest).is_ok()
    }

    /// Different questions that the machines were asked.
    pub(crate) fn decisions(&self) -> usize {
        self.manifest_checks.len()
            + self.contribute_decisions.len()
            + self.endorse_decisions.len()
            + self.certificate_checks.len()
            + self.open_decisions.len()
    }

    /// A set in words.
    pub(crate) fn describe(&self, closing: ClosingId) -> String {
        let known = self.closing(closing);
        let round = self.round_of(closing);
        let manifest = self.describe_manifest(known.manifest);
        let members: Vec<String> = (0..self.menu.sites)
            .filter(|site| known.members >> site & 1 == 1)
            .map(|site| site.to_string())
            .collect();
        let what = match members.is_empty() {
            true => "abort".to_owned(),
            false => format!("set {{{}}}", members.join(", ")),
        };
        let rank = self.manifest(known.manifest).closings.iter().position(|k| *k == closing);
        format!("{what} of round {round} (manifest {manifest}, closing {})", rank.unwrap_or(0))
    }

    /// A manifest in words.
    pub(crate) fn describe_manifest(&self, manifest: ManifestId) -> String {
        let known = self.manifest(manifest);
        let base = match known.base {
            None => "the initial model".to_owned(),
            Some(closing) => format!("the mean of round {}", self.round_of(closing)),
        };
        format!("#{manifest} on {base}")
    }
}
