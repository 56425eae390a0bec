//! Samples of one patient or volume, which are divided as a whole.

use std::collections::BTreeMap;

use super::dataset::Split;

/// What division needs to know of a sample: all but the group only where the data name it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) site: Option<String>,
    pub(super) group: String,
    pub(super) split: Option<Split>,
    pub(super) label: Option<u32>,
}

/// All samples of one patient or volume at one site.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) samples: Vec<usize>,
    pub(super) split: Option<Split>,
    /// The commonest label of its samples, the first of equals.
    pub(super) class: Option<u32>,
}

/// The groups of each site; `None` where the data name no site.
pub(super) fn collect(items: &[Item]) -> BTreeMap<Option<String>, Vec<Group>> {
    let mut sites: BTreeMap<Option<String>, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let groups = sites.entry(item.site.clone()).or_default();
        groups.entry(&item.group).or_default().push(index);
    }
    let group = |samples: Vec<usize>| {
        let of = |index: &usize| items.get(*index);
        Group {
            split: samples.first().and_then(of).and_then(|item| item.split),
            class: commonest(samples.iter().filter_map(of).filter_map(|item| item.label)),
            samples,
        }
    };
    let groups = |groups: BTreeMap<&str, Vec<usize>>| groups.into_values().map(group).collect();
    sites.into_iter().map(|(site, found)| (site, groups(found))).collect()
}

/// How many of these samples have which label.
pub(super) fn labels(items: &[Item], samples: impl Iterator<Item = usize>) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    let labels = samples.filter_map(|index| items.get(index)?.label);
    labels.for_each(|label| *counts.entry(label).or_insert(0) += 1);
    counts
}

/// The commonest of these labels, the first of equals.
fn commonest(labels: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts = BTreeMap::new();
    labels.for_each(|label| *counts.entry(label).or_insert(0_usize) += 1);
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(label, _)| label)
}
