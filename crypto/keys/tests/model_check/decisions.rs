//! The shipped machines' decisions on what stands in a [`World`]. A decision is a pure function of
//! what a site has on disk and of what it is shown, so each is taken once and remembered.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ModelId, RoundNumber, UnixSeconds};
use ringfence_crypto::statement::{Certificate, Closing, Manifest, RestoreRequest, Standing};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::contributor::{Contributor, End, Record};
use ringfence_keys::duties::holder::{ClosingView, Decision, Holder, Records};
use ringfence_keys::duties::logged::Seen;
use ringfence_keys::duties::restored::recall;

use crate::world::{ClosingAt, Disk, KnownClosing, ManifestAt, ROUNDS, Restored, World};
use ringfence_testkit::{Parties, previous_of, proofs};

/// Decisions taken so far.
#[derive(Default)]
pub(crate) struct Decisions {
    manifests: Memo<(ManifestAt, Option<ClosingAt>)>,
    contributions: Memo<(Vec<SpentRound>, Option<Restored>, ManifestAt)>,
    endorsements: Memo<Endorsing>,
    certificates: Memo<(ClosingAt, u8)>,
    openings: Memo<Opening>,
    recalls: Mutex<HashMap<Recalling, Option<u8>>>,
}

/// Holder, what it has endorsed, whether it was restored, what it is shown.
type Endorsing = (usize, [Option<ClosingAt>; ROUNDS], Option<Restored>, ClosingAt);

/// Holder, what it has endorsed, whether it was restored, what is certified and by whom.
type Opening = (usize, Option<ClosingAt>, Option<Restored>, ClosingAt, u8);

/// Restored site, the answers to it, the last round that a certificate proves.
type Recalling = (usize, Vec<Answer>, u8);

/// A site's answer to a restore request: none, or the highest round that it knows.
pub(crate) type Answer = Option<Option<u8>>;

type SpentRound = (usize, Option<ClosingAt>, Option<Ended>);

/// [`End`], hashable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Ended {
    Set,
    Abort,
}

