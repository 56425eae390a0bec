//! Generated lung CT with lesions, from hospitals whose scanners differ: for demonstrations and
//! tests where no patient's data may be used.
//!
//! Each patient is a small volume of Hounsfield units (see `anatomy`), each hospital a scanner
//! that averages a slice's thickness, blurs, adds noise and applies its window, and a mix of early
//! and severe cases (see `hospital`, with the sources). The pictures resemble CT; nothing learnt
//! from them is of medical use.

mod anatomy;
mod hospital;
mod texture;

use rand::Rng;
use rayon::prelude::*;

use self::anatomy::{Patient, Tissue};
use self::hospital::{HOSPITALS, Hospital};
use super::chance::rng;
use super::dataset::{Dataset, Sample, SiteData, Split};
use super::detector::detect;
use super::error::DataError;

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhantomOptions {
    /// Height and width of an image, in pixels.
    pub side: usize,
    /// Number of hospitals. From the sixth on, scanners repeat with other patients.
    pub sites: usize,
    /// Patients a hospital: half are for testing, an eighth (one at least) for validation,
    /// the rest to learn from.
    pub patients: usize,
    /// Axial slices a patient, evenly spaced from apex to base.
    pub slices: usize,
    /// Fixes everything.
    pub seed: u64,
}

impl Default for PhantomOptions {
    /// Five hospitals of eight patients with six slices each, of 64 px: three patients to learn
    /// from, one for validation and four for testing at each. Three patients are too few for a
    /// site to learn well from alone, which is the situation that federation is for.
    fn default() -> Self {
        Self { side: 64, sites: 5, patients: 8, slices: 6, seed: 1 }
    }
}

/// Generates a dataset with masks and the classes `healthy` and `lesion`. A slice is of the class
/// `lesion` when its mask is not empty. Grey values are multiples of 1/255.
///
/// # Errors
/// [`DataError::Option`] when a number is out of range.
pub fn generate(options: &PhantomOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let width = options.sites.to_string().len();
    let sites = (0..options.sites)
        .map(|index| {
            site(options, &format!("hospital-{:0width$}", index + 1), HOSPITALS[index % 5])
        })
        .collect();
    let classes = ["healthy", "lesion"].map(String::from).to_vec();
    let (left_out, unused_columns, remarks) = (Vec::new(), Vec::new(), Vec::new());
    let (side, names_patients) = (options.side, true);
    Ok(Dataset { side, classes, sites, left_out, unused_columns, remarks, names_patients })
}

impl PhantomOptions {
    fn check(&self) -> Result<(), DataError> {
        let refuse = |option, expected, found: usize| {
            Err(DataError::Option { option, expected, found: found.to_string() })
        };
        if self.side < 16 || self.side > 512 || !self.side.is_multiple_of(16) {
            return refuse("side", "a multiple of 16 from 16 to 512 pixels", self.side);
        }
        if self.sites == 0 || self.sites > 1000 {
            return refuse("sites", "1 to 1000", self.sites);
        }
        if self.patients < 3 || self.patients > 10_000 {
            return refuse("patients", "3 to 10000", self.patients);
        }
        if self.slices == 0 || self.slices > 64 {
            return refuse("slices", "1 to 64", self.slices);
        }
        Ok(())
    }

    /// The last patients are for testing, those before them for validation.
    fn split(&self, patient: usize) -> Split {
        let test = self.patients / 2;
        let validation = (self.patients / 8).max(1);
        match self.patients - patient {
            left if left <= test => Split::Test,
            left if left <= test + validation => Split::Validation,
            _ => Split::Train,
        }
    }
}

fn site(options: &PhantomOptions, name: &str, hospital: Hospital) -> SiteData {
    let samples: Vec<Vec<Sample>> = (0..options.patients)
        .into_par_iter()
        .map(|patient| volume(options, name, patient, hospital))
        .collect();
    let mut site = SiteData {
        site: name.to_string(),
        train: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
    };
    for (patient, samples) in samples.into_iter().enumerate() {
        match options.split(patient) {
            Split::Train => site.train.extend(samples),
            Split::Validation => site.validation.extend(samples),
            Split::Test => site.test.extend(samples),
        }
    }
    site
}

fn volume(options: &PhantomOptions, site: &str, number: usize, hospital: Hospital) -> Vec<Sample> {
    let group = format!("{site}-p{:03}", number + 1);
    let mut rng = rng(options.seed, "phantom", &group);
    let patient = Patient::draw(&hospital.cases, &mut rng);
    let hospital = hospital.for_patient(&mut rng);
    (0..options.slices)
        .map(|slice| {
            // The outermost eighths, above the apex and inside the liver, show little lung.
            let z = 0.125 + 0.75 * (slice as f32 + 0.5) / options.slices as f32;
            let (image, mask) = scan(&patient, z, options.side, hospital, &mut rng);
            Sample {
                name: format!("{group}-s{:02}", slice + 1),
                group: group.clone(),
                image,
                label: Some(u32::from(mask.contains(&1.0))),
                mask: Some(mask),
                own_mask: None,
            }
        })
        .collect()
}

