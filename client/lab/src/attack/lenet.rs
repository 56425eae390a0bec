//! The sigmoid LeNet in doubles, with its gradients and what second derivatives an attack needs.
//!
//! The distance of two gradients, `D(x) = |g(x) - g*|^2`, has the gradient
//! `dD/dx = d/de grad_x L(x; w + e v)` at `e = 0`, with `v = 2 (g - g*)` held fixed: the derivative of
//! a first-order gradient along a direction of the weights. So the backward pass is computed once
//! more with numbers that carry that derivative ([`Dual`]). No second derivative is written down.

use anyhow::ensure;
use ringfence_weights::Weights;

use super::number::{Dual, Number};

/// Channels of the convolutions, and the side of their kernels.
const WIDTH: usize = 12;
const KERNEL: usize = 5;
const STRIDES: [usize; 3] = [2, 2, 1];

/// The network of `ringfence_learning::Classification::sigmoid_lenet` on grey images.
#[derive(Clone, Debug)]
pub(super) struct Lenet {
    layers: Vec<Layer>,
    head: Head,
    weights: Vec<f64>,
}

/// A convolution with a sigmoid after it.
#[derive(Clone, Copy, Debug)]
struct Layer {
    bias: usize,
    kernel: usize,
    stride: usize,
    input: usize,
    channels: usize,
    output: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    bias: usize,
    kernel: usize,
    inputs: usize,
    classes: usize,
}

/// Gradients of the cross-entropy of a softmax of `labels`.
pub(super) struct Gradients<N> {
    /// For the weights, in the order of their layout.
    pub(super) weights: Vec<N>,
    /// For the image.
    pub(super) image: Vec<N>,
    /// For the logits of the label.
    pub(super) labels: Vec<N>,
}

/// How far the gradient is from an observed one.
pub(super) struct Distance {
    /// `|g - g*|^2`.
    pub(super) value: f64,
    /// Its gradient for the image.
    pub(super) image: Vec<f64>,
    /// Its gradient for the logits of the label.
    pub(super) labels: Vec<f64>,
}

impl Lenet {
    /// # Errors
    /// When the weights are of another model.
    pub(super) fn new(weights: &Weights, side: usize) -> anyhow::Result<Self> {
        let (mut place, mut at) = (0, std::collections::BTreeMap::new());
        for (name, shape, values) in weights.iter() {
            at.insert(name, (place, shape.to_vec()));
            place += values.len();
        }
        let find = |name: &str, shape: &[Option<usize>]| -> anyhow::Result<(usize, Vec<usize>)> {
            let found = at.get(name).filter(|(_, found)| {
                let fits =
                    |(found, side): (&usize, &Option<usize>)| side.is_none_or(|s| s == *found);
                found.len() == shape.len() && found.iter().zip(shape).all(fits)
            });
            ensure!(
                found.is_some(),
                "the attacks dlg and idlg expected the sigmoid LeNet, whose `{name}` has the shape {shape:?}; the weights are of another model: --attack inverting takes any of the project's"
            );
            Ok(found.cloned().unwrap_or_default())
        };
        let (mut layers, mut input, mut channels) = (Vec::new(), side, 1);
        for (depth, stride) in STRIDES.into_iter().enumerate() {
            let (bias, _) = find(&format!("block{depth}.conv.bias"), &[Some(WIDTH)])?;
            let shape = [Some(WIDTH), Some(channels), Some(KERNEL), Some(KERNEL)];
            let (kernel, _) = find(&format!("block{depth}.conv.kernel"), &shape)?;
            let output = input.div_ceil(stride);
            layers.push(Layer { bias, kernel, stride, input, channels, output });
            (input, channels) = (output, WIDTH);
        }
        let inputs = WIDTH * input * input;
        let (kernel, shape) = find("head.kernel", &[None, Some(inputs)])?;
        let classes = shape.first().copied().unwrap_or_default();
        let (bias, _) = find("head.bias", &[Some(classes)])?;
        let head = Head { bias, kernel, inputs, classes };
        Ok(Self { layers, head, weights: weights.values().map(f64::from).collect() })
    }

    /// How many classes there are.
    pub(super) fn classes(&self) -> usize {
        self.head.classes
    }

