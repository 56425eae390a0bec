//! Federated algorithms on a quadratic, where every step is known in closed form. The quadratic is
//! a third task, of which the library knows nothing.

use candle_core::Tensor;
use ringfence_learning::task::{Caption, Panel};
use ringfence_learning::{
    Algorithm, Augmentation, Carried, Checkpoint, LearnError, MetaGradient, Mixture, ModelName,
    Optimizer, Parameters, Part, Personal, Sample, Score, Scores, Task, TrainOptions, Training,
    fine_tune,
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

/// Two halves of a model of one, for what is a site's own: `f(w) = sum_k a_k (w_k - x_k)^2 / 2`, of
/// which `head.w` has the last two values.
struct Halves;

impl Task for Halves {
    fn name(&self) -> &'static str {
        "halves"
    }

    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError> {
        let values = Quadratic.initial_weights(seed)?.into_values();
        Ok(Weights::from_values(&[("body.w".into(), vec![2]), ("head.w".into(), vec![2])], values)?)
    }

    fn check_sample(&self, _: &Sample) -> Result<(), LearnError> {
        Ok(())
    }

    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        let w = Tensor::cat(&[parameters.get("body.w")?, parameters.get("head.w")?], 0)?;
        w.reshape((1, 4))?.broadcast_as((images.dim(0)?, 4))
    }

    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        Quadratic.loss(logits, samples)
    }

    /// The closer the mean output is to 1, the better.
    fn scores(&self, _: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError> {
        let mean = logits.iter().flatten().sum::<f32>() / logits.iter().flatten().count() as f32;
        let value = Some(-f64::from((mean - 1.0).abs()));
        Ok(Scores::new(Score { name: "closeness", value }, Vec::new()))
    }

    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError> {
        Quadratic.picture(sample, logits)
    }
}

fn halves(personal: &Personal, epochs: usize, carried: Carried<'_>) -> Checkpoint {
    let start = Halves.initial_weights(1).unwrap();
    let options = options(Algorithm::FedAvg, epochs);
    let samples = &samples();
    let training = Training { task: &Halves, start: &start, samples, options: &options };
    let carried = Carried { personal: Some(personal), ..carried };
    training.run_carrying(&carried, None, &mut |_| {}, &mut |_| Ok(())).unwrap()
}

#[test]
fn what_is_a_sites_own_is_trained_first_and_then_the_rest() {
    let head = Personal { parts: vec![Part::Head], first_epochs: 2, ..Personal::default() };
    // Two epochs for the last two values, three for the first two.
    let trained = halves(&head, 5, Carried::default()).weights().unwrap();
    let epochs = |a: f64| if a < 1.5 { 3 } else { 2 };
    close(&trained, |a, d| d * (1.0 - BETA * a).powi(epochs(a)));
    // Without turns of their own all move together, as without anything of a site's own.
    let together = Personal { first_epochs: 0, ..head };
    let trained = halves(&together, 5, Carried::default()).weights().unwrap();
    close(&trained, |a, d| d * (1.0 - BETA * a).powi(5));
}

#[test]
fn an_update_is_zero_in_what_is_a_sites_own_and_the_common_model_keeps_it_out() {
    let personal = Personal { parts: vec![Part::Head], ..Personal::default() };
    let common = Halves.initial_weights(1).unwrap();
    let own = Weights::from_values(&common.shapes(), vec![9.0, 8.0, 7.0, 6.0]).unwrap();
    let joined = personal.joined(&common, &own).unwrap();
    assert_eq!(joined.into_values(), [1.0, -2.0, 7.0, 6.0]);
    // The other way round: what moved is sent but for the site's own.
    let sent = personal.joined(&own, &common).unwrap().difference(&common).unwrap();
    assert_eq!(sent.into_values(), [8.0, 10.0, 0.0, 0.0]);
    let none = Personal::default().joined(&common, &own).unwrap();
    assert_eq!(none, common);
}

