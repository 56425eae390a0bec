//! Federated algorithms on a quadratic, where every step is known in closed form. The quadratic is
//! a third task, of which the library knows nothing.

use candle_core::Tensor;
use ringfence_learning::task::{Caption, Panel};
use ringfence_learning::{
    Algorithm, Augmentation, LearnError, MetaGradient, Optimizer, Parameters, Sample, Score,
    Scores, Task, TrainOptions, Training, fine_tune,
};
use ringfence_weights::Weights;

/// `f(w) = sum_k a_k (w_k - x_k)^2 / 2` for a sample `x`: gradient `a (w - x)`, Hessian `diag(a)`.
pub(crate) struct Quadratic;

const CURVATURE: [f32; 4] = [0.5, 1.0, 2.0, 4.0];

impl Task for Quadratic {
    fn name(&self) -> &'static str {
        "quadratic"
    }

    fn initial_weights(&self, _: u64) -> Result<Weights, LearnError> {
        Ok(Weights::from_values(&[("w".into(), vec![4])], vec![1.0, -2.0, 3.0, 0.5])?)
    }

    fn check_sample(&self, _: &Sample) -> Result<(), LearnError> {
        Ok(())
    }

    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        parameters.get("w")?.reshape((1, 4))?.broadcast_as((images.dim(0)?, 4))
    }

    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        let wanted: Vec<f32> = samples.iter().flat_map(|sample| sample.image.clone()).collect();
        let device = logits.device();
        let wanted = Tensor::from_vec(wanted, (samples.len(), 4), device)?;
        let curvature = Tensor::new(&CURVATURE, device)?;
        let squares = (logits - wanted)?.sqr()?.broadcast_mul(&curvature)?;
        Ok((squares.sum_all()? / (2.0 * samples.len() as f64))?)
    }

    fn scores(&self, _: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError> {
        let value = Some(f64::from(logits.len() as u32));
        Ok(Scores::new(Score { name: "samples", value }, Vec::new()))
    }

    fn picture(&self, _: &Sample, _: Option<&[f32]>) -> Result<Panel, LearnError> {
        Ok(Panel { picture: None, caption: Caption::Text(String::new()), right: None })
    }
}

fn samples() -> Vec<Sample> {
    let wanted = [[0.0, 1.0, 0.5, 0.25], [2.0, 0.0, -0.5, 0.75], [1.0, 0.5, 0.75, -0.5]];
    let sample = |(k, image): (usize, &[f32; 4])| Sample {
        name: k.to_string(),
        group: k.to_string(),
        image: image.to_vec(),
        label: None,
        mask: None,
        own_mask: None,
    };
    wanted.iter().enumerate().map(sample).collect()
}

/// Mean of the samples: the minimum.
const MINIMUM: [f64; 4] = [1.0, 0.5, 0.25, 0.5 / 3.0];

fn options(algorithm: Algorithm, steps: usize) -> TrainOptions {
    let optimizer = Optimizer::Sgd { momentum: 0.0 };
    // Every batch is all samples, so that nothing depends on their order.
    TrainOptions {
        algorithm,
        epochs: steps,
        batch: 3,
        learning_rate: 0.1,
        optimizer,
        augmentation: Augmentation::default(),
        seed: 4,
    }
}

fn trained(algorithm: Algorithm, steps: usize) -> Weights {
    let start = Quadratic.initial_weights(1).unwrap();
    training(&start, &samples(), &options(algorithm, steps)).run(&mut |_| {}).unwrap()
}

fn training<'a>(
    start: &'a Weights,
    samples: &'a [Sample],
    options: &'a TrainOptions,
) -> Training<'a> {
    Training { task: &Quadratic, start, samples, options }
}

