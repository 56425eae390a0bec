//! Disputes and verdicts of a rehearsed round, by its honest key holders.

use std::collections::BTreeSet;

use rand::rngs::ChaCha20Rng;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::Round;
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, Proceedings, Subject, VerdictCertificate,
};
use ringfence_keys::duties::disputes::{
    Case, endorse_dispute, endorse_verdict, open_functionals, open_keys,
};
use ringfence_keys::duties::holder::Decision;
use ringfence_keys::open::{CheckedPart, OpeningContext, Position};
use ringfence_keys::share::dealt::DealtShare;

use crate::rehearsal::{Made, Rehearsal, apply};

impl Rehearsal {
    /// All key holders endorse that the sum fails first at this position.
    pub fn dispute(
        &self,
        round: &mut Round,
        proceedings: &Proceedings,
        at: Position,
    ) -> DisputeCertificate {
        let certificate = &round.certificate().unwrap();
        let manifest = &round.manifest().statement.clone();
        let case = Case { manifest, certificate, proceedings };
        for holder in self.answering(round, &[]) {
            let Decision::Fresh(dispute) = self.holder(&holder).dispute(case, at).unwrap() else {
                panic!("{holder} has disputed before");
            };
            let signed = endorse_dispute(self.identity(&holder), dispute);
            apply(round, |round| round.dispute(&signed)).unwrap();
        }
        round.certified_dispute(proceedings.next_index()).unwrap()
    }

    /// All key holders endorse that exactly these sites broke the format, or sealed wrong check words.
    pub fn judge(
        &self,
        round: &mut Round,
        proceedings: &Proceedings,
        dispute: Option<&DisputeCertificate>,
        culprits: &BTreeSet<SiteId>,
    ) -> VerdictCertificate {
        let certificate = &round.certificate().unwrap();
        let manifest = &round.manifest().statement.clone();
        let case = Case { manifest, certificate, proceedings };
        for holder in self.answering(round, &[]) {
            let decision = self.holder(&holder).judge(case, dispute, culprits).unwrap();
            let Decision::Fresh(verdict) = decision else {
                panic!("{holder} has judged before");
            };
            let signed = endorse_verdict(self.identity(&holder), verdict);
            apply(round, |round| round.judge(&signed)).unwrap();
        }
        round.verdict(dispute.map_or(0, |dispute| dispute.statement.index)).unwrap()
    }

    /// A holder's shares of these sites' keys, in their order.
    pub fn shares(
        &self,
        made: &[Made],
        holder: &SiteId,
        sites: &[SiteId],
    ) -> Vec<(SiteId, DealtShare)> {
        let of = |site: &SiteId| {
            let made = made.iter().find(|made| made.contribution.header.statement.site == *site);
            (site.clone(), self.share(made.unwrap(), holder).unwrap())
        };
        sites.iter().map(of).collect()
    }

    /// All key holders open their functionals of a certified dispute.
    pub fn open_functionals(
        &self,
        round: &mut Round,
        proceedings: &Proceedings,
        dispute: &DisputeCertificate,
        made: &[Made],
    ) -> Vec<OpeningFrame> {
        self.all_open(round, proceedings, |holder, case, rng| {
            let machine = self.holder(holder);
            let ticket = machine.may_answer(case, dispute).unwrap();
            let shares = self.shares(made, holder, &ticket.sites());
            open_functionals(self.identity(holder), &self.study, &ticket, &shares, rng).unwrap()
        })
    }

    /// All key holders open their shares of the keys of the sites that a certified verdict names.
    pub fn open_keys(
        &self,
        round: &mut Round,
        proceedings: &Proceedings,
        (dispute, verdict): (&DisputeCertificate, &VerdictCertificate),
        made: &[Made],
    ) -> Vec<OpeningFrame> {
        self.all_open(round, proceedings, |holder, case, rng| {
            let machine = self.holder(holder);
            let ticket = machine.may_remove(case, dispute, verdict).unwrap();
            let shares = self.shares(made, holder, ticket.sites());
            open_keys(self.identity(holder), &self.study, &ticket, &shares, rng).unwrap()
        })
    }

    /// Every key holder opens in a case; the aggregator takes each.
    fn all_open(
        &self,
        round: &mut Round,
        proceedings: &Proceedings,
        open: impl Fn(&SiteId, Case<'_>, &mut ChaCha20Rng) -> OpeningFrame,
    ) -> Vec<OpeningFrame> {
        let certificate = &round.certificate().unwrap();
        let manifest = &round.manifest().statement.clone();
        let case = Case { manifest, certificate, proceedings };
        let mut frames = Vec::new();
        for holder in self.answering(round, &[]) {
            let frame = open(&holder, case, &mut crate::rng(frames.len() as u64));
            apply(round, |round| round.take_opening(&frame.statement)).unwrap();
            frames.push(frame);
        }
        frames
    }

    /// The words that holders opened on a subject, as a recipient unseals them, by window offset.
    pub fn unsealed(
        &self,
        round: &Round,
        recipient: usize,
        frames: &[OpeningFrame],
    ) -> Vec<(usize, Vec<u64>)> {
        let Certificate { closing, .. } = round.certificate().unwrap();
        let words = |subject: Subject| round.opening_words(subject).unwrap();
        let unseal = |frame: &OpeningFrame| {
            let subject = frame.statement.statement.subject;
            let context = OpeningContext {
                study: &self.study,
                round: round.number(),
                manifest: round.manifest_id(),
                closing: closing.id(),
                subject,
                words: words(subject),
            };
            let opening = frame.clone().check(&self.study, context.words).unwrap();
            let part = opening.part(recipient).unwrap();
            let identity = self.identities.get(recipient).unwrap();
            let part = CheckedPart::check(identity, context, part).unwrap();
            let (offset, words) = part.unseal_words().unwrap();
            (offset, words.to_vec())
        };
        frames.iter().map(unseal).collect()
    }
}