/// Answers to one kind of question.
pub(crate) struct Memo<K>(Mutex<HashMap<K, bool>>);

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Memo<K> {
    pub(crate) fn get(&self, key: K, decide: impl FnOnce(&K) -> bool) -> bool {
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
    /// Whether a site that has these files takes part under a manifest: [`Manifest::check`]
    /// against the certified end of the round before, as it holds it.
    pub(crate) fn accepts(&self, disk: &Disk, manifest: ManifestAt) -> bool {
        let known = self.manifest(manifest);
        let previous = match known.round {
            0 => None,
            round => match disk.ended[round - 1] {
                None => return false,
                ended => ended,
            },
        };
        self.decisions.manifests.get((manifest, previous), |_| {
            let ended = previous.map(|closing| previous_of(&self.closing(closing).signed));
            let Parties { study, id, .. } = &self.parties;
            Manifest::check(&known.signed, study, *id, ended.as_ref()).is_ok()
        })
    }

    /// [`Contributor::may_contribute`], over the records on disk.
    pub(crate) fn may_contribute(&self, disk: &Disk, manifest: ManifestAt) -> bool {
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
        self.decisions.contributions.get((records, disk.restored, manifest), |key| {
            let (records, restored, _) = key;
            let study = self.parties.id;
            let model =
                |base: Option<ClosingAt>| ModelId(Digest::of(format!("{base:?}").as_bytes()));
            let record = |(round, base, end): &SpentRound, with_end: bool| Record {
                study,
                round: RoundNumber(*round as u32),
                base_model: model(*base),
                end: end.filter(|_| with_end).map(|end| match end {
                    Ended::Set => End::Set,
                    Ended::Abort => End::Abort,
                }),
            };
            // One machine that was started from what is on disk, one that has been running.
            let mut restarted = Contributor::restore(records.iter().map(|r| record(r, true)));
            let mut running = Contributor::default();
            if let Some(abstention) = self.abstains(*restored) {
                restarted.abstain(study, abstention);
                running.abstain(study, abstention);
            }
            for r in records {
                running.record(record(r, false));
                running.record(record(r, true));
            }
            let ask = |machine: &Contributor| {
                machine.may_contribute(&known.signed.statement, model(known.base))
            };
            assert_eq!(ask(&restarted), ask(&running), "a crash changed a decision");
            ask(&restarted).is_ok()
        })
    }

    /// [`Holder::endorse`], by a site with these endorsements on disk.
    pub(crate) fn endorses(&self, site: usize, disk: &Disk, id: ClosingAt) -> bool {
        let key = (site, disk.endorsed, disk.restored, id);
        self.decisions.endorsements.get(key, |_| {
            let KnownClosing { signed, manifest, list, .. } = self.closing(id);
            let manifest = &self.manifest(*manifest).signed.statement;
            let records: Vec<_> = disk.endorsed.iter().flatten().copied().collect();
            let [restarted, running] = self.holders(site, disk.restored, &records);
            assert_eq!(restarted.seen(), running.seen(), "a crash lost the last checkpoint");
            let log = proofs(&self.log, manifest, &signed.statement, None, running.seen());
            let view = ClosingView {
                manifest,
                trust: &Trust::default(),
                freeze: &list.freeze,
                closing: signed,
                headers: &list.headers,
                reviews: &list.reviews,
                receipt: None,
                log: &log,
            };
            let ask = |machine: &Holder| machine.endorse(view).map_err(|e| e.to_string());
            assert_eq!(ask(&restarted), ask(&running), "a crash changed a decision");
            match ask(&restarted) {
                Ok(Decision::Fresh(endorsement) | Decision::Repeat(endorsement)) => {
                    assert_eq!(endorsement, self.endorsement(site, id));
                    true
                }
                Err(_) => false,
            }
        })
    }

    /// What a restored site keeps out of. Every manifest passes for opened after the restore: lying
    /// initiators sign any time.
    fn abstains(&self, restored: Option<Restored>) -> Option<Abstention> {
        let through = match restored.filter(|_| self.abstains)? {
            Restored::Everywhere => None,
            Restored::Through(round) => Some(RoundNumber(round.into())),
        };
        Some(Abstention { restored_at: UnixSeconds(0), through })
    }

    /// How far a restored site abstains by these answers of the others, where the rounds in
    /// `proven` (bits) are shown to be certified: [`recall`].
    pub(crate) fn recalls(&self, site: usize, answers: &[Answer], proven: u8) -> Option<u8> {
        let key = (site, answers.to_vec(), proven);
        let mut known = self.decisions.recalls.lock().unwrap();
        *known.entry(key).or_insert_with(|| {
            let Parties { study, id, identities, .. } = &self.parties;
            let (nonce, site) = (Digest::of(b"fresh"), &identities[site]);
            let (study_id, restored_at) = (*id, UnixSeconds(0));
            let request = site.sign(RestoreRequest {
                study: study_id,
                site: site.site().clone(),
                nonce,
                restored_at,
            });
            let given = answers.iter().enumerate().filter_map(|(k, answer)| Some((k, (*answer)?)));
            let sign = |(k, round): (usize, Option<u8>)| {
                identities[k].sign(Standing {
                    study: study_id,
                    request: request.id(),
                    site: identities[k].site().clone(),
                    round: round.map(|round| RoundNumber(round.into())),
                    has_signed: None,
                })
            };
            let standings: Vec<_> = given.map(sign).collect();
            let proven = |round: RoundNumber| proven >> round.0 & 1 == 1;
            let through = recall(study, &request, &standings, proven).through;
            through.map(|round| round.0 as u8)
        })
    }

    /// A holder started from what is on disk, and one that recorded the same while running.
    fn holders(
        &self,
        site: usize,
        restored: Option<Restored>,
        endorsed: &[ClosingAt],
    ) -> [Holder; 2] {
        let abstains = self.abstains(restored);
        let new = |endorsed, seen| {
            let study = Arc::clone(&self.parties.study);
            let records = Records { endorsed, ..Records::default() };
            Holder::restore(study, self.site_id(site), records, abstains, seen)
        };
        let closing = |id: &ClosingAt| &self.closing(*id).signed.statement;
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
    pub(crate) fn certificate(&self, closing: ClosingAt, endorsers: u8) -> Certificate {
        let sign =
            |site: usize| self.parties.identities[site].sign(self.endorsement(site, closing));
        let round = self.round_of(closing);
        let endorsements = (0..self.menu.sites)
            .filter(|site| self.is_corrupt(*site) || endorsers >> site & 1 == 1)
            .filter(|site| self.is_holder(*site, round))
            .map(sign)
            .collect();
        Certificate { closing: self.closing(closing).signed.clone(), endorsements }
    }

    pub(crate) fn is_holder(&self, site: usize, round: usize) -> bool {
        self.parties.study.holder_offset(RoundNumber(round as u32), &self.site_id(site)).is_some()
    }

    /// Whether any certificate passes [`Certificate::check`], honestly made or padded with
    /// endorsements that stand twice, are of another closing, or by corrupt sites outside the
    /// window.
    pub(crate) fn certified(&self, closing: ClosingAt, endorsers: u8) -> bool {
        self.decisions.certificates.get((closing, endorsers), |_| {
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
            let mut strangers = genuine.clone();
            let outside = |site: &usize| {
                self.is_corrupt(*site) && !self.is_holder(*site, self.round_of(closing))
            };
            let endorse =
                |site: usize| self.parties.identities[site].sign(self.endorsement(site, closing));
            let corrupt = (self.honest()..self.menu.sites).filter(outside);
            strangers.endorsements.extend(corrupt.map(endorse));
            [genuine, twice, foreign, strangers]
                .iter()
                .any(|certificate| certificate.check(&self.parties.study, manifest).is_ok())
        })
    }

    /// [`Holder::may_open`], by a site that has endorsed this closing in the round, or none.
    pub(crate) fn opens(
        &self,
        site: usize,
        disk: &Disk,
        closing: ClosingAt,
        endorsers: u8,
    ) -> bool {
        let endorsed = disk.endorsed[self.round_of(closing)];
        let key = (site, endorsed, disk.restored, closing, endorsers);
        self.decisions.openings.get(key, |_| {
            let manifest = &self.manifest(self.closing(closing).manifest).signed.statement;
            let endorsed: Vec<_> = endorsed.into_iter().collect();
            let [holder, _] = self.holders(site, disk.restored, &endorsed);
            holder.may_open(manifest, &self.certificate(closing, endorsers)).is_ok()
        })
    }

    /// Whether a closing by itself holds up, without certificate: [`Closing::check`].
    pub(crate) fn closing_checks(&self, closing: ClosingAt) -> bool {
        let known = self.closing(closing);
        let manifest = &self.manifest(known.manifest).signed.statement;
        Closing::check(&known.signed, &self.parties.study, manifest).is_ok()
    }

    /// Different questions that the machines were asked.
    pub(crate) fn asked(&self) -> usize {
        let Decisions { manifests, contributions, endorsements, certificates, openings, recalls } =
            &self.decisions;
        manifests.len()
            + contributions.len()
            + endorsements.len()
            + certificates.len()
            + openings.len()
            + recalls.lock().unwrap().len()
    }
}