/// `w_k = x_k + factor(a_k, distance of the start)`.
fn close(weights: &Weights, distance: impl Fn(f64, f64) -> f64) {
    let start = Quadratic.initial_weights(1).unwrap();
    for (((found, start), minimum), a) in
        weights.values().zip(start.values()).zip(MINIMUM).zip(CURVATURE)
    {
        let expected = minimum + distance(f64::from(a), f64::from(start) - minimum);
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
}

const ALPHA: f64 = 0.15;
const BETA: f64 = 0.1;

#[test]
fn fed_avg_descends_the_loss() {
    close(&trained(Algorithm::FedAvg, 5), |a, d| d * (1.0 - BETA * a).powi(5));
}

#[test]
fn fed_prox_is_pulled_to_the_start() {
    let mu = 0.7;
    // With u_t = w_t - w_0: u_{t+1} = u_t - beta (a (d + u_t) + mu u_t), a geometric series.
    close(&trained(Algorithm::FedProx { mu }, 4), |a, d| {
        let kept = 1.0 - BETA * (a + mu);
        d - BETA * a * d * (1.0 - kept.powi(4)) / (1.0 - kept)
    });
    assert_eq!(trained(Algorithm::FedProx { mu: 0.0 }, 3), trained(Algorithm::FedAvg, 3));
}

#[test]
fn per_fed_avg_first_order_descends_the_loss_after_a_step() {
    let algorithm = Algorithm::PerFedAvg { alpha: ALPHA, meta: MetaGradient::FirstOrder };
    close(&trained(algorithm, 5), |a, d| d * (1.0 - BETA * a * (1.0 - ALPHA * a)).powi(5));
}

#[test]
fn per_fed_avg_hessian_free_has_the_whole_derivative() {
    let meta = MetaGradient::HessianFree { delta: 0.1 };
    let algorithm = Algorithm::PerFedAvg { alpha: ALPHA, meta };
    close(&trained(algorithm, 5), |a, d| d * (1.0 - BETA * a * (1.0 - ALPHA * a).powi(2)).powi(5));
}

#[test]
fn fine_tuning_is_one_step_on_all_samples() {
    let start = Quadratic.initial_weights(1).unwrap();
    let tuned = |steps| fine_tune(&Quadratic, &start, &samples(), ALPHA, steps).unwrap();
    close(&tuned(1), |a, d| d * (1.0 - ALPHA * a));
    close(&tuned(3), |a, d| d * (1.0 - ALPHA * a).powi(3));
    assert_eq!(tuned(0), start);
    let refused = |samples: &[Sample], alpha| {
        fine_tune(&Quadratic, &start, samples, alpha, 1).unwrap_err().to_string()
    };
    assert!(refused(&[], 0.1).contains("no sample"));
    assert!(refused(&samples(), -1.0).contains("`alpha`"));
    // 2 |1 - alpha a|^steps overflows 32-bit floats.
    assert!(fine_tune(&Quadratic, &start, &samples(), 1e9, 9).is_err());
}

#[test]
fn equal_seeds_give_equal_bits() {
    let meta = [MetaGradient::FirstOrder, MetaGradient::HessianFree { delta: 0.01 }];
    let algorithms = meta.map(|meta| Algorithm::PerFedAvg { alpha: ALPHA, meta });
    for algorithm in
        [Algorithm::FedAvg, Algorithm::FedProx { mu: 0.1 }, algorithms[0], algorithms[1]]
    {
        let once = |seed| {
            let start = Quadratic.initial_weights(1).unwrap();
            let options = TrainOptions { batch: 1, seed, ..options(algorithm, 3) };
            training(&start, &samples(), &options).run(&mut |_| {}).unwrap()
        };
        assert_eq!(once(1), once(1), "{algorithm:?}");
        assert_ne!(once(1), once(2), "{algorithm:?}: the order of batches matters");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let start = Quadratic.initial_weights(1).unwrap();
    let refused = |algorithm, name: &str| {
        let options = options(algorithm, 1);
        let error = training(&start, &samples(), &options).run(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    };
    refused(Algorithm::FedProx { mu: -1.0 }, "`mu`");
    refused(Algorithm::FedProx { mu: f64::NAN }, "`mu`");
    let meta = MetaGradient::FirstOrder;
    refused(Algorithm::PerFedAvg { alpha: 0.0, meta }, "`alpha`");
    let meta = MetaGradient::HessianFree { delta: 0.0 };
    refused(Algorithm::PerFedAvg { alpha: 0.1, meta }, "`delta`");
}
