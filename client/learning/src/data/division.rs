//! Who gets which sample: sites from sites, and splits by group.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use rand::seq::SliceRandom;

use super::chance::rng;
use super::dataset::Split;
use super::error::DataError;
use super::group::{Group, Item, collect, labels};
use super::left_out::{LeftOut, LeftOutReason};
use super::options::{DataOptions, OneSite};
use super::skew;

/// Sites that are made where the data name none.
const DEFAULT_SITES: usize = 5;

/// The samples of one site of a division: indices into the items, by split.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SitePart {
    pub(super) site: String,
    pub(super) samples: BTreeMap<Split, Vec<usize>>,
}

/// Who gets which sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Division {
    /// The sites, sorted by name.
    pub(super) sites: Vec<SitePart>,
    /// What is left out.
    pub(super) left_out: Vec<LeftOut>,
}

impl Division {
    /// Divides samples among sites.
    ///
    /// Data that name no site are spread by label skew (see `skew`) if their groups have several
    /// classes, else cut. More sites asked for than the data name: each of theirs is cut into parts
    /// by whole groups, the largest first, so that a new site's data come from one origin and the
    /// sites stay as different as hospitals are. Fewer: the largest are kept, and the others left
    /// out by name. Splits are the data's own, or drawn by group, about 60 : 20 : 20. No site is
    /// capped yet.
    pub(super) fn of(
        path: &Path,
        items: &[Item],
        options: &DataOptions,
    ) -> Result<Self, DataError> {
        let mut left_out = Vec::new();
        let mut sites = collect(items);
        if let Some(site) = &options.one_site {
            one_site(path, site, &mut sites)?;
        }
        let part = |site: &Option<String>, groups: &[Group], reason| {
            let samples = || groups.iter().flat_map(|group| group.samples.iter().copied());
            LeftOut {
                site: site.clone(),
                images: samples().count(),
                labels: labels(items, samples()),
                reason,
            }
        };
        let names_none = sites.contains_key(&None);
        sites.retain(|site, groups| {
            let reason = unfit(groups);
            left_out.extend(reason.map(|reason| part(site, groups, reason)));
            reason.is_none()
        });
        let asked = asked(if names_none { None } else { Some(sites.len()) }, options);
        let possible = sites.values().map(|groups| most_parts(groups)).sum();
        if asked > possible {
            let why = match left_out.first() {
                Some(part) if possible == 0 => format!("{}: {}", part.whose(), part.reason),
                _ => {
                    "each needs a patient or volume to train on and another to test on".to_string()
                }
            };
            let (path, is_usual) = (path.to_path_buf(), options.sites.is_none());
            let is_usual = is_usual && options.one_site.is_none();
            return Err(DataError::Sites { path, asked, is_usual, possible, why });
        }
        while sites.len() > asked {
            // Sorted by name, so that of equals the last goes.
            let least = sites.iter().rev().min_by_key(|(_, groups)| size(groups));
            let Some(site) = least.map(|(site, _)| site.clone()) else { break };
            let groups = sites.remove(&site).unwrap_or_default();
            left_out.push(part(&site, &groups, LeftOutReason::Smaller(asked)));
        }
        let counts = parts_per_site(&sites, asked);
        let mut parts = Vec::with_capacity(asked);
        for ((site, groups), count) in sites.into_iter().zip(counts) {
            let width = count.to_string().len();
            let skewed =
                site.is_none() && groups.windows(2).any(|pair| pair[0].class != pair[1].class);
            let cut = if skewed && count > 1 {
                skew::spread(path, &groups, count, options)?
            } else {
                cut(groups, count, options.seed)
            };
            for (index, part) in cut.into_iter().enumerate() {
                let name = match &site {
                    Some(site) if count == 1 => site.clone(),
                    Some(site) => format!("{site}-{:0width$}", index + 1),
                    None => format!("site-{:0width$}", index + 1),
                };
                parts.push(SitePart::split(name, part, options));
            }
        }
        parts.sort_by(|left, right| left.site.cmp(&right.site));
        Ok(Self { sites: parts, left_out })
    }
}

impl SitePart {
    /// Keeps no more samples of a site than `options` say; each split its share, at least one where
    /// it has any. Answers with what is left out.
    pub(super) fn cap(&mut self, options: &DataOptions, items: &[Item]) -> Option<LeftOut> {
        let all = labels(items, self.indices());
        let total = self.indices().count();
        let max = options.max_per_site.filter(|max| *max < total)?;
        let mut rng = rng(options.seed, "cap", &self.site);
        let mut left = max;
        for split in [Split::Test, Split::Validation, Split::Train] {
            let Some(samples) = self.samples.get_mut(&split) else { continue };
            let share = if split == Split::Train { left } else { samples.len() * max / total };
            let share = share.clamp(1, samples.len());
            samples.shuffle(&mut rng);
            samples.truncate(share);
            samples.sort_unstable();
            left = left.saturating_sub(share);
        }
        let kept = labels(items, self.indices());
        let gone = all
            .into_iter()
            .map(|(label, count)| (label, count - kept.get(&label).copied().unwrap_or(0)));
        Some(LeftOut {
            site: Some(self.site.clone()),
            images: total - self.indices().count(),
            labels: gone.filter(|(_, count)| *count > 0).collect(),
            reason: LeftOutReason::Cap(max),
        })
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        self.samples.values().flatten().copied()
    }

