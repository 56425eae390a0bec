//! MedMNIST 2-D files (Yang et al., "MedMNIST v2", 2023): NumPy archives `*.npz` with
//! `train_images`, `train_labels` and the same for `val` and `test`.

use std::fs::File;
use std::path::Path;

use npyz::npz::NpzArchive;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gamma};

use super::divide::{self, Plan, rng};
use super::{DEFAULT_SITES, DataError, DataOptions, Dataset, Sample, SiteData, Split};

/// No MedMNIST file comes near this; a damaged header may claim more.
const MAX_VALUES: u64 = 1 << 32;
/// How often a division is drawn again that leaves a site without enough samples.
const DRAWS: usize = 200;
/// Samples a site should at least train on (Li et al., 2022, also draw until each has ten).
const MIN_TRAIN: usize = 10;

/// Reads a file and spreads its samples over sites by Dirichlet label skew: each class is cut
/// among the sites in proportions drawn from `Dirichlet(alpha)`, the same in every split.
///
/// 28 px images are padded by black to 32 px before they are brought to the side asked for, so
/// that they halve evenly. Every image counts as a patient of its own, as the file names none.
pub(super) fn load(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    let mut archive = Archive::open(path)?;
    let mut samples = Vec::new();
    let mut splits = Vec::new();
    for split in Split::ALL {
        let images = archive.images(split, options.side)?;
        let labels = archive.labels(split, images.len())?;
        for (index, (image, label)) in images.into_iter().zip(labels).enumerate() {
            let name = format!("{}-{index:05}", split.name());
            samples.push(Sample {
                group: name.clone(),
                name,
                image,
                label: Some(label),
                mask: None,
            });
            splits.push(split);
        }
    }
    let classes = classes(path, &mut samples, &options.classes)?;
    let labels: Vec<u32> = samples.iter().filter_map(|sample| sample.label).collect();
    let plans = spread(path, &splits, &labels, options)?;
    let mut samples: Vec<Option<Sample>> = samples.into_iter().map(Some).collect();
    let sites = plans
        .into_iter()
        .enumerate()
        .map(|(position, mut plan)| {
            divide::cap(&mut plan, options.max_per_site, options.seed);
            let mut take = |split| {
                let chosen = plan.samples.remove(&split).unwrap_or_default();
                chosen.into_iter().filter_map(|index| samples[index].take()).collect()
            };
            let mut site = SiteData {
                train: take(Split::Train),
                validation: take(Split::Validation),
                test: take(Split::Test),
                site: plan.site,
            };
            options.device(position).apply(&mut site, options.seed)?;
            Ok(site)
        })
        .collect::<Result<_, DataError>>()?;
    Ok(Dataset { side: options.side, classes, sites, left_out: Vec::new() })
}

fn classes(
    path: &Path,
    samples: &mut [Sample],
    named: &[String],
) -> Result<Vec<String>, DataError> {
    let most = samples.iter().filter_map(|sample| sample.label).max().unwrap_or(0);
    if named.is_empty() {
        return Ok((0..=most).map(|label| label.to_string()).collect());
    }
    for sample in samples {
        let label = sample.label.unwrap_or(0).to_string();
        let number =
            super::class_number(named, &label, &label).ok_or_else(|| DataError::Array {
                path: path.to_path_buf(),
                array: "train_labels".to_string(),
                expected: "labels among the study's classes",
                found: label,
            })?;
        sample.label = u32::try_from(number).ok();
    }
    Ok(named.to_vec())
}

/// Spreads samples over sites; draws again while a site has too few to train on or to test on.
fn spread(
    path: &Path,
    splits: &[Split],
    labels: &[u32],
    options: &DataOptions,
) -> Result<Vec<Plan>, DataError> {
    let sites = options.sites.unwrap_or(DEFAULT_SITES);
    let count = |split| splits.iter().filter(|other| **other == split).count();
    let (train, test) = (count(Split::Train), count(Split::Test));
    if train.min(test) < sites {
        let why = format!("the file has {train} training and {test} test images");
        return Err(DataError::Sites {
            path: path.to_path_buf(),
            asked: sites,
            possible: train.min(test),
            why,
        });
    }
    let least_train = MIN_TRAIN.min(train.div_ceil(2 * sites)).max(1);
    let mut rng = rng(options.seed, "dirichlet", "");
    let mut best = 0;
    for _ in 0..DRAWS {
        let plans = draw(splits, labels, sites, options.dirichlet_alpha, &mut rng)?;
        let len = |plan: &Plan, split| plan.samples.get(&split).map_or(0, Vec::len);
        let fit =
            |plan: &&Plan| len(plan, Split::Train) >= least_train && len(plan, Split::Test) >= 1;
        let fits = plans.iter().filter(fit).count();
        if fits == sites {
            return Ok(plans);
        }
        best = best.max(fits);
    }
    let why = format!(
        "label skew {} left a site without images in {DRAWS} draws; or raise dirichlet_alpha",
        options.dirichlet_alpha
    );
    Err(DataError::Sites { path: path.to_path_buf(), asked: sites, possible: best, why })
}

