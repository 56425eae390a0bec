//! How images are read and divided.

use anyhow::ensure;
use ringfence_learning::DataOptions;
use ringfence_learning::data::Channels;

use crate::counts::{at_least_one, number};
use crate::reading::{ReadArgs, given};
use crate::retired::{Retired, renamed};

/// Arguments that say how a data folder or MedMNIST file is read and divided.
#[derive(Clone, Debug, clap::Args)]
pub struct DataArgs {
    /// Number of sites: the data's own are divided, or the largest kept as long as these have half
    /// of every class.
    #[arg(long, value_parser = at_least_one::<usize>)]
    pub sites: Option<usize>,
    /// Most images a site; all unless given.
    #[arg(long, value_parser = at_least_one::<usize>)]
    pub max_per_site: Option<usize>,
    /// Concentration of the Dirichlet distribution that spreads classes over sites where the data
    /// name none: near 0 each class sits at one site. 0.5 unless given.
    #[arg(long, value_parser = number::<f64>)]
    dirichlet: Option<f64>,
    /// Divide by patient anew even if the data have a `split` column.
    #[arg(long)]
    ignore_split: bool,
    /// Simulate scanners: each site's images as another scanner takes them, at this strength (1.0
    /// is the documented range; 0 leaves them as they are; up to 3).
    #[arg(long, value_name = "STRENGTH", value_parser = number::<f32>)]
    scanners: Option<f32>,
    /// How its files are read.
    #[command(flatten)]
    reading: ReadArgs,
    /// The name that --scanners had.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "",
        value_parser = renamed("--devices", "--scanners"))]
    devices: Option<Retired>,
}

impl DataArgs {
    /// Refuses what says how files are read where none are: generated images would not heed it.
    ///
    /// # Errors
    /// With the options that were given.
    pub fn check_without_data(&self) -> anyhow::Result<()> {
        let mut given = given(&[
            ("--dirichlet", self.dirichlet.is_some()),
            ("--ignore-split", self.ignore_split),
            ("--scanners", self.scanners.is_some()),
        ]);
        given.extend(self.reading.given_for_images());
        given.extend(self.reading.given_for_masks());
        ensure!(
            given.is_empty(),
            "{} would change nothing: the images are generated; name some with --data, or leave it out",
            given.join(", ")
        );
        Ok(())
    }

    /// Refuses what says how data are divided where they are one site's.
    ///
    /// # Errors
    /// With the option that was given.
    pub fn check_undivided(&self) -> anyhow::Result<()> {
        ensure!(
            self.sites.is_some() || self.dirichlet.is_none(),
            "--dirichlet would change nothing: the data are one site's, and not divided; leave it out"
        );
        Ok(())
    }

    /// How the data are read and divided: as images of this side with these channels.
    ///
    /// # Errors
    /// As [`ReadArgs::imaging`].
    pub fn options(
        &self,
        (side, channels): (usize, Channels),
        seed: u64,
        classes: &[String],
    ) -> anyhow::Result<DataOptions> {
        let unless_told = DataOptions::default();
        Ok(DataOptions {
            side,
            seed,
            sites: self.sites,
            max_per_site: self.max_per_site,
            dirichlet_alpha: self.dirichlet.unwrap_or(unless_told.dirichlet_alpha),
            ignore_split: self.ignore_split,
            classes: classes.to_vec(),
            scanners: self.scanners,
            imaging: self.reading.imaging(channels)?,
            mask: self.reading.mask(),
            ..unless_told
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        data: DataArgs,
    }

    #[test]
    fn without_data_nothing_is_said_of_how_they_are_read() {
        let check = |words: &[&str]| {
            let words = ["demo"].iter().chain(words);
            Only::try_parse_from(words).unwrap().data.check_without_data()
        };
        check(&["--sites", "5", "--max-per-site", "8"]).unwrap();
        for words in [
            &["--dirichlet", "0"][..],
            &["--ignore-split"],
            &["--scanners", "4"],
            &["--window", "-600,1500"],
            &["--axis", "axial"],
            &["--every", "2"],
        ] {
            let error = check(words).unwrap_err().to_string();
            assert!(error.contains(words[0]) && error.contains("--data"), "{error}");
        }
        // What takes every slice, as all do without it, and what is no step.
        for (step, expected) in [("1", "would change nothing"), ("0", "2 or more"), ("x", "got x")]
        {
            let Err(error) = Only::try_parse_from(["demo", "--every", step]) else {
                panic!("--every {step} is taken")
            };
            assert!(error.to_string().contains(expected), "{error}");
        }
        let window = Only::try_parse_from(["demo", "--window", "40,80"]).unwrap().data;
        window.options((16, Channels::Grey), 1, &[]).unwrap();
        let error = window.options((16, Channels::Colour), 1, &[]).unwrap_err().to_string();
        assert!(error.contains("--window would change nothing: images in colour"), "{error}");
        let alone = |words: &[&str]| {
            let words = ["join"].iter().chain(words);
            Only::try_parse_from(words).unwrap().data.check_undivided()
        };
        alone(&["--dirichlet", "0.1", "--sites", "3"]).unwrap();
        alone(&["--ignore-split"]).unwrap();
        let error = alone(&["--dirichlet", "0.1"]).unwrap_err().to_string();
        assert!(error.contains("--dirichlet would change nothing"), "{error}");
        let both = check(&["--scanners", "1", "--axis", "coronal"]).unwrap_err().to_string();
        assert!(both.contains("--scanners, --axis"), "{both}");
    }
}
