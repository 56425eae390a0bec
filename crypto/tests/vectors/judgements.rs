//! Named judgements of dealings.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Answer, Judge, Judgement, Reviewed, Trust};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::ExclusionReason;
use ringfence_crypto::threshold::Threshold;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judgements {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    threshold: Threshold,
    min_sites: u16,
    window: Vec<SiteId>,
    dealers: Vec<SiteId>,
    trust: Trust,
    reviews: Vec<Answered>,
    /// None if the study's assumption does not hold.
    judgement: Option<Expected>,
    broken: Option<String>,
    late: Vec<Late>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    holder: SiteId,
    answers: Vec<Answer>,
}

impl From<Answered> for Reviewed {
    fn from(Answered { holder, answers }: Answered) -> Self {
        Self { holder, answers }
    }
}

/// A review that is not judged, and whether its holder may open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Late {
    holder: SiteId,
    answers: Vec<Answer>,
    agrees: bool,
}

/// What a judgement must be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    trust: Trust,
    trust_digest: Digest,
    excluded: BTreeMap<SiteId, ExclusionReason>,
    set: Vec<SiteId>,
    openers: BTreeSet<SiteId>,
    aside: BTreeSet<SiteId>,
    free: usize,
}

impl Expected {
    pub(crate) fn check(&self, judgement: &Judgement) {
        let Judgement { trust, free, excluded, set, openers, aside } = judgement;
        assert_eq!(*trust, self.trust);
        assert_eq!(trust.digest(), self.trust_digest);
        let reasons = excluded.iter().map(|(site, why)| (site.clone(), (*why).into()));
        assert_eq!(reasons.collect::<BTreeMap<_, ExclusionReason>>(), self.excluded);
        assert_eq!(*set, self.set);
        assert_eq!(*openers, self.openers);
        assert_eq!(*aside, self.aside);
        assert_eq!(*free, self.free);
    }
}

pub(crate) fn judgement(_: &str, file: Judgements) {
    for case in file.cases {
        println!("{}", case.name);
        let Case { threshold, min_sites, window, dealers, trust, .. } = case;
        threshold.check(window.len()).unwrap();
        let (threshold, trust) = (&threshold, &trust);
        let judge = Judge { threshold, min_sites, window: &window, dealers: &dealers, trust };
        let reviews: Vec<Reviewed> = case.reviews.into_iter().map(Reviewed::from).collect();
        let judged = judge.judge(&reviews);
        match (&judged, &case.judgement, &case.broken) {
            (Ok(judgement), Some(expected), None) => expected.check(judgement),
            (Err(error), None, Some(broken)) => assert!(error.to_string().contains(broken)),
            _ => panic!("expected {:?}, got {judged:?}", case.broken),
        }
        // The order in which reviews come does not matter.
        let backwards: Vec<Reviewed> = reviews.iter().rev().cloned().collect();
        assert_eq!(judge.judge(&backwards), judged);
        for Late { holder, answers, agrees } in case.late {
            let judgement = judged.as_ref().unwrap();
            let late = [Reviewed { holder: holder.clone(), answers }];
            let openers = judge.openers(judgement, &judgement.set, &reviews, &late);
            assert_eq!(openers.contains(&holder), agrees, "{holder}");
        }
    }
}