    /// One site's groups, in the splits that they have or get now.
    fn split(site: String, mut groups: Vec<Group>, options: &DataOptions) -> Self {
        if groups.iter().all(|group| group.split.is_none()) {
            groups.sort_by_key(|group| group.samples.first().copied());
            groups.shuffle(&mut rng(options.seed, "split", &site));
            // A volume of a few slices would make a test of nothing: it serves to learn from.
            let mut sizes: Vec<usize> = groups.iter().map(|group| group.samples.len()).collect();
            sizes.sort_unstable();
            let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
            groups.sort_by_key(|group| 2 * group.samples.len() < median);
            let count = groups.len();
            let fifth = (count + 2) / 5; // a fifth, rounded
            let test = fifth.max(1);
            let validation = if count >= 4 { fifth.max(1) } else { 0 };
            for (index, group) in groups.iter_mut().enumerate() {
                group.split = Some(match index {
                    index if index < test => Split::Test,
                    index if index < test + validation => Split::Validation,
                    _ => Split::Train,
                });
            }
        }
        let mut part = Self { site, samples: BTreeMap::new() };
        for group in groups {
            let split = group.split.unwrap_or(Split::Train);
            part.samples.entry(split).or_default().extend(group.samples);
        }
        part.samples.values_mut().for_each(|samples| samples.sort_unstable());
        part
    }
}

/// Leaves one site of those that the data name, if they name any.
fn one_site(
    path: &Path,
    wanted: &OneSite,
    sites: &mut BTreeMap<Option<String>, Vec<Group>>,
) -> Result<(), DataError> {
    let path = path.to_path_buf();
    let found: Vec<String> = sites.keys().flatten().cloned().collect();
    match wanted {
        OneSite::Only if found.len() > 1 => Err(DataError::SeveralSites { path, found }),
        OneSite::Only => Ok(()),
        OneSite::Named(asked) if found.contains(asked) => {
            sites.retain(|site, _| site.as_ref() == Some(asked));
            Ok(())
        }
        OneSite::Named(asked) => Err(DataError::NoSite { path, asked: asked.clone(), found }),
    }
}

/// How many sites there shall be, where the data name so many that are fit, or none at all.
fn asked(named: Option<usize>, options: &DataOptions) -> usize {
    if options.one_site.is_some() {
        return 1;
    }
    let own = named.unwrap_or(DEFAULT_SITES);
    options.sites.unwrap_or(own.max(options.least_sites).max(1))
}

/// Why a site can neither train nor be tested, if so.
fn unfit(groups: &[Group]) -> Option<LeftOutReason> {
    let has = |split| groups.iter().any(|group| group.split == Some(split));
    if groups.iter().all(|group| group.split.is_none()) {
        return (groups.len() < 2).then_some(LeftOutReason::OneGroup);
    }
    let needed = [Split::Train, Split::Test];
    needed.into_iter().find(|split| !has(*split)).map(LeftOutReason::NoSplit)
}

/// How many samples these groups have.
fn size(groups: &[Group]) -> usize {
    groups.iter().map(|group| group.samples.len()).sum()
}

/// Into how many sites these groups can be cut so that each trains and is tested.
fn most_parts(groups: &[Group]) -> usize {
    let count = |split| groups.iter().filter(|group| group.split == Some(split)).count();
    if groups.iter().all(|group| group.split.is_none()) {
        groups.len() / 2
    } else {
        count(Split::Train).min(count(Split::Test))
    }
}

/// One part for each site, then one more wherever the parts are largest, until all are given out.
fn parts_per_site(sites: &BTreeMap<Option<String>, Vec<Group>>, asked: usize) -> Vec<usize> {
    let sizes: Vec<usize> = sites.values().map(|groups| size(groups)).collect();
    let most: Vec<usize> = sites.values().map(|groups| most_parts(groups)).collect();
    let mut parts = vec![1; sizes.len()];
    while parts.iter().sum::<usize>() < asked {
        let open = (0..parts.len()).filter(|site| parts[*site] < most[*site]);
        // Larger part first: a/p > b/q as a*q > b*p, exactly; of equals the first by name.
        let largest = open.reduce(|best, site| {
            let larger = sizes[site] * parts[best] > sizes[best] * parts[site];
            if larger { site } else { best }
        });
        match largest {
            Some(site) => parts[site] += 1,
            None => break,
        }
    }
    parts
}

/// Cuts groups into parts of about equal size, each group to the smallest part, larger groups
/// first; each split on its own, so that every part has its share of each.
fn cut(mut groups: Vec<Group>, parts: usize, seed: u64) -> Vec<Vec<Group>> {
    if parts == 1 {
        return vec![groups];
    }
    groups.shuffle(&mut rng(seed, "cut", ""));
    groups.sort_by_key(|group| (group.split, Reverse(group.samples.len())));
    let mut cut: Vec<Vec<Group>> = vec![Vec::new(); parts];
    for group in groups {
        let key = |part: &Vec<Group>| {
            let same: Vec<&Group> =
                part.iter().filter(|other| other.split == group.split).collect();
            // Count first: two groups of unequal size are worth more than one large one.
            (same.len(), same.iter().map(|other| other.samples.len()).sum::<usize>())
        };
        if let Some(part) = cut.iter_mut().min_by_key(|part| key(part)) {
            part.push(group);
        }
    }
    cut
}
