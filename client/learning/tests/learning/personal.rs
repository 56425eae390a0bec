//! A round of sites that have something of their own, on generated images.

use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::{
    Dataset, ModelName, Own, Part, Personal, RoundStart, TaskName, TrainOptions, TrainingPlan,
    simulation,
};
use ringfence_weights::{MeanStep, Weights};

fn dataset() -> Dataset {
    let options = PhantomOptions { side: 16, sites: 3, ..PhantomOptions::default() };
    let mut dataset = phantom::generate(&options).unwrap();
    dataset.sites.iter_mut().for_each(|site| site.train.truncate(4));
    dataset
}

fn plan(personal: Option<Personal>) -> TrainingPlan {
    let training = TrainOptions { epochs: 2, ..TrainOptions::for_task(TaskName::Segmentation) };
    TrainingPlan {
        task: TaskName::Segmentation,
        model: ModelName::UnetLight,
        side: 16,
        channels: 1,
        classes: Vec::new(),
        rounds: 2,
        training,
        mean_step: MeanStep::Add,
        fine_tuning: None,
        personal,
    }
}

/// Two rounds of the first site on a common model that does not move.
fn two_rounds(personal: &Personal) -> (Weights, Vec<(Vec<f32>, Own)>) {
    let (plan, dataset) = (plan(Some(personal.clone())), dataset());
    plan.check(&dataset).unwrap();
    let model = plan.initial_weights().unwrap();
    let mut rounds = vec![(Vec::new(), Own::default())];
    for round in 0..2 {
        let start = RoundStart { plan: &plan, model: &model, round };
        let site = (0, &dataset.sites[0]);
        let (_, own) = rounds.last().unwrap();
        let made = start.own_update(personal, site, own, &mut |_| ()).unwrap();
        rounds.push(made);
    }
    rounds.remove(0);
    (model, rounds)
}

#[test]
fn updates_are_exactly_zero_in_what_is_the_sites_own_and_its_model_has_it() {
    let parts = vec![Part::Norm, Part::First, Part::Head];
    let personal = Personal { parts, ..Personal::default() };
    let (common, rounds) = two_rounds(&personal);
    for (update, own) in &rounds {
        let update = Weights::from_values(&common.shapes(), update.clone()).unwrap();
        let model = own.model(&personal, &common).unwrap();
        let mut names = 0;
        for (name, _, values) in update.iter() {
            let is_own = personal.is_own(name);
            names += usize::from(is_own);
            assert_eq!(values.iter().all(|value| value.to_bits() == 0), is_own, "{name}");
            // The site's model is the common one but for its own.
            assert_eq!(model.get(name) == common.get(name), !is_own, "{name}");
        }
        // Two tensors of each of 14 normalisations, the first kernel, and the head's two.
        assert_eq!(names, 2 * 14 + 1 + 2);
    }
    // What is the site's own goes on from round to round: the second is not the first again.
    let model = |round: usize| rounds[round].1.model(&personal, &common).unwrap();
    assert_ne!(model(0), model(1));
}

#[test]
fn without_anything_of_its_own_a_site_sends_what_it_always_did_and_so_does_one_with_a_second_model()
{
    let dataset = dataset();
    let (plain, ditto) = (Personal::default(), Some(0.5));
    let (common, of_plain) = two_rounds(&plain);
    let (_, of_ditto) = two_rounds(&Personal { ditto, ..plain.clone() });
    let (_, kept) = two_rounds(&Personal { keep_moments: true, ..plain.clone() });
    let plan = plan(None);
    for round in 0..2_u32 {
        let start = RoundStart { plan: &plan, model: &common, round };
        let usual = start.updates(&dataset, &[], &mut |_, _| ()).unwrap().remove(0).unwrap();
        let at = round as usize;
        assert_eq!(of_plain[at].0, usual);
        assert_eq!(of_ditto[at].0, usual);
        // Moments that go on change the second round, and not the first.
        assert_eq!(kept[at].0 == usual, round == 0);
        // The second model is the site's model, and is not what it sends.
        let second = of_ditto[at].1.model(&plain, &common).unwrap();
        assert_ne!(second.difference(&common).unwrap().into_values(), usual);
    }
}

#[test]
fn alone_a_site_ends_with_the_round_that_does_best_on_its_validation_images() {
    let (plan, dataset) = (plan(None), dataset());
    let initial = plan.initial_weights().unwrap();
    let mut told = Vec::new();
    let site = &dataset.sites[1];
    let (model, chosen) =
        simulation::alone(&plan, (1, site), &initial, &mut |round| told.push(round)).unwrap();
    assert_eq!(told, [0, 1]);
    let task = plan.task().unwrap();
    let score = |model: &Weights| {
        let scores = ringfence_learning::evaluate(task.as_ref(), model, &site.validation).unwrap();
        scores.leading().unwrap().1
    };
    let mut models = vec![initial];
    for round in 0..2 {
        let start = RoundStart { plan: &plan, model: models.last().unwrap(), round };
        let next = start.train_alone(1, site, &mut |_| ()).unwrap();
        models.push(next);
    }
    let best = models.iter().map(score).fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(score(&model), best);
    assert_eq!(models[chosen as usize], model);
}