    /// How many pixels an image has.
    pub(super) fn pixels(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.input * layer.input)
    }

    /// Gradients at these weights.
    pub(super) fn gradients(&self, image: &[f64], labels: &[f64]) -> Gradients<f64> {
        self.gradients_of(&self.weights, image, labels)
    }

    /// How far the gradient of an image and a label is from an observed one.
    pub(super) fn distance(&self, image: &[f64], labels: &[f64], observed: &[f32]) -> Distance {
        let found = self.gradients(image, labels);
        let away = |(g, o): (&f64, &f32)| g - f64::from(*o);
        let away: Vec<f64> = found.weights.iter().zip(observed).map(away).collect();
        let value = away.iter().map(|away| away * away).sum();
        let moving = |(value, away): (&f64, &f64)| Dual { value: *value, derivative: 2.0 * away };
        let moving: Vec<Dual> = self.weights.iter().zip(&away).map(moving).collect();
        let moved = self.gradients_of(&moving, image, labels);
        let derivatives = |all: Vec<Dual>| all.into_iter().map(|dual| dual.derivative).collect();
        Distance { value, image: derivatives(moved.image), labels: derivatives(moved.labels) }
    }

    fn gradients_of<N: Number>(
        &self,
        weights: &[N],
        image: &[f64],
        labels: &[f64],
    ) -> Gradients<N> {
        let mut activations = vec![image.iter().map(|v| N::from(*v)).collect::<Vec<N>>()];
        for layer in &self.layers {
            let next = layer.forward(weights, activations.last().map_or(&[][..], Vec::as_slice));
            activations.push(next);
        }
        let Head { bias, kernel, inputs, classes } = self.head;
        let last = activations.last().map_or(&[][..], Vec::as_slice);
        let logits: Vec<N> = (0..classes)
            .map(|class| {
                let row = &weights[kernel + class * inputs..][..inputs];
                row.iter().zip(last).fold(weights[bias + class], |sum, (w, a)| sum + *w * *a)
            })
            .collect();
        let shares = softmax(&logits);
        let wide: Vec<N> = labels.iter().map(|v| N::from(*v)).collect();
        let truth = softmax(&wide);

        let mut gradients = vec![N::from(0.0); weights.len()];
        let mut back = vec![N::from(0.0); inputs];
        for class in 0..classes {
            let slope = shares[class] - truth[class];
            gradients[bias + class] += slope;
            let place = kernel + class * inputs;
            for input in 0..inputs {
                gradients[place + input] += slope * last[input];
                back[input] += slope * weights[place + input];
            }
        }
        // L = -sum y ln p, y = softmax(l): dL/dl_i = y_i (-ln p_i - L).
        let costs: Vec<N> = shares.iter().map(|share| -share.ln()).collect();
        let loss = truth.iter().zip(&costs).fold(N::from(0.0), |sum, (y, c)| sum + *y * *c);
        let of_labels = truth.iter().zip(&costs).map(|(y, cost)| *y * (*cost - loss)).collect();
        for (depth, layer) in self.layers.iter().enumerate().rev() {
            let pass = Pass { input: &activations[depth], output: &activations[depth + 1], back };
            back = layer.backward(weights, pass, &mut gradients);
        }
        Gradients { weights: gradients, image: back, labels: of_labels }
    }
}

/// What a layer got and gave, and the gradient for what it gave.
struct Pass<'a, N> {
    input: &'a [N],
    output: &'a [N],
    back: Vec<N>,
}

impl Layer {
    /// Calls `each(output pixel, input pixel, tap)` for all pairs that meet on the image.
    fn pairs(&self, mut each: impl FnMut(usize, usize, usize)) {
        let Self { stride, input, output, .. } = *self;
        let padding = KERNEL / 2;
        for y in 0..output {
            for x in 0..output {
                for tap in 0..KERNEL * KERNEL {
                    let (iy, ix) = (y * stride + tap / KERNEL, x * stride + tap % KERNEL);
                    let inside = |at: usize| (padding..input + padding).contains(&at);
                    if inside(iy) && inside(ix) {
                        let from = (iy - padding) * input + ix - padding;
                        each(y * output + x, from, tap);
                    }
                }
            }
        }
    }

    /// The weights' places of this layer by tap: `[tap][channel][output channel]`.
    fn by_tap<N: Number>(&self, weights: &[N]) -> Vec<N> {
        let taps = KERNEL * KERNEL;
        let mut out = Vec::with_capacity(taps * self.channels * WIDTH);
        for tap in 0..taps {
            for channel in 0..self.channels {
                for to in 0..WIDTH {
                    out.push(weights[self.kernel + (to * self.channels + channel) * taps + tap]);
                }
            }
        }
        out
    }

    fn forward<N: Number>(&self, weights: &[N], image: &[N]) -> Vec<N> {
        let Self { channels, output, bias, .. } = *self;
        let kernel = self.by_tap(weights);
        let bias = &weights[bias..][..WIDTH];
        let mut out: Vec<N> = bias.iter().copied().cycle().take(output * output * WIDTH).collect();
        self.pairs(|to, from, tap| {
            let out = &mut out[to * WIDTH..][..WIDTH];
            for channel in 0..channels {
                let value = image[from * channels + channel];
                let row = &kernel[(tap * channels + channel) * WIDTH..][..WIDTH];
                out.iter_mut().zip(row).for_each(|(out, weight)| *out += value * *weight);
            }
        });
        // Sigmoid.
        out.iter_mut().for_each(|z| *z = (N::from(1.0) + (-*z).exp()).inverse());
        out
    }

