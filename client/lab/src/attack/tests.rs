//! The attacks on phantoms: they succeed where they must, and fail where they must.

use ringfence_learning::data::phantom::{PhantomOptions, generate};

use super::job::{Attacker, Outcome, Row};
use super::material::Material;
use super::rehearsal::worse_than_guessing;
use super::terms::{AttackName, Stage};
use super::victim::Victim;

fn material(side: usize) -> Material {
    let options = PhantomOptions { side, sites: 3, patients: 10, slices: 3, seed: 3 };
    Material::new(generate(&options).unwrap(), 3, 1).unwrap()
}

fn rows(attack: AttackName, stage: Stage, material: &Material) -> Vec<Row> {
    let victim = Victim::new(attack, None, material, 1).unwrap();
    let attacker = Attacker::new(attack, victim, material, (1, 200)).unwrap();
    let row = |image| match attacker.run(stage, image).unwrap() {
        Outcome::Image(row, _) => row,
        Outcome::Labels(_) => panic!("labels, not an image"),
    };
    (0..material.targets.len()).map(row).collect()
}

/// Whether all answers are the guess.
fn is_guess(rows: &[Row]) -> bool {
    rows.iter().all(|row| !row.found && row.psnr == row.psnr_guess)
}

#[test]
fn a_dense_first_layer_gives_images_away_until_they_are_encrypted() {
    let material = material(32);
    let of = |stage| rows(AttackName::Linear, stage, &material);
    for row in of(Stage::Plain) {
        assert!(row.psnr > 80.0 && row.ssim > 0.999, "{row:?}");
    }
    for row in of(Stage::Sum(1)) {
        assert!(row.psnr > 40.0, "{row:?}");
    }
    assert!(is_guess(&of(Stage::Ciphertext)));
    // Noise of epsilon 1 leaves nothing to see, and who knows it is hardly worse off than by guessing.
    for row in of(Stage::Dp(1.0)) {
        assert!((row.psnr - row.psnr_guess).abs() < 1.0, "{row:?}");
    }
}

#[test]
fn a_crafted_model_gives_images_away_through_the_sum_when_nothing_pins_the_model() {
    let material = material(32);
    for attack in [AttackName::Imprint, AttackName::Medleak] {
        // Several steps move the bins, and sites with bins of their own have few: some images share
        // one.
        for (stage, least) in
            [(Stage::Plain, 2), (Stage::Update, 1), (Stage::Sum(1), 2), (Stage::Sum(3), 2)]
        {
            let rows = rows(attack, stage, &material);
            let rebuilt = rows.iter().filter(|row| row.psnr > 40.0).count();
            assert!(rebuilt >= least, "{attack}, {stage}: {rows:?}");
        }
        assert!(is_guess(&rows(attack, Stage::Ciphertext, &material)), "{attack}");
    }
}

#[test]
fn the_lenets_image_is_found_in_its_gradient_and_not_in_ciphertext() {
    let mut material = material(16);
    material.targets.truncate(1);
    for attack in [AttackName::Dlg, AttackName::Idlg] {
        for row in rows(attack, Stage::Plain, &material) {
            assert!(row.psnr > 25.0, "{row:?}");
        }
    }
    assert!(is_guess(&rows(AttackName::Idlg, Stage::Ciphertext, &material)));
}

#[test]
fn a_classs_number_of_images_is_read_off_a_gradient() {
    let material = material(16);
    let victim = Victim::new(AttackName::Labels, None, &material, 1).unwrap();
    let attacker = Attacker::new(AttackName::Labels, victim, &material, (1, 0)).unwrap();
    let (mut right, mut images) = (0, 0);
    for image in 0..3 {
        let Outcome::Labels(row) = attacker.run(Stage::Plain, image).unwrap() else {
            panic!("an image, not labels")
        };
        (right, images) = (right + row.right, images + row.images);
    }
    assert!(right * 10 >= images * 9, "{right} of {images}");
}

#[test]
fn inverting_gradients_finds_an_image_in_a_gradient_and_sees_none_in_ciphertext() {
    let mut material = material(16);
    material.targets.truncate(1);
    for row in rows(AttackName::Inverting, Stage::Plain, &material) {
        // At 16 px little is left of an image; what is found is far from noise.
        assert!(row.found && row.psnr > 12.0, "{row:?}");
    }
    assert!(is_guess(&rows(AttackName::Inverting, Stage::Ciphertext, &material)));
}

#[test]
fn an_attack_that_is_given_up_after_rehearsals_answers_the_guess() {
    let mut material = material(32);
    material.targets.truncate(1);
    let victim = Victim::new(AttackName::Inverting, None, &material, 1).unwrap();
    let attacker = Attacker::new(AttackName::Inverting, victim, &material, (1, 150)).unwrap();
    let mut attacker = attacker.rehearsed(&[(Stage::Plain, 0)]).unwrap();
    assert_eq!(attacker.given_up, []);
    attacker.given_up = vec![Stage::Plain];
    let Outcome::Image(row, _) = attacker.run(Stage::Plain, 0).unwrap() else { panic!("no image") };
    assert!(is_guess(&[row]));
    assert_eq!(worse_than_guessing(&[Stage::Plain, Stage::Update], &[1.0, -0.1]), [Stage::Update]);
}
