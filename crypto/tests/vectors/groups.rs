//! Groups of a study that holds its sets apart.

use std::collections::BTreeSet;

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{PrivacyPolicy, RosterEntry};
use ringfence_crypto::threshold::Threshold;
use serde::Deserialize;

use crate::statements::signed_study;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Groups {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    sites: usize,
    collusion: u16,
    groups: Vec<Vec<usize>>,
    there: Vec<usize>,
    barred: Vec<usize>,
    left_out: Vec<usize>,
}

pub(crate) fn groups(_: &str, file: Groups) {
    let mut study = signed_study().study;
    study.privacy = PrivacyPolicy::SetsApart;
    let entry = study.roster[0].clone();
    for Case { name, sites, collusion, groups, there, barred, left_out } in file.cases {
        let ids: Vec<SiteId> = (0..sites).map(|k| format!("s{k:02}").parse().unwrap()).collect();
        study.roster =
            ids.iter().map(|id| RosterEntry { id: id.clone(), ..entry.clone() }).collect();
        study.threshold = Threshold::choose(sites, None, Some(collusion), None).unwrap();
        let place = |site: &SiteId| ids.iter().position(|id| id == site).unwrap();
        let found: Vec<Vec<usize>> = study
            .groups()
            .iter()
            .map(|group| group.iter().map(|site| place(&site.id)).collect())
            .collect();
        assert_eq!(found, groups, "{name}");
        let mut trust = Trust::default();
        trust.bar(&barred.iter().map(|place| ids[*place].clone()).collect());
        let there: BTreeSet<&SiteId> = there.iter().map(|place| &ids[*place]).collect();
        let torn: Vec<usize> = study.torn(&trust, &there).into_iter().map(place).collect();
        assert_eq!(torn, left_out, "{name}");
    }
}