    fn backward<N: Number>(&self, weights: &[N], pass: Pass<'_, N>, gradients: &mut [N]) -> Vec<N> {
        let Self { channels, bias, kernel, input, .. } = *self;
        let Pass { input: image, output: active, mut back } = pass;
        for (back, a) in back.iter_mut().zip(active) {
            *back = *back * *a * (N::from(1.0) - *a);
        }
        for pixel in back.chunks_exact(WIDTH) {
            let of_bias = &mut gradients[bias..][..WIDTH];
            of_bias.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += *value);
        }
        let by_tap = self.by_tap(weights);
        let mut of_kernel = vec![N::from(0.0); by_tap.len()];
        let mut of_image = vec![N::from(0.0); input * input * channels];
        self.pairs(|to, from, tap| {
            let back = &back[to * WIDTH..][..WIDTH];
            for channel in 0..channels {
                let value = image[from * channels + channel];
                let at = (tap * channels + channel) * WIDTH;
                let mut sum = N::from(0.0);
                let (row, of_row) = (&by_tap[at..][..WIDTH], &mut of_kernel[at..][..WIDTH]);
                for ((back, weight), of_weight) in back.iter().zip(row).zip(of_row) {
                    sum += *back * *weight;
                    *of_weight += *back * value;
                }
                of_image[from * channels + channel] += sum;
            }
        });
        let taps = KERNEL * KERNEL;
        for (place, value) in of_kernel.into_iter().enumerate() {
            let (rest, to) = (place / WIDTH, place % WIDTH);
            let (tap, channel) = (rest / channels, rest % channels);
            gradients[kernel + (to * channels + channel) * taps + tap] += value;
        }
        of_image
    }
}

/// Shares that add up to one. Logits this far from overflow only lose what rounding takes anyway.
fn softmax<N: Number>(logits: &[N]) -> Vec<N> {
    let most = logits.iter().map(|z| z.value()).fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<N> = logits.iter().map(|z| (*z - N::from(most)).exp()).collect();
    let total = powers.iter().fold(N::from(0.0), |sum, power| sum + *power).inverse();
    powers.into_iter().map(|power| power * total).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha20Rng;
    use rand::{RngExt, SeedableRng};
    use ringfence_learning::{Classification, Sample, Task, batch_gradient, model_input};

    use super::*;

    fn setting() -> (Classification, Weights, Sample) {
        let classes = ["one", "other", "third"].map(String::from);
        let task = Classification::sigmoid_lenet(16, &classes).unwrap();
        let weights = task.initial_weights(3).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let image = (0..256).map(|_| rng.random()).collect();
        let (label, mask, own_mask) = (Some(1), None, None);
        let sample = Sample { name: "s".into(), group: "g".into(), image, label, mask, own_mask };
        (task, weights, sample)
    }

    #[test]
    fn gradients_are_those_of_the_trainer() {
        let (task, weights, sample) = setting();
        let lenet = Lenet::new(&weights, 16).unwrap();
        let input: Vec<f64> = model_input(&sample).unwrap().into_iter().map(f64::from).collect();
        // As good as a one.
        let found = lenet.gradients(&input, &[0.0, 60.0, 0.0]).weights;
        let expected = batch_gradient(&task, &weights, &[sample]).unwrap();
        assert_eq!(found.len(), expected.len());
        let length = expected.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let expected = f64::from(*expected);
            assert!((found - expected).abs() < 1e-6 * length, "{place}: {found} {expected}");
        }
    }

    #[test]
    fn the_gradient_of_the_distance_equals_finite_differences() {
        let (task, weights, sample) = setting();
        let lenet = Lenet::new(&weights, 16).unwrap();
        let observed = batch_gradient(&task, &weights, &[sample]).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let mut normal =
            |count| -> Vec<f64> { (0..count).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect() };
        let (image, labels) = (normal(256), normal(3));
        let at = lenet.distance(&image, &labels, &observed);
        for _ in 0..3 {
            let (along, along_labels) = (normal(256), normal(3));
            let moved = |step: f64| {
                let add = |values: &[f64], along: &[f64]| -> Vec<f64> {
                    values.iter().zip(along).map(|(v, a)| v + step * a).collect()
                };
                lenet.distance(&add(&image, &along), &add(&labels, &along_labels), &observed).value
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let exact = product(&at.image, &along) + product(&at.labels, &along_labels);
            assert!((slope - exact).abs() < 1e-6 * exact.abs().max(1e-3), "{slope} {exact}");
        }
    }

    #[test]
    fn another_models_weights_are_refused_with_the_attack_that_takes_them() {
        let classes = ["one", "other"].map(String::from);
        let weights = Classification::light(16, &classes).unwrap().initial_weights(1).unwrap();
        let error = Lenet::new(&weights, 16).unwrap_err().to_string();
        assert!(error.contains("block0.conv.bias") && error.contains("inverting"), "{error}");
    }
}
