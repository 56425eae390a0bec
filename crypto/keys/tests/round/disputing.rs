//! What a key holder endorses and opens in a dispute, and what it refuses to.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::Round;
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, DisputeError, Proceedings, Quorum, QuorumError, Settled,
    Verdict, VerdictCertificate,
};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::disputes::{Case, endorse_verdict, open_functionals, open_keys};
use ringfence_keys::duties::holder::{Decision, Holder, HolderError, Records};
use ringfence_keys::open::Position;
use ringfence_testkit::{Made, Rehearsal, rng};

const AT: Position = Position { block: 0, coefficient: 5 };
const ELSEWHERE: Position = Position { block: 0, coefficient: 6 };

/// A certified round of seven sites, two of which may be corrupt, and what its holders certify of
/// it: two disputes with their verdicts on `site-5` and `site-6`, and one on the check words of
/// `site-4`. Nobody in it lies: what a holder endorses is what it is told to have found.
struct Disputed {
    rehearsal: Rehearsal,
    round: Round,
    made: Vec<Made>,
    certificate: Certificate,
    first: Settled,
    second: Settled,
    check_words: VerdictCertificate,
}

fn sites(names: &[&str]) -> BTreeSet<SiteId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

impl Disputed {
    fn new() -> Self {
        let mut rehearsal = Rehearsal::new(7, Some((7, 2, 1)), 10);
        let made: Vec<_> = (0..7).map(|k| rehearsal.contribute(k)).collect();
        let mut round = rehearsal.round();
        rehearsal.collect(&mut round, &made);
        rehearsal.close(&mut round, &made);
        rehearsal.endorse(&mut round, &[]);
        let certificate = round.certificate().unwrap();
        let mut of = Proceedings::default();
        let check_words = rehearsal.judge(&mut round, &of, None, &sites(&["site-4"]));
        let mut settle = |of: &Proceedings, culprit| {
            let dispute = rehearsal.dispute(&mut round, of, AT);
            let culprits = sites(&[culprit]);
            let verdict = rehearsal.judge(&mut round, of, Some(&dispute), &culprits);
            Settled { dispute, verdict }
        };
        let first = settle(&of, "site-5");
        of.disputes.push(first.clone());
        let second = settle(&of, "site-6");
        Self { rehearsal, round, made, certificate, first, second, check_words }
    }

    /// The same for all tests: what is certified is not altered.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Disputed> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn case<'a>(&'a self, proceedings: &'a Proceedings) -> Case<'a> {
        let manifest = &self.round.manifest().statement;
        Case { manifest, certificate: &self.certificate, proceedings }
    }

    fn site(&self) -> &SiteId {
        self.rehearsal.identities[0].site()
    }

    fn holder(&self) -> Holder {
        self.rehearsal.holder(self.site())
    }

    /// Holder 0 with these records.
    fn restored(&self, records: Records, abstains: Option<Abstention>) -> Holder {
        let study = self.rehearsal.study.clone();
        Holder::restore(study, self.site().clone(), records, abstains, None)
    }

    /// After the first dispute.
    fn after_first(&self) -> Proceedings {
        Proceedings { check_words: None, disputes: vec![self.first.clone()] }
    }

    /// What a holder says to everything that it can be asked of the first dispute.
    fn asks(&self, holder: &Holder) -> [Option<HolderError>; 4] {
        let none = Proceedings::default();
        let case = self.case(&none);
        let Settled { dispute, verdict } = &self.first;
        [
            holder.dispute(case, AT).err(),
            holder.judge(case, Some(dispute), &sites(&["site-5"])).err(),
            holder.may_answer(case, dispute).err(),
            holder.may_remove(case, dispute, verdict).err(),
        ]
    }
}

/// A certificate short of one endorsement.
fn short<S: ringfence_crypto::statement::Certifiable>(quorum: &Quorum<S>, q: u16) -> Quorum<S> {
    let mut quorum = quorum.clone();
    quorum.endorsements.truncate(usize::from(q) - 1);
    quorum
}

