//! Label skew: one undivided source becomes sites that differ in their classes.

use std::path::Path;

use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gamma};

use super::chance::rng;
use super::dataset::Split;
use super::error::DataError;
use super::group::Group;
use super::options::DataOptions;

/// How often a division is drawn again that leaves a site without enough samples.
const DRAWS: usize = 200;
/// Samples a site should at least train on (Li et al., 2022, also draw until each has ten).
const MIN_TRAIN: usize = 10;

/// Spreads groups over `sites` sites by Dirichlet label skew: each class is cut among the sites in
/// proportions drawn from `Dirichlet(alpha)`, the same in every split. A group of several classes
/// counts as its commonest one. Draws again while a site has too few samples to train on or to
/// test on.
///
/// # Errors
/// [`DataError::Sites`] when no draw served every site.
pub(super) fn spread(
    path: &Path,
    groups: &[Group],
    sites: usize,
    options: &DataOptions,
) -> Result<Vec<Vec<Group>>, DataError> {
    let undivided = groups.iter().all(|group| group.split.is_none());
    let samples = |groups: &[Group]| -> usize {
        let trained = groups.iter().filter(|group| undivided || group.split == Some(Split::Train));
        trained.map(|group| group.samples.len()).sum()
    };
    let least = MIN_TRAIN.min(samples(groups).div_ceil(2 * sites)).max(1);
    let tested = |groups: &[Group]| {
        if undivided {
            groups.len() >= 2
        } else {
            groups.iter().any(|group| group.split == Some(Split::Test))
        }
    };
    // In the order of the data, whatever the groups are called.
    let mut groups = groups.to_vec();
    groups.sort_by_key(|group| group.samples.first().copied());
    let mut rng = rng(options.seed, "dirichlet", "");
    let mut best = 0;
    for _ in 0..DRAWS {
        let parts = draw(&groups, sites, options.dirichlet_alpha, &mut rng)?;
        let fits = parts.iter().filter(|part| samples(part) >= least && tested(part)).count();
        if fits == sites {
            return Ok(parts);
        }
        best = best.max(fits);
    }
    let why = format!(
        "label skew {} left a site without enough images in {DRAWS} draws; or raise dirichlet_alpha",
        options.dirichlet_alpha
    );
    let (path, is_usual) = (path.to_path_buf(), options.sites.is_none());
    Err(DataError::Sites { path, asked: sites, is_usual, possible: best, why })
}

fn draw(
    groups: &[Group],
    sites: usize,
    alpha: f64,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Vec<Group>>, DataError> {
    let gamma = Gamma::new(alpha, 1.0).map_err(|error| DataError::Option {
        option: "dirichlet_alpha",
        expected: "a positive number",
        found: error.to_string(),
    })?;
    let most = groups.iter().filter_map(|group| group.class).max().unwrap_or(0);
    // Groups without label are spread like a class of their own.
    let unlabelled = groups.iter().any(|group| group.class.is_none()).then_some(None);
    let mut parts: Vec<Vec<Group>> = vec![Vec::new(); sites];
    for class in (0..=most).map(Some).chain(unlabelled) {
        // Gamma variates divided by their sum are Dirichlet distributed.
        let mut bounds: Vec<f64> = gamma.sample_iter(&mut *rng).take(sites).collect();
        let total = bounds.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut sum = 0.0;
        bounds.iter_mut().for_each(|bound| {
            sum += *bound / total;
            *bound = sum;
        });
        for split in Split::ALL.map(Some).into_iter().chain([None]) {
            let same = |group: &&Group| group.class == class && group.split == split;
            let mut members: Vec<&Group> = groups.iter().filter(same).collect();
            if members.is_empty() {
                continue;
            }
            members.shuffle(rng);
            let samples: usize = members.iter().map(|group| group.samples.len()).sum();
            let mut before = 0;
            for group in members {
                // By its middle, so that a site's share of samples is what was drawn.
                let at = (before as f64 + group.samples.len() as f64 / 2.0) / samples as f64;
                before += group.samples.len();
                let site = bounds.iter().position(|bound| at < *bound).unwrap_or(sites - 1);
                if let Some(part) = parts.get_mut(site) {
                    part.push(group.clone());
                }
            }
        }
    }
    Ok(parts)
}
