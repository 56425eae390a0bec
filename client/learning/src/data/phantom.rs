//! Generated lung CT with lesions, from hospitals whose scanners differ: for demonstrations and
//! tests where no patient's data may be used.
//!
//! Each patient is a small volume of Hounsfield units (see `anatomy`), each hospital a scanner
//! that averages neighbouring slices, blurs, adds noise and applies its window, and a mix of
//! early and severe cases. The pictures resemble CT; nothing learnt from them is of medical use.

mod anatomy;
mod texture;

use rand::{Rng, RngExt};
use rayon::prelude::*;

use self::anatomy::{Cases, Patient, Tissue};
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

/// A hospital: how its scanner is set, and the cases it sees.
#[derive(Clone, Copy, Debug)]
struct Hospital {
    /// Neighbouring sub-slices, 1/64 of the lung's height apart, averaged into a slice.
    thickness: usize,
    /// Standard deviation of the noise, HU.
    noise: f32,
    /// Lowest and highest HU shown, black and white.
    window: (f32, f32),
    /// Pixels of the detector's grid for one of the image; below 1 the image is blurred.
    resolution: f32,
    cases: Cases,
}

impl Hospital {
    /// No two patients are scanned alike: dose follows the body, and whoever exports the images
    /// chooses the window by eye. Three patients do not show all of it.
    fn for_patient(self, rng: &mut impl Rng) -> Self {
        let (black, white) = self.window;
        let level = (black + white) / 2.0 + rng.random_range(-120.0..120.0);
        let half = (white - black) / 2.0 * rng.random_range(0.8..1.25);
        let noise = self.noise * rng.random_range(0.7..1.4);
        Self { window: (level - half, level + half), noise, ..self }
    }
}

/// Windows are variants of the usual lung window (level -600, width 1500 HU); noise and slice
/// thickness span thin-slice diagnostic to thick-slice low-dose protocols.
const HOSPITALS: [Hospital; 5] = [
    Hospital {
        thickness: 1,
        noise: 25.0,
        window: (-1350.0, 150.0),
        resolution: 1.0,
        cases: Cases { lesions: 3.0, radius: 0.15, density: 0.5, healthy: 0.2 },
    },
    Hospital {
        thickness: 5,
        noise: 15.0,
        window: (-1200.0, 200.0),
        resolution: 0.8,
        cases: Cases { lesions: 3.0, radius: 0.14, density: 0.3, healthy: 0.3 },
    },
    Hospital {
        thickness: 1,
        noise: 65.0,
        window: (-1400.0, 100.0),
        resolution: 1.0,
        cases: Cases { lesions: 5.0, radius: 0.19, density: 0.8, healthy: 0.1 },
    },
    Hospital {
        thickness: 3,
        noise: 30.0,
        window: (-1000.0, 400.0),
        resolution: 0.6,
        cases: Cases { lesions: 3.0, radius: 0.13, density: 0.6, healthy: 0.2 },
    },
    Hospital {
        thickness: 2,
        noise: 45.0,
        window: (-1600.0, 500.0),
        resolution: 0.9,
        cases: Cases { lesions: 3.0, radius: 0.11, density: 0.4, healthy: 0.4 },
    },
];

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
    let (left_out, unused_columns) = (Vec::new(), Vec::new());
    let dataset = Dataset { side: options.side, classes, sites, left_out, unused_columns };
    Ok(dataset)
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
    let seen = detect(&hounsfield, side, hospital.resolution, hospital.noise, rng);
    let (black, white) = hospital.window;
    let shown = |value: f32| {
        let grey = ((value - black) / (white - black)).clamp(0.0, 1.0);
        (grey * 255.0).round() / 255.0
    };
    (seen.into_iter().map(shown).collect(), mask)
}

/// The mean of `thickness` sub-slices around `z`, with 2 x 2 rays a pixel: HU, and a mask of the
/// pixels that are at least half lesion.
fn slab(patient: &Patient, z: f32, side: usize, thickness: usize) -> (Vec<f32>, Vec<f32>) {
    let mut hounsfield = vec![0.0; side * side];
    let mut lesion = vec![0.0; side * side];
    let rays = (4 * thickness) as f32;
    for layer in 0..thickness {
        let offset = (layer as f32 - (thickness - 1) as f32 / 2.0) / 64.0;
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