fn too_few<T: std::fmt::Debug>(result: Result<T, HolderError>) {
    let error = result.unwrap_err();
    let HolderError::Dispute(DisputeError::Quorum(QuorumError::TooFew { .. })) = error else {
        panic!("{error}")
    };
}

fn out_of_order<T: std::fmt::Debug>(result: Result<T, HolderError>, expected: u16) {
    let error = result.unwrap_err();
    let HolderError::Dispute(DisputeError::OutOfOrder { index }) = error else { panic!("{error}") };
    assert_eq!(index, expected);
}

#[test]
fn a_holder_does_its_part() {
    let disputed = Disputed::shared();
    assert!(disputed.asks(&disputed.holder()).iter().all(Option::is_none));
}

#[test]
fn one_dispute_a_round_and_index() {
    let disputed = Disputed::shared();
    let (none, after) = (Proceedings::default(), disputed.after_first());
    let case = disputed.case(&none);
    let mut holder = disputed.holder();
    let Decision::Fresh(dispute) = holder.dispute(case, AT).unwrap() else { panic!() };
    assert_eq!((dispute.block, dispute.coefficient, dispute.index), (0, 5, 1));
    holder.record_dispute(dispute.clone());
    let records = Records { disputes: vec![dispute.clone()], ..Records::default() };
    for holder in [holder, disputed.restored(records, None)] {
        assert_eq!(holder.dispute(case, AT).unwrap(), Decision::Repeat(dispute.clone()));
        let error = holder.dispute(case, ELSEWHERE).unwrap_err();
        let second = HolderError::EndorsedDispute { what: "dispute", round: RoundNumber(0) };
        assert_eq!(error.to_string(), second.to_string());
        // The next index is another dispute.
        let next = holder.dispute(disputed.case(&after), ELSEWHERE).unwrap();
        assert!(matches!(next, Decision::Fresh(dispute) if dispute.index == 2));
    }
}

#[test]
fn no_more_disputes_than_corrupt_sites() {
    let disputed = Disputed::shared();
    let mut of = disputed.after_first();
    of.disputes.push(disputed.second.clone());
    let error = disputed.holder().dispute(disputed.case(&of), AT).unwrap_err();
    let HolderError::Dispute(DisputeError::Index { index: 3, .. }) = error else {
        panic!("{error}")
    };
}

#[test]
fn nothing_of_a_settled_round_is_in_dispute() {
    let disputed = Disputed::shared();
    let mut holder = disputed.holder();
    holder.record_settled(RoundNumber(0));
    let records = Records { settled: vec![RoundNumber(0)], ..Records::default() };
    for holder in [holder, disputed.restored(records, None)] {
        for error in disputed.asks(&holder) {
            assert!(matches!(error, Some(HolderError::Settled(RoundNumber(0)))), "{error:?}");
        }
    }
}

#[test]
fn a_restored_holder_takes_no_part_in_a_dispute() {
    let disputed = Disputed::shared();
    let through = Some(RoundNumber(0));
    for through in [None, through] {
        let abstention = Abstention { restored_at: UnixSeconds(0), through };
        let holder = disputed.restored(Records::default(), Some(abstention));
        for error in disputed.asks(&holder) {
            assert!(matches!(error, Some(HolderError::Abstains(_))), "{error:?}");
        }
    }
}

#[test]
fn an_uncertified_round_is_not_in_dispute() {
    let disputed = Disputed::shared();
    let none = Proceedings::default();
    let certificate = Certificate { endorsements: Vec::new(), ..disputed.certificate.clone() };
    let case = Case { certificate: &certificate, ..disputed.case(&none) };
    let error = disputed.holder().dispute(case, AT).unwrap_err();
    assert!(matches!(error, HolderError::Certificate(_)), "{error}");
}

