//! The images of a laboratory: some are attacked, some take part in rounds beside them, some the
//! attacker knows.

use std::collections::BTreeSet;

use anyhow::ensure;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use ringfence_learning::picture::spread;
use ringfence_learning::{Dataset, Sample, TaskName};
use ringfence_words::{counted, listed_by};

use super::terms::{AttackName, Public, Target};

/// Public images at most: their mean no longer changes much.
const MOST_PUBLIC: usize = 256;
/// Images beside the attacked ones that the largest round takes: nine sites of four, and three.
const FEWEST_OTHERS: usize = 3;

/// Images by what they are for. No patient has two of these parts.
pub(super) struct Material {
    pub(super) targets: Vec<Target>,
    /// They take part in rounds.
    pub(super) others: Vec<Sample>,
    pub(super) public: Public,
    /// The same as samples.
    pub(super) public_samples: Vec<Sample>,
    pub(super) classes: Vec<String>,
    pub(super) side: usize,
}

impl Material {
    /// Divides a dataset's images.
    ///
    /// # Errors
    /// When there are too few, or one cannot be attacked.
    pub(super) fn new(dataset: Dataset, images: usize, seed: u64) -> anyhow::Result<Self> {
        let Dataset { side, classes, sites, .. } = dataset;
        let all: Vec<Sample> = sites
            .iter()
            .flat_map(|site| site.samples().map(|(_, sample)| sample.clone()))
            .collect();
        ensure!(
            !all.is_empty(),
            "there are no images to attack: expected at least 5 patients' images in --data"
        );
        // A blank image has nothing to find.
        let usable = all.iter().filter(|sample| Target::new(sample).is_ok());
        let mut usable: Vec<Sample> = usable.cloned().collect();
        let left_out = all.iter().filter_map(|sample| Target::new(sample).err());
        let left_out: Vec<anyhow::Error> = left_out.collect();
        if let Some(first) = left_out.first() {
            let images = counted(left_out.len() as u64, "image");
            eprintln!("left out: {images} of {} that cannot be attacked ({first})", all.len());
        }
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        usable.shuffle(&mut rng);
        let targets = spread(&usable, images);
        let attacked: BTreeSet<&str> = targets.iter().map(|target| target.group.as_str()).collect();
        let left = usable.iter().filter(|sample| !attacked.contains(sample.group.as_str()));
        let mut groups: Vec<&str> = left.clone().map(|sample| sample.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.shuffle(&mut rng);
        let beside: BTreeSet<&str> = groups.iter().copied().take(groups.len() / 2).collect();
        let (others, mut public_samples): (Vec<Sample>, Vec<Sample>) =
            left.cloned().partition(|sample| beside.contains(sample.group.as_str()));
        public_samples.truncate(MOST_PUBLIC);
        ensure!(
            targets.len() == images && others.len() >= FEWEST_OTHERS && public_samples.len() >= 3,
            "--images {images}: of {} the data leave {} for rounds beside the attacked ones and {} that the attacker knows, of other patients; expected at least 3 of each: attack fewer, or give more patients",
            counted(usable.len() as u64, "usable image"),
            others.len(),
            public_samples.len()
        );
        let public = Public::new(&public_samples.iter().collect::<Vec<_>>())?;
        let targets = targets.iter().map(Target::new).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { targets, others, public, public_samples, classes, side })
    }

    /// Refuses attacks whose task the data do not have, and names those that fit.
    ///
    /// # Errors
    /// Naming the attack.
    pub(super) fn check(&self, attack: AttackName) -> anyhow::Result<()> {
        let fitting = AttackName::ALL.into_iter().filter(|attack| self.fits(*attack));
        let fitting = listed_by(", ", fitting.map(AttackName::name));
        let what = match attack.task() {
            TaskName::Classification => "a class for every image and at least two classes",
            TaskName::Segmentation => "a mask for every image",
        };
        ensure!(
            self.fits(attack),
            "--attack {attack}: expected {what}, which the data do not have; attacks that fit: {}",
            if fitting.is_empty() { "none" } else { &fitting }
        );
        Ok(())
    }

    /// Whether the data have what an attack's victim learns.
    pub(super) fn fits(&self, attack: AttackName) -> bool {
        let targets = self.targets.iter().map(|target| &target.sample);
        let mut all = targets.chain(&self.others).chain(&self.public_samples);
        match attack.task() {
            TaskName::Classification => {
                self.classes.len() > 1 && all.all(|sample| sample.label.is_some())
            }
            TaskName::Segmentation => all.all(|sample| sample.mask.is_some()),
        }
    }

    /// An attacked image and so many others beside it, the same for equal seeds.
    pub(super) fn round(&self, target: &Target, images: usize, seed: u64) -> Vec<Sample> {
        let mut order: Vec<usize> = (0..self.others.len()).collect();
        order.shuffle(&mut ChaCha20Rng::seed_from_u64(seed));
        // Of few images some take part twice.
        let others = order.iter().cycle().filter_map(|place| self.others.get(*place));
        std::iter::once(&target.sample).chain(others).take(images).cloned().collect()
    }
}
