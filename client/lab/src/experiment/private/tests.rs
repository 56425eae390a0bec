//! What noise levels become, and what is refused before anything trains.

use clap::Parser;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::{FineTuning, ModelName, Simulation, TaskName, TrainOptions, TrainingPlan};
use ringfence_privacy::{Accountant, Mechanism, epsilon};
use ringfence_weights::MeanStep;

use super::*;

#[derive(Parser)]
struct Only {
    #[command(flatten)]
    private: PrivateArgs,
}

fn args(words: &str) -> PrivateArgs {
    let words = ["lab"].into_iter().chain(words.split_whitespace());
    Only::try_parse_from(words).unwrap().private
}

fn refused(words: &str) -> String {
    let args = args(words);
    let plan = plan();
    let mut dataset = dataset();
    args.regroup(&mut dataset);
    let of = |level: &Level| args.of(*level, &plan, &dataset).map(|_| ());
    let all = || -> anyhow::Result<()> {
        args.check(&[MethodName::Fedavg], false)?;
        args.levels().iter().try_for_each(of)
    };
    format!("{:#}", all().unwrap_err())
}

/// Three hospitals of phantoms, several slices of each patient.
fn dataset() -> Dataset {
    let options = PhantomOptions { side: 16, sites: 3, ..PhantomOptions::default() };
    phantom::generate(&options).unwrap()
}

fn plan() -> TrainingPlan {
    let task = TaskName::Segmentation;
    TrainingPlan {
        task,
        model: ModelName::UnetLight,
        side: 16,
        channels: 1,
        classes: Vec::new(),
        rounds: 2,
        training: TrainOptions::for_task(task),
        mean_step: MeanStep::default(),
        fine_tuning: None::<FineTuning>,
        personal: None,
    }
}

const IMAGES: &str = "--private-unit image --private-steps 4 --private-rate 0.25";

#[test]
fn the_noise_spends_no_more_than_asked_for_and_the_unit_stands_beside_it() {
    let args = args(&format!("--epsilons 1,10,1e9 {IMAGES} --private-delta 0.001"));
    let (plan, mut dataset) = (plan(), dataset());
    args.regroup(&mut dataset);
    let mut last = f64::INFINITY;
    for level in args.levels() {
        let Level::Epsilon(asked) = level else { panic!("{level}") };
        let private = args.of(level, &plan, &dataset).unwrap();
        let Protection::Gradients(options) = private.protection else { panic!("{private:?}") };
        assert_eq!(options.steps, 2);
        let step = Mechanism::gaussian(options.noise_multiplier, options.rate);
        let spent = epsilon(&[(step, 4)], f64::from(0.001_f32), Accountant::Rdp).unwrap();
        assert!(spent <= asked && (asked > 1e6 || spent > 0.999 * asked), "{asked}: {spent}");
        assert!(options.noise_multiplier < last, "{options:?}");
        last = options.noise_multiplier;
        let Statement::Private { epsilon, .. } = private.statement else { panic!() };
        assert_eq!(epsilon, spent);
        let said = private.statement.to_string();
        assert!(said.ends_with(" at delta 1.00e-3 for each image, not patient"), "{said}");
    }
    let ordinary = args.of(Level::None, &plan, &dataset).unwrap();
    assert!(matches!(ordinary.protection, Protection::None));
}