#[test]
fn no_verdict_without_a_certified_dispute() {
    let disputed = Disputed::shared();
    let (none, culprits) = (Proceedings::default(), sites(&["site-5"]));
    let q = disputed.rehearsal.study.threshold.endorsements;
    let weak = short(&disputed.first.dispute, q);
    too_few(disputed.holder().judge(disputed.case(&none), Some(&weak), &culprits));
    let second = &disputed.second.dispute;
    out_of_order(disputed.holder().judge(disputed.case(&none), Some(second), &culprits), 2);
}

#[test]
fn one_verdict_a_dispute() {
    let disputed = Disputed::shared();
    let none = Proceedings::default();
    let case = disputed.case(&none);
    let (culprit, other) = (sites(&["site-5"]), sites(&["site-3"]));
    for dispute in [None, Some(&disputed.first.dispute)] {
        let mut holder = disputed.holder();
        let Decision::Fresh(verdict) = holder.judge(case, dispute, &culprit).unwrap() else {
            panic!()
        };
        holder.record_verdict(verdict.clone());
        let records = Records { verdicts: vec![verdict.clone()], ..Records::default() };
        for holder in [holder, disputed.restored(records, None)] {
            let again = holder.judge(case, dispute, &culprit).unwrap();
            assert_eq!(again, Decision::Repeat(verdict.clone()));
            let error = holder.judge(case, dispute, &other).unwrap_err();
            let second = HolderError::EndorsedDispute { what: "verdict", round: RoundNumber(0) };
            assert_eq!(error.to_string(), second.to_string());
        }
    }
}

#[test]
fn a_verdict_names_one_to_c_sites_of_the_set() {
    let disputed = Disputed::shared();
    let none = Proceedings::default();
    let holder = disputed.holder();
    for culprits in [sites(&[]), sites(&["site-1", "site-2", "site-3"]), sites(&["nobody"])] {
        let dispute = Some(&disputed.first.dispute);
        let error = holder.judge(disputed.case(&none), dispute, &culprits).unwrap_err();
        let HolderError::Dispute(DisputeError::Sites { .. }) = error else { panic!("{error}") };
    }
}

#[test]
fn functionals_are_opened_under_the_next_certified_dispute_only() {
    let disputed = Disputed::shared();
    let (none, after) = (Proceedings::default(), disputed.after_first());
    let holder = disputed.holder();
    let Settled { dispute, .. } = &disputed.first;
    let q = disputed.rehearsal.study.threshold.endorsements;
    let weak: DisputeCertificate = short(dispute, q);
    too_few(holder.may_answer(disputed.case(&none), &weak));
    // Endorsed by one holder so often.
    let mut twice = weak.clone();
    twice.endorsements.push(weak.endorsements[0].clone());
    assert!(holder.may_answer(disputed.case(&none), &twice).is_err());
    out_of_order(holder.may_answer(disputed.case(&none), &disputed.second.dispute), 2);
    out_of_order(holder.may_answer(disputed.case(&after), dispute), 1);
    let next = disputed.case(&after);
    let ticket = holder.may_answer(next, &disputed.second.dispute).unwrap();
    assert!(!ticket.sites().contains(&"site-5".parse().unwrap()), "it was removed");
}

#[test]
fn keys_are_opened_under_the_certified_verdict_of_a_dispute_only() {
    let disputed = Disputed::shared();
    let none = Proceedings::default();
    let (holder, case) = (disputed.holder(), disputed.case(&none));
    let Settled { dispute, verdict } = &disputed.first;
    let q = disputed.rehearsal.study.threshold.endorsements;
    too_few(holder.may_remove(case, dispute, &short(verdict, q)));
    too_few(holder.may_remove(case, &short(dispute, q), verdict));
    // That check words are wrong says nothing of a key.
    out_of_order(holder.may_remove(case, dispute, &disputed.check_words), 1);
    // Nor does the verdict of another dispute.
    out_of_order(holder.may_remove(case, dispute, &disputed.second.verdict), 1);
    out_of_order(holder.may_remove(case, &disputed.second.dispute, verdict), 2);
    let ticket = holder.may_remove(case, dispute, verdict).unwrap();
    assert_eq!(ticket.sites(), ["site-5".parse::<SiteId>().unwrap()]);
}

