//! Which input pixel each tap of a convolution's kernel meets.

use candle_core::{Result, bail};

use super::settings::Conv2d;

/// No pixel: the tap meets the padding.
pub(crate) const NONE: u32 = u32::MAX;

/// A convolution's sizes in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(super) input: (usize, usize),
    pub(super) kernel: (usize, usize),
    pub(crate) output: (usize, usize),
    settings: Conv2d,
}

impl Window {
    /// # Errors
    /// When a setting is zero, or the kernel does not fit into the padded image.
    pub(super) fn new(
        settings: Conv2d,
        input: (usize, usize),
        kernel: (usize, usize),
    ) -> Result<Self> {
        let Conv2d { stride, padding, dilation, .. } = settings;
        let side = |input: usize, kernel: usize| {
            let reach = kernel.checked_sub(1)?.checked_mul(dilation)?;
            let free = (input + 2 * padding).checked_sub(reach + 1)?;
            Some(free.checked_div(stride)? + 1)
        };
        match (side(input.0, kernel.0), side(input.1, kernel.1)) {
            (Some(h), Some(w)) if dilation > 0 => {
                let pixels = input.0.max(h).saturating_mul(input.1.max(w));
                if pixels >= NONE as usize {
                    bail!("expected an image of fewer than 2^32 - 1 pixels, found {input:?}");
                }
                Ok(Self { input, kernel, output: (h, w), settings })
            }
            _ => bail!(
                "expected a kernel that fits into the padded image, found an image {input:?}, a kernel {kernel:?} and {settings:?}"
            ),
        }
    }

    /// The padding, if the kernel is 3x3 of neighbours, moves pixel by pixel, and meets no more padding
    /// than image.
    pub(super) fn padding_of_three(&self) -> Option<usize> {
        let Conv2d { stride, padding, dilation, .. } = self.settings;
        (self.kernel == (3, 3) && (stride, dilation) == (1, 1) && padding < 3).then_some(padding)
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    pub(super) fn inputs(&self) -> usize {
        self.input.0 * self.input.1
    }

    pub(super) fn outputs(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// `[output pixel][tap]`: the input pixel that the tap is multiplied with.
    pub(super) fn inputs_of_outputs(&self) -> Vec<u32> {
        let mut table = vec![NONE; self.outputs() * self.taps()];
        self.pairs(|output, tap, input| {
            if let Some(entry) = table.get_mut(output * self.taps() + tap) {
                *entry = input as u32;
            }
        });
        table
    }

    /// `[tap][output pixel]`: the same, a tap at a time.
    pub(super) fn inputs_of_taps(&self) -> Vec<u32> {
        let mut table = vec![NONE; self.outputs() * self.taps()];
        self.pairs(|output, tap, input| {
            if let Some(entry) = table.get_mut(tap * self.outputs() + output) {
                *entry = input as u32;
            }
        });
        table
    }

    /// `[input pixel][tap]`: the output pixel to which the input pixel goes through the tap.
    pub(super) fn outputs_of_inputs(&self) -> Vec<u32> {
        let mut table = vec![NONE; self.inputs() * self.taps()];
        self.pairs(|output, tap, input| {
            if let Some(entry) = table.get_mut(input * self.taps() + tap) {
                *entry = output as u32;
            }
        });
        table
    }

    /// Every `(output pixel, tap, input pixel)` that belongs together.
    fn pairs(&self, mut found: impl FnMut(usize, usize, usize)) {
        let Conv2d { stride, padding, dilation, .. } = self.settings;
        let place = |output: usize, tap: usize, side: usize| {
            (output * stride + tap * dilation).checked_sub(padding).filter(|at| *at < side)
        };
        for y in 0..self.output.0 {
            for x in 0..self.output.1 {
                for i in 0..self.kernel.0 {
                    let Some(from_y) = place(y, i, self.input.0) else { continue };
                    for j in 0..self.kernel.1 {
                        let Some(from_x) = place(x, j, self.input.1) else { continue };
                        found(
                            y * self.output.1 + x,
                            i * self.kernel.1 + j,
                            from_y * self.input.1 + from_x,
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taps_of_a_strided_dilated_window_meet_the_pixels_of_the_definition() {
        let settings = Conv2d { stride: 2, padding: 1, dilation: 2, groups: 1 };
        let window = Window::new(settings, (7, 5), (3, 3)).unwrap();
        // (7 + 2 - 4 - 1) / 2 + 1 and (5 + 2 - 4 - 1) / 2 + 1.
        assert_eq!(window.output, (3, 2));
        let table = window.inputs_of_outputs();
        // Output (1, 1), taps (0..3, 0..3): rows 2 - 1 + {0, 2, 4}, columns the same.
        let found = &table[(2 + 1) * 9..(2 + 1) * 9 + 9];
        assert_eq!(found, [6, 8, NONE, 16, 18, NONE, 26, 28, NONE]);
        let back = window.outputs_of_inputs();
        for (output, inputs) in table.chunks(9).enumerate() {
            for (tap, input) in inputs.iter().enumerate().filter(|(_, input)| **input != NONE) {
                assert_eq!(back[*input as usize * 9 + tap] as usize, output);
            }
        }
        let count = |table: &[u32]| table.iter().filter(|entry| **entry != NONE).count();
        assert_eq!(count(&table), count(&back));
    }

    #[test]
    fn kernels_that_do_not_fit_are_refused() {
        let settings = Conv2d::default();
        assert!(Window::new(settings, (4, 4), (5, 5)).is_err());
        assert!(Window::new(settings, (4, 4), (0, 1)).is_err());
        assert!(Window::new(Conv2d { stride: 0, ..settings }, (4, 4), (1, 1)).is_err());
        assert!(Window::new(Conv2d { dilation: 0, ..settings }, (4, 4), (3, 3)).is_err());
        assert!(Window::new(Conv2d { padding: 1, ..settings }, (4, 4), (5, 5)).is_ok());
    }
}