fn draw(
    splits: &[Split],
    labels: &[u32],
    sites: usize,
    alpha: f64,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Plan>, DataError> {
    let gamma = Gamma::new(alpha, 1.0).map_err(|error| DataError::Option {
        option: "dirichlet_alpha",
        expected: "a positive number",
        found: error.to_string(),
    })?;
    let width = sites.to_string().len();
    let plan = |site| Plan { site: format!("site-{:0width$}", site + 1), ..Plan::default() };
    let mut plans: Vec<Plan> = (0..sites).map(plan).collect();
    for class in 0..=labels.iter().copied().max().unwrap_or(0) {
        // Gamma variates divided by their sum are Dirichlet distributed.
        let mut bounds: Vec<f64> = gamma.sample_iter(&mut *rng).take(sites).collect();
        let total = bounds.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut sum = 0.0;
        bounds.iter_mut().for_each(|bound| {
            sum += *bound / total;
            *bound = sum;
        });
        for split in Split::ALL {
            let mut members: Vec<usize> =
                (0..labels.len()).filter(|i| labels[*i] == class && splits[*i] == split).collect();
            members.shuffle(rng);
            for (rank, index) in members.iter().enumerate() {
                let at = (rank as f64 + 0.5) / members.len() as f64;
                let site = bounds.iter().position(|bound| at < *bound).unwrap_or(sites - 1);
                plans[site].samples.entry(split).or_default().push(*index);
            }
        }
    }
    plans
        .iter_mut()
        .flat_map(|plan| plan.samples.values_mut())
        .for_each(|samples| samples.sort_unstable());
    Ok(plans)
}

/// An open `.npz` file.
struct Archive<'a> {
    path: &'a Path,
    arrays: NpzArchive<std::io::BufReader<File>>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let file = |source| DataError::File { path: path.to_path_buf(), source };
        let arrays = NpzArchive::open(path).map_err(file)?;
        Ok(Self { path, arrays })
    }

    /// The images of one split, each `side * side` grey values in `[0, 1]`.
    fn images(&mut self, split: Split, side: usize) -> Result<Vec<Vec<f32>>, DataError> {
        let name = format!("{}_images", split.name());
        let (shape, bytes) = self.read(&name, "8-bit images [n, h, w] or [n, h, w, 3]")?;
        let (height, width, channels) = match shape[..] {
            [_, height, width] => (height, width, 1),
            [_, height, width, 3] => (height, width, 3),
            _ => {
                return Err(self.error(
                    &name,
                    "8-bit images [n, h, w] or [n, h, w, 3]",
                    format!("{shape:?}"),
                ));
            }
        };
        if height != width || height == 0 {
            return Err(self.error(&name, "square images", format!("{shape:?}")));
        }
        let images = bytes.chunks_exact(height * width * channels);
        Ok(images.map(|image| super::grey::fit(&luma(image, channels), height, side)).collect())
    }

    fn labels(&mut self, split: Split, count: usize) -> Result<Vec<u32>, DataError> {
        let name = format!("{}_labels", split.name());
        let (shape, bytes) = self.read(&name, "8-bit labels [n, 1]")?;
        if bytes.len() != count || shape.first() != Some(&count) {
            return Err(self.error(
                &name,
                "one label for each image",
                format!("shape {shape:?} for {count} images"),
            ));
        }
        Ok(bytes.into_iter().map(u32::from).collect())
    }

    /// An array of bytes in row-major order, with its shape.
    fn read(
        &mut self,
        name: &str,
        expected: &'static str,
    ) -> Result<(Vec<usize>, Vec<u8>), DataError> {
        let path = self.path;
        let error = |found: String| DataError::Array {
            path: path.to_path_buf(),
            array: name.to_string(),
            expected,
            found,
        };
        let array = self.arrays.by_name(name).map_err(|source| error(source.to_string()))?;
        let array = array.ok_or_else(|| error("no array of this name".to_string()))?;
        let shape = array.shape().to_vec();
        let count = shape.iter().try_fold(1_u64, |count, dim| count.checked_mul(*dim));
        if count.is_none_or(|count| count > MAX_VALUES) {
            return Err(error(format!("shape {shape:?}")));
        }
        if array.order() != npyz::Order::C {
            return Err(error("column-major order".to_string()));
        }
        let values = array.data::<u8>().map_err(|source| error(source.to_string()))?;
        // Not `into_vec`, which would allocate what the header claims before it reads.
        let mut bytes = Vec::new();
        for value in values {
            bytes.push(value.map_err(|source| error(format!("damaged data ({source})")))?);
        }
        let shape =
            shape.into_iter().map(|dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
        Ok((shape, bytes))
    }

    fn error(&self, array: &str, expected: &'static str, found: String) -> DataError {
        DataError::Array {
            path: self.path.to_path_buf(),
            array: array.to_string(),
            expected,
            found,
        }
    }
}

/// Grey values in `[0, 1]` of an image of 1 or 3 interleaved channels; colour by the weights of
/// ITU-R BT.709, as the image files are read.
fn luma(image: &[u8], channels: usize) -> Vec<f32> {
    let grey = |pixel: &[u8]| match pixel {
        [r, g, b] => 0.2126 * f32::from(*r) + 0.7152 * f32::from(*g) + 0.0722 * f32::from(*b),
        _ => f32::from(pixel[0]),
    };
    image.chunks_exact(channels).map(|pixel| grey(pixel) / 255.0).collect()
}