/// Holders that are told so certify a verdict that names who was removed before.
#[test]
fn nobody_is_removed_twice() {
    let disputed = Disputed::shared();
    let after = disputed.after_first();
    let case = disputed.case(&after);
    let Settled { dispute, .. } = &disputed.second;
    let again = Verdict {
        sites: vec!["site-5".parse().unwrap()],
        ..disputed.second.verdict.statement.clone()
    };
    let endorsements =
        disputed.rehearsal.identities.iter().map(|holder| endorse_verdict(holder, again.clone()));
    let verdict = Quorum { statement: again.clone(), endorsements: endorsements.collect() };
    verdict.check(&disputed.rehearsal.study).unwrap();
    out_of_order(disputed.holder().may_remove(case, dispute, &verdict), 2);
    // And nothing goes on from there.
    let mut twice = after.clone();
    twice.disputes.push(Settled { dispute: dispute.clone(), verdict });
    out_of_order(disputed.holder().dispute(disputed.case(&twice), AT), 2);
}

#[test]
fn shares_of_other_sites_are_not_opened() {
    let disputed = Disputed::shared();
    let none = Proceedings::default();
    let (holder, case) = (disputed.holder(), disputed.case(&none));
    let Settled { dispute, verdict } = &disputed.first;
    let (identity, study) = (&disputed.rehearsal.identities[0], &disputed.rehearsal.study);
    let shares =
        |sites: &[SiteId]| disputed.rehearsal.shares(&disputed.made, disputed.site(), sites);
    let refused = |result: Result<_, HolderError>, expected: (usize, usize)| {
        let Err(HolderError::Shares { missing, extra }) = result.map(|_| ()) else { panic!() };
        assert_eq!((missing, extra), expected);
    };

    let ticket = holder.may_answer(case, dispute).unwrap();
    let all = ticket.sites();
    let answer =
        |sites: &[SiteId]| open_functionals(identity, study, &ticket, &shares(sites), &mut rng(1));
    assert!(answer(&all).is_ok());
    refused(answer(&all[1..]), (1, 0));
    refused(answer(&[&all[..], &all[..1]].concat()), (0, 1));
    // Out of order the words would stand for other sites.
    let swapped = [&all[1..2], &all[..1], &all[2..]].concat();
    refused(answer(&swapped), (0, 0));

    let ticket = holder.may_remove(case, dispute, verdict).unwrap();
    let remove =
        |sites: &[SiteId]| open_keys(identity, study, &ticket, &shares(sites), &mut rng(1));
    assert!(remove(&all[5..6]).is_ok());
    refused(remove(&[]), (1, 0));
    refused(remove(&all[4..5]), (1, 1));
    refused(remove(&all[5..7]), (0, 1));
}

/// Three holders and one corrupt site: a round runs, and nobody can be named.
#[test]
fn a_study_that_cannot_name_has_no_disputes() {
    let mut rehearsal = Rehearsal::new(3, None, 10);
    let made: Vec<_> = (0..3).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let (certificate, none) = (round.certificate().unwrap(), Proceedings::default());
    let manifest = &round.manifest().statement;
    let case = Case { manifest, certificate: &certificate, proceedings: &none };
    let holder = rehearsal.holder(rehearsal.identities[0].site());
    let disputes = holder.dispute(case, AT).map(|_| ());
    let judges = holder.judge(case, None, &sites(&["site-1"])).map(|_| ());
    for result in [disputes, judges] {
        let Err(HolderError::Dispute(DisputeError::NoNames { holders: 3 })) = result else {
            panic!("{result:?}")
        };
    }
}