/// One slice as the hospital shows it, and its lesion mask.
fn scan(
    patient: &Patient,
    z: f32,
    side: usize,
    hospital: Hospital,
    rng: &mut impl Rng,
) -> (Vec<f32>, Vec<f32>) {
    let (hounsfield, mask) = slab(patient, z, side, hospital.thickness);
    let seen = detect(&hounsfield, side, hospital.resolution(side), hospital.noise, rng);
    (seen.into_iter().map(|value| hospital.window.grey(value)).collect(), mask)
}

/// Height of the lungs, from apex (0) to diaphragm (1), mm. This project's choice.
const LUNG_HEIGHT: f32 = 256.0;

/// The mean of a slice of `thickness` mm around `z`, with a layer each mm and 2 x 2 rays a pixel:
/// HU, and a mask of the pixels that are at least half lesion.
fn slab(patient: &Patient, z: f32, side: usize, thickness: usize) -> (Vec<f32>, Vec<f32>) {
    let mut hounsfield = vec![0.0; side * side];
    let mut lesion = vec![0.0; side * side];
    let rays = (4 * thickness) as f32;
    for layer in 0..thickness {
        let offset = (layer as f32 - (thickness - 1) as f32 / 2.0) / LUNG_HEIGHT;
        let slice = patient.slice(z + offset);
        for index in 0..side * side {
            for ray in 0..4 {
                let at = |pixel: usize, ray: usize| {
                    (pixel as f32 + 0.25 + 0.5 * ray as f32) / side as f32 * 2.0 - 1.0
                };
                let Tissue { hounsfield: value, lesion: inside } =
                    slice.at(at(index % side, ray % 2), at(index / side, ray / 2));
                hounsfield[index] += value / rays;
                lesion[index] += inside / rays;
            }
        }
    }
    let mask = lesion.into_iter().map(|share| f32::from(share >= 0.5)).collect();
    (hounsfield, mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> PhantomOptions {
        PhantomOptions { side: 32, sites: 6, patients: 6, slices: 4, seed: 3 }
    }

    #[test]
    fn same_seed_same_patients_another_seed_others() {
        let data = generate(&small()).unwrap();
        assert_eq!(data, generate(&small()).unwrap());
        let other = generate(&PhantomOptions { seed: 4, ..small() }).unwrap();
        assert_ne!(data.sites[0].train[0].image, other.sites[0].train[0].image);
        // Site 6 has the scanner of site 1, but not its patients.
        assert_ne!(data.sites[0].train[0].image, data.sites[5].train[0].image);
    }

    #[test]
    fn patients_stay_in_one_split_and_both_classes_occur() {
        let data = generate(&small()).unwrap();
        for site in &data.sites {
            assert_eq!([site.train.len(), site.validation.len(), site.test.len()], [8, 4, 12]);
            let mut splits = std::collections::BTreeMap::new();
            for (split, sample) in site.samples() {
                assert_eq!(*splits.entry(sample.group.clone()).or_insert(split), split);
                assert!(sample.image.iter().all(|value| (0.0..=1.0).contains(value)));
                let lesion = sample.mask.as_ref().unwrap().contains(&1.0);
                assert_eq!(sample.label, Some(u32::from(lesion)));
            }
        }
        let labels = |label| {
            let samples = data.sites.iter().flat_map(|site| site.samples());
            samples.filter(|(_, sample)| sample.label == Some(label)).count()
        };
        assert!(
            labels(0) > 14 && labels(1) > 48,
            "{} healthy, {} with lesion",
            labels(0),
            labels(1)
        );
    }

    #[test]
    fn lesions_are_brighter_than_the_lung_around_them() {
        let data = generate(&PhantomOptions { side: 64, ..small() }).unwrap();
        for site in &data.sites {
            let mean = |inside: f32| {
                let pixels = site.samples().flat_map(|(_, sample)| {
                    let mask = sample.mask.as_deref().unwrap_or_default();
                    sample.image.iter().zip(mask).filter(|(grey, _)| **grey < 0.85)
                });
                let chosen: Vec<f32> =
                    pixels.filter(|(_, m)| **m == inside).map(|(grey, _)| *grey).collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            assert!(mean(1.0) > mean(0.0) + 0.05, "{}: {} and {}", site.site, mean(1.0), mean(0.0));
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for bad in [
            PhantomOptions { side: 40, ..small() },
            PhantomOptions { sites: 0, ..small() },
            PhantomOptions { patients: 2, ..small() },
            PhantomOptions { slices: 65, ..small() },
        ] {
            assert!(matches!(generate(&bad), Err(DataError::Option { .. })));
        }
    }
}
