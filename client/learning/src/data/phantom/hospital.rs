//! How the hospitals of generated phantoms differ: scanner, export and cases.
//!
//! These numbers were written down before any training was chosen on the phantoms, from published
//! ranges where there are any, and are not to be changed to make a method look better.
//!
//! | what | range here | from |
//! | --- | --- | --- |
//! | slice thickness | 1 to 5 mm | 1 and 5 mm: Hwang et al., Korean J. Radiol. 13 (2012) 711 |
//! | noise, soft kernel | 16 HU | 16.0 and 17.7 HU: Pontana et al., Diagn. Interv. Imaging 96 (2015) 487 |
//! | noise, lung kernel | 30 and 38 HU | 29.8 ± 6.8 (iterative, 40 % of the dose) and 38.0 ± 9.0 HU (filtered back-projection): ibid. |
//! | noise, screening | 23 and 40 HU | 23.4 HU, noise indices 15 to 40: Chen et al., PLOS ONE 9 (2014) e92414 |
//! | kernel | 0.7 to 1.3 mm | this project's choice; that a kernel is a Gaussian: Nickoloff and Riley, Med. Phys. 12 (1985) 437 |
//! | window, level / width | -600 / 1500 and 1600, -500 / 1500 HU | the usual lung windows |
//! | | -500 / 2000 HU | Maguire et al., J. Comput. Assist. Tomogr. 17 (1993) 847 |
//! | | -300 / 1800 HU | -1200 to 600 HU, for machine learning: Liao et al., IEEE Trans. Neural Netw. Learn. Syst. (2019), doi 10.1109/TNNLS.2019.2892409 |
//! | patients without a lesion | 10 to 40 % | 56 % (days 0 to 2) to 9 % (days 3 to 5): Bernheim et al., Radiology (2020), doi 10.1148/radiol.2020200463 |
//! | lesions that are consolidation | 18 to 48 % | this project's choice; 17 % of early patients have one, 55 % some days later: ibid. |
//! | number and size of lesions | 3 to 5, radius 19 to 33 mm | this project's choice: large enough to be seen at 64 px |
//!
//! Noise is that of the exported pixels. Bringing an image of 512 px down to 64 px by averaging
//! would take most of it away; that is not done, so that scanners differ by more here, not less.
//! Kernels are narrower than a pixel up to 256 px and blur nothing there.

use rand::{Rng, RngExt};

use super::anatomy::Cases;

/// Side of the field of view: the phantom's coordinates -1 to 1, mm. This project's choice.
const FIELD_OF_VIEW: f32 = 350.0;

/// A hospital: how it scans, how it shows its scans, and the cases it sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hospital {
    /// Slice thickness, mm.
    pub(super) thickness: usize,
    /// Standard deviation of the noise in a pixel, HU.
    pub(super) noise: f32,
    /// Width of the reconstruction kernel's point spread at half its height, mm.
    pub(super) kernel: f32,
    pub(super) window: Window,
    pub(super) cases: Cases,
}

/// Which Hounsfield units are shown: black at `level - width / 2`, white at `level + width / 2`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) level: f32,
    pub(super) width: f32,
}

impl Window {
    /// The grey value of a Hounsfield unit, a multiple of 1/255 from 0 to 1.
    pub(super) fn grey(self, hounsfield: f32) -> f32 {
        let grey = ((hounsfield - self.level) / self.width + 0.5).clamp(0.0, 1.0);
        (grey * 255.0).round() / 255.0
    }
}

impl Hospital {
    /// No two patients are scanned alike: dose follows the body (a quarter of the noise, as in
    /// Pontana et al.), and whoever exports the images chooses the window by eye (this project's
    /// choice of how much). Three patients do not show all of it.
    pub(super) fn for_patient(self, rng: &mut impl Rng) -> Self {
        let level = self.window.level + rng.random_range(-120.0..120.0);
        let width = self.window.width * rng.random_range(0.8..1.25);
        let noise = self.noise * rng.random_range(0.7..1.4);
        Self { window: Window { level, width }, noise, ..self }
    }

    /// Pixels of the detector's grid for one of an image of `side` pixels: fewer where the kernel
    /// is wider than a pixel.
    pub(super) fn resolution(&self, side: usize) -> f32 {
        (FIELD_OF_VIEW / side as f32 / self.kernel).min(1.0)
    }
}

/// The hospitals, in turn.
pub(super) const HOSPITALS: [Hospital; 5] = [
    // Thin slices, lung kernel, iterative reconstruction.
    Hospital {
        thickness: 1,
        noise: 30.0,
        kernel: 0.7,
        window: Window { level: -600.0, width: 1500.0 },
        cases: Cases { lesions: 3.0, radius: 0.15, consolidation: 0.3, healthy: 0.2 },
    },
    // Thick slices, soft kernel.
    Hospital {
        thickness: 5,
        noise: 16.0,
        kernel: 1.3,
        window: Window { level: -500.0, width: 1500.0 },
        cases: Cases { lesions: 3.0, radius: 0.14, consolidation: 0.18, healthy: 0.3 },
    },
    // The lowest dose; severe cases.
    Hospital {
        thickness: 1,
        noise: 40.0,
        kernel: 0.7,
        window: Window { level: -600.0, width: 1600.0 },
        cases: Cases { lesions: 5.0, radius: 0.19, consolidation: 0.48, healthy: 0.1 },
    },
    // Low dose with iterative reconstruction, exported for machine learning.
    Hospital {
        thickness: 3,
        noise: 23.0,
        kernel: 1.0,
        window: Window { level: -300.0, width: 1800.0 },
        cases: Cases { lesions: 3.0, radius: 0.13, consolidation: 0.36, healthy: 0.2 },
    },
    // Lung kernel, filtered back-projection, a wide window; early cases.
    Hospital {
        thickness: 2,
        noise: 38.0,
        kernel: 0.8,
        window: Window { level: -500.0, width: 2000.0 },
        cases: Cases { lesions: 3.0, radius: 0.11, consolidation: 0.24, healthy: 0.4 },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hospitals_keep_to_the_ranges_that_are_written_down() {
        for hospital in HOSPITALS {
            let Hospital { thickness, noise, kernel, window, cases } = hospital;
            assert!((1..=5).contains(&thickness), "{hospital:?}");
            assert!((16.0..=40.0).contains(&noise), "{hospital:?}");
            assert!((0.7..=1.3).contains(&kernel), "{hospital:?}");
            assert!((-600.0..=-300.0).contains(&window.level), "{hospital:?}");
            assert!((1500.0..=2000.0).contains(&window.width), "{hospital:?}");
            assert!((0.09..=0.56).contains(&cases.healthy), "{hospital:?}");
            assert!((0.17..=0.55).contains(&cases.consolidation), "{hospital:?}");
        }
    }

    #[test]
    fn a_kernel_blurs_only_where_it_is_wider_than_a_pixel() {
        let hospital = Hospital { kernel: 1.3, ..HOSPITALS[1] };
        assert_eq!([64, 256].map(|side| hospital.resolution(side)), [1.0, 1.0]);
        // 350 mm / 512 = 0.684 mm a pixel.
        assert!((hospital.resolution(512) - 0.684 / 1.3).abs() < 1e-3);
    }

    #[test]
    fn a_window_is_black_and_white_at_its_ends() {
        let window = Window { level: -600.0, width: 1500.0 };
        let greys = [-2000.0, -1350.0, -600.0, 150.0, 1000.0].map(|value| window.grey(value));
        assert_eq!(greys, [0.0, 0.0, 128.0 / 255.0, 1.0, 1.0]);
    }
}