#[test]
fn moments_that_are_kept_make_two_trainings_one() {
    let momentum = Optimizer::Sgd { momentum: 0.5 };
    for optimizer in [momentum, Optimizer::Adam] {
        let start = Quadratic.initial_weights(1).unwrap();
        let of = |epochs| TrainOptions { optimizer, ..options(Algorithm::FedAvg, epochs) };
        let run = |start: &Weights, epochs, moments| {
            let carried = Carried { moments, ..Carried::default() };
            // One sample: the order of several would differ between the two, and so would rounding.
            training(start, &samples()[..1], &of(epochs))
                .run_carrying(&carried, None, &mut |_| {}, &mut |_| Ok(()))
                .unwrap()
        };
        let whole = run(&start, 4, None).weights().unwrap();
        let half = run(&start, 2, None);
        let middle = half.weights().unwrap();
        assert_eq!(run(&middle, 2, Some(&half)).weights().unwrap(), whole, "{optimizer:?}");
        // Restarted, they are others.
        assert_ne!(run(&middle, 2, None).weights().unwrap(), whole, "{optimizer:?}");
    }
}

#[test]
fn dittos_second_model_is_pulled_to_the_common_one() {
    // From v_0 away from the common w: v <- v - beta (a (v - x) + mu (v - w)), whose fixed point is
    // (a x + mu w) / (a + mu).
    let (mu, steps) = (0.7, 3);
    let start = Quadratic.initial_weights(1).unwrap();
    let common = Weights::from_values(&start.shapes(), vec![2.0, 2.0, -1.0, 0.0]).unwrap();
    let options = options(Algorithm::FedProx { mu }, steps);
    let carried = Carried { anchor: Some(&common), ..Carried::default() };
    let trained = training(&start, &samples(), &options)
        .run_carrying(&carried, None, &mut |_| {}, &mut |_| Ok(()))
        .unwrap();
    let anchors: Vec<f32> = common.values().collect();
    let all = trained.weights().unwrap().into_values();
    for (k, found) in all.iter().enumerate() {
        let (a, x, w) = (f64::from(CURVATURE[k]), MINIMUM[k], f64::from(anchors[k]));
        let fixed = (a * x + mu * w) / (a + mu);
        let first = f64::from(start.values().nth(k).unwrap());
        let expected = fixed + (first - fixed) * (1.0 - BETA * (a + mu)).powi(steps as i32);
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
}

#[test]
fn a_mixtures_weight_is_the_one_that_does_best_and_of_equals_the_sites_own() {
    let of = |value: f32| {
        let start = Halves.initial_weights(1).unwrap();
        Weights::from_values(&start.shapes(), vec![value; 4]).unwrap()
    };
    let (own, other) = (of(0.0), of(4.0));
    // 1 is a quarter of the way from 0 to 4. In tenths 0.8 of the own comes to 0.8, and 0.7 to 1.2, as
    // near but for rounding: the one with more of the own is tried first.
    let (mixture, scores) = Mixture::choose(&Halves, &own, &other, &samples()).unwrap();
    assert!((mixture.weight - 0.8).abs() < 1e-9, "{}", mixture.weight);
    assert!((scores.primary().value.unwrap() + 0.2).abs() < 1e-6);
    let again = mixture.evaluate(&Halves, &samples()).unwrap();
    assert_eq!(again.primary().value, scores.primary().value);
    let (alike, _) = Mixture::choose(&Halves, &own, &own, &samples()).unwrap();
    assert!((alike.weight - 1.0).abs() < 1e-9);
    assert!(Mixture::choose(&Halves, &own, &other, &[]).is_err());
}

#[test]
fn what_cannot_be_a_sites_own_is_refused() {
    let refused = |personal: Personal, algorithm, model| {
        personal.check(model, &options(algorithm, 2)).unwrap_err().to_string()
    };
    let head = Personal { parts: vec![Part::Head], ..Personal::default() };
    let unet = ModelName::UnetLight;
    head.check(unet, &options(Algorithm::FedAvg, 2)).unwrap();
    let too_many = Personal { first_epochs: 2, ..head.clone() };
    assert!(refused(too_many, Algorithm::FedAvg, unet).contains("personal.first_epochs"));
    let nothing = Personal { first_epochs: 1, ..Personal::default() };
    assert!(refused(nothing, Algorithm::FedAvg, unet).contains("personal.first_epochs"));
    let pushed = Personal { ditto: Some(-1.0), ..Personal::default() };
    assert!(refused(pushed, Algorithm::FedAvg, unet).contains("personal.ditto"));
    let norm = Personal { parts: vec![Part::Norm], ..Personal::default() };
    assert!(refused(norm, Algorithm::FedAvg, ModelName::Dense).contains("normalisation"));
    let meta = Algorithm::PerFedAvg { alpha: ALPHA, meta: MetaGradient::FirstOrder };
    assert!(refused(head, meta, unet).contains("fedavg or fedprox"));
}