#[test]
fn what_cannot_be_is_refused_with_what_could() {
    for (words, said) in [
        ("--epsilons 1 --private-steps 4 --private-rate 1.5", "above 0 and up to 1"),
        ("--epsilons 1 --private-steps 4 --private-rate 0", "above 0 and up to 1"),
        ("--epsilons 1 --private-steps 4", "--private-rate is missing"),
        ("--epsilons 1 --private-rate 0.5", "--private-steps is missing"),
        ("--epsilons 1 --private-steps 3 --private-rate 0.5", "such as 4"),
        ("--epsilons 1,1 --private-steps 4 --private-rate 0.5", "twice; leave one out"),
        ("--epsilons 1 --private-steps 4 --private-rate 0.5", "--private-unit patient"),
        (&format!("--epsilons 1 {IMAGES} --private-clip=-1"), "a length above 0"),
        (&format!("--epsilons 1 {IMAGES} --private-delta 0.5"), "expected a number below 1/"),
        (&format!("--epsilons 1e-9 {IMAGES} --private-delta 1e-9"), "choose a larger epsilon"),
        (&format!("--epsilons 1 {IMAGES} --records-per-step 2"), "would change nothing"),
        (&format!("--epsilons 1 {IMAGES} --parameter-noise=-1"), "a deviation above 0"),
        (
            "--epsilons 1 --private-unit patient --private-steps 4 --private-rate 0.5",
            "--records-per-step",
        ),
        ("--epsilons 1 --private-unit site --private-rate 0.5", "every site is in every round"),
        ("--epsilons 1 --private-unit site --private-delta 0.4", "expected a number below 1/3"),
    ] {
        let error = refused(words);
        assert!(error.contains(said), "{words}: {error}");
    }
    let asked = args(&format!("--epsilons 1 {IMAGES}"));
    for method in [MethodName::Local, MethodName::Perfedavg, MethodName::PerfedavgHf] {
        let error = asked.check(&[MethodName::Fedavg, method], false).unwrap_err().to_string();
        assert!(error.contains("expected fedavg, fedprox or fedadam"), "{error}");
    }
    let error = asked.check(&[MethodName::Fedavg], true).unwrap_err().to_string();
    assert!(error.contains("--encrypted"), "{error}");
    assert!("0".parse::<Level>().is_err() && "NaN".parse::<Level>().is_err());
    assert!(Only::try_parse_from(["lab", "--private-rate", "0.5"]).is_err());
}

/// Of a clip so small that nearly all of the update is cut: what is left of the sum beside the noise,
/// and that the noise is as wide as said.
#[test]
fn a_sites_update_is_clipped_and_the_sum_has_the_noise_that_is_said() {
    let args = args("--epsilons 1e9,8 --private-unit site --private-clip 0.5");
    let (plan, dataset) = (plan(), dataset());
    let model = Simulation::new(&plan).unwrap().model().clone();
    // Three updates of length 5 along one value each: clipped to 0.5, a mean of 1/6 there.
    let update = |place: usize| {
        let mut update = vec![0.0_f32; model.len()];
        update[place] = 5.0;
        update
    };
    let updates: Vec<Vec<f32>> = (0..3).map(update).collect();
    let mean = |epsilon| {
        let private = args.of(Level::Epsilon(epsilon), &plan, &dataset).unwrap();
        let Protection::Updates(sites) = private.protection else { panic!("of sites") };
        let Statement::Private { noise_multiplier, epsilon: spent, unit, .. } = private.statement
        else {
            panic!("private")
        };
        assert!(unit == "site" && spent <= epsilon, "{spent}");
        (sites.mean(&updates, &model, (1, 0)).unwrap(), noise_multiplier)
    };
    let (faint, little) = mean(1e9);
    assert!((0..3).all(|place| (faint[place] - 1.0 / 6.0).abs() < 1e-3), "{:?}", &faint[..3]);
    let (noised, much) = mean(8.0);
    let squares: f64 = noised[3..].iter().map(|value| f64::from(*value).powi(2)).sum();
    let deviation = (squares / (noised.len() - 3) as f64).sqrt();
    // In the mean of three: noise multiplier times clip over 3, and up to 5 % more for quantizing.
    let expected = much * 0.5 / 3.0;
    assert!(deviation > 0.98 * expected && deviation < 1.07 * expected, "{deviation} {expected}");
    assert!(much > 1000.0 * little, "{much} {little}");
}

#[test]
fn levels_are_named_so_that_their_runs_can_be_told_apart() {
    let named = |text: &str| text.parse::<Level>().unwrap().to_string();
    let all = ["1", "1.82", "1000", "1e9", "none"].map(named);
    let expected = ["epsilon-1", "epsilon-1.82", "epsilon-1000", "epsilon-1e9", "not-private"];
    assert_eq!(all, expected);
    assert_eq!(Level::Unclipped(0.01).to_string(), "no-epsilon-noise-0.01");
}
