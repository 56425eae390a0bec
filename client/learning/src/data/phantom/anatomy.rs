//! A patient's chest as a function of place, in Hounsfield units.
//!
//! Coordinates: `x` from the patient's right (-1) to the left (1), `y` from front (-1) to back
//! (1), as an axial CT slice is shown, and `z` from the lungs' apex (0) to the diaphragm (1).
//! Tissue values are textbook ones: air -1000, lung -860, fat -100, soft tissue 40, bone 300 to
//! 700; ground glass -620 to -380, consolidation (partly aerated, so that it stands out from the
//! mediastinum) -300 to -80. Between the two stands the threshold of -300 HU (BMC Infect. Dis.,
//! doi 10.1186/s12879-021-06556-z).

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson};

use super::texture::texture;

const AIR: f32 = -1000.0;
const LUNG: f32 = -860.0;
const FAT: f32 = -100.0;
const MUSCLE: f32 = 40.0;

/// How a hospital's cases are distributed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cases {
    /// Mean number of lesions of a patient who is ill.
    pub(super) lesions: f32,
    /// Typical radius of a lesion, in the patient's coordinates.
    pub(super) radius: f32,
    /// Share of lesions that are consolidation; the others are ground glass.
    pub(super) consolidation: f32,
    /// Share of patients without lesion.
    pub(super) healthy: f32,
}

/// What is at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tissue {
    pub(super) hounsfield: f32,
    /// 1 inside a lesion, 0 outside.
    pub(super) lesion: f32,
}

/// One patient.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    /// Half axes of the chest cavity at its widest, and thickness of the chest wall.
    cavity: (f32, f32),
    wall: f32,
    /// Thickness of the fat below the skin.
    fat: f32,
    heart: f32,
    tilt: f32,
    texture: u32,
    vessels: Vec<Vessel>,
    lesions: Vec<Lesion>,
}

/// A straight piece of a vessel, from near the hilum outwards.
#[derive(Clone, Copy, Debug)]
struct Vessel {
    from: [f32; 3],
    to: [f32; 3],
    radius: f32,
}

#[derive(Clone, Copy, Debug)]
struct Lesion {
    centre: [f32; 3],
    radii: [f32; 3],
    hounsfield: f32,
    texture: u32,
}

/// The patient at one height; what does not depend on `x` and `y` is worked out once.
#[derive(Debug)]
pub(super) struct Slice<'a> {
    patient: &'a Patient,
    z: f32,
    cavity: (f32, f32),
    vessels: Vec<&'a Vessel>,
    lesions: Vec<&'a Lesion>,
}

impl Patient {
    pub(super) fn draw(cases: &Cases, rng: &mut impl Rng) -> Self {
        let mut patient = Self {
            cavity: (rng.random_range(0.66..0.76), rng.random_range(0.46..0.56)),
            wall: rng.random_range(0.13..0.17),
            fat: rng.random_range(0.02..0.06),
            heart: rng.random_range(0.85..1.15),
            tilt: rng.random_range(-0.08..0.08),
            texture: rng.random(),
            vessels: Vec::new(),
            lesions: Vec::new(),
        };
        patient.vessels = patient.draw_vessels(rng);
        if !rng.random_bool(f64::from(cases.healthy)) {
            let more =
                Poisson::new((cases.lesions - 1.0).max(0.1)).map_or(0.0, |more| more.sample(rng));
            let count = 1 + more as usize;
            patient.lesions = (0..count).map(|_| patient.draw_lesion(cases, rng)).collect();
        }
        patient
    }

    /// The patient at height `z`.
    pub(super) fn slice(&self, z: f32) -> Slice<'_> {
        let cavity = cavity_at(self.cavity, z);
        let near = |low: f32, high: f32, margin: f32| z > low - margin && z < high + margin;
        let vessels = self.vessels.iter();
        let lesions = self.lesions.iter();
        Slice {
            patient: self,
            z,
            cavity,
            vessels: vessels
                .filter(|v| near(v.from[2].min(v.to[2]), v.from[2].max(v.to[2]), v.radius))
                .collect(),
            // A lesion's uneven border reaches 1.5 radii at most.
            lesions: lesions.filter(|l| near(l.centre[2], l.centre[2], 1.5 * l.radii[2])).collect(),
        }
    }

    /// Vessels fan out from both hila, thinner the further they go.
    fn draw_vessels(&self, rng: &mut impl Rng) -> Vec<Vessel> {
        let mut vessels = Vec::new();
        for side in [-1.0, 1.0] {
            for _ in 0..34 {
                let to = self.place_in_lung(side, rng);
                let hilum =
                    [side * 0.2, rng.random_range(-0.08..0.12), rng.random_range(0.35..0.6)];
                let mut from = hilum;
                // Two pieces with a bend between them, the outer one thinner.
                let share = rng.random_range(0.4..0.65);
                let bend: [f32; 3] = std::array::from_fn(|axis| {
                    hilum[axis] + (to[axis] - hilum[axis]) * share + rng.random_range(-0.05..0.05)
                });
                let radius = rng.random_range(0.012..0.026);
                for (end, radius) in [(bend, radius), (to, radius * 0.6)] {
                    vessels.push(Vessel { from, to: end, radius });
                    from = end;
                }
            }
        }
        vessels
    }

    /// COVID-like lesions prefer the periphery and the back (Bernheim et al., Radiology 2020).
    fn draw_lesion(&self, cases: &Cases, rng: &mut impl Rng) -> Lesion {
        let side = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let mut centre = self.place_in_lung(side, rng);
        for _ in 0..8 {
            let posterior = centre[1] > 0.0;
            let peripheral = self.slice(centre[2]).depth(centre[0], centre[1]) < 0.12;
            if (posterior && peripheral) || rng.random_bool(0.2) {
                break;
            }
            centre = self.place_in_lung(side, rng);
        }
        let radius = cases.radius * rng.random_range(0.6..1.6);
        let dense = rng.random_bool(f64::from(cases.consolidation));
        Lesion {
            centre,
            radii: std::array::from_fn(|_| radius * rng.random_range(0.75..1.35)),
            hounsfield: if dense {
                rng.random_range(-300.0..-80.0)
            } else {
                rng.random_range(-620.0..-380.0)
            },
            texture: rng.random(),
        }
    }

    fn place_in_lung(&self, side: f32, rng: &mut impl Rng) -> [f32; 3] {
        let mut place = [side * 0.45, 0.0, 0.5];
        // The lung fills a third of the box it is sought in: 64 misses in a row do not happen.
        for _ in 0..64 {
            let (x, y) = (side * rng.random_range(0.1..0.75), rng.random_range(-0.55..0.55));
            let z = rng.random_range(0.1..0.9);
            if self.slice(z).depth(x, y) > 0.03 {
                place = [x, y, z];
                break;
            }
        }
        place
    }
}

impl Slice<'_> {
    /// What is at `(x, y)`.
    pub(super) fn at(&self, x: f32, y: f32) -> Tissue {
        let (x, y) = rotate(x, y, self.patient.tilt);
        let depth = self.depth(x, y);
        if depth > 0.0 {
            return self.lung(x, y, depth);
        }
        Tissue { hounsfield: self.body(x, y), lesion: 0.0 }
    }

    /// How deep inside a lung a place is; negative outside. The lungs are what the mediastinum,
    /// spine, heart and liver leave of the cavity.
    fn depth(&self, x: f32, y: f32) -> f32 {
        let patient = self.patient;
        let (a, b) = self.cavity;
        let cavity = (1.0 - (x / a).hypot(y / b)) * a.min(b);
        let mediastinum = x.abs() - (0.07 + 0.11 * bump(y, -0.02, 0.3));
        let spine = x.hypot(y - b * 0.86) - 0.2;
        let lower = smooth(self.z, 0.35, 0.6);
        let (hx, hy) = (0.3 * patient.heart * lower + 0.02, 0.26 * patient.heart * lower + 0.02);
        let heart = (((x - 0.13) / hx).hypot((y + 0.14) / hy) - 1.0) * hx.min(hy);
        let dome = [(x + 0.36) / 0.4, (y + 0.02) / 0.42, (self.z - 1.08) / 0.34];
        let liver = (dome.iter().map(|t| t * t).sum::<f32>().sqrt() - 1.0) * 0.34;
        let rough = 0.008 * texture(patient.texture ^ 1, x * 9.0, y * 9.0, self.z * 9.0);
        [mediastinum, spine, heart, liver].into_iter().fold(cavity, smooth_min) + rough
    }

    fn lung(&self, x: f32, y: f32, depth: f32) -> Tissue {
        let place = [x, y, self.z];
        let seed = self.patient.texture;
        // Blood sinks to the back of a lying patient: about 60 HU over the height of a lung.
        let mut hounsfield = LUNG
            + 60.0 * (y + 0.5)
            + 35.0 * texture(seed, x * 14.0, y * 14.0, self.z * 20.0)
            + 20.0 * texture(seed ^ 2, x * 40.0, y * 40.0, self.z * 40.0);
        let mut inside = 0.0_f32;
        for lesion in &self.lesions {
            let share = lesion.share(place);
            hounsfield = hounsfield.max(LUNG + (lesion.hounsfield_at(place) - LUNG) * share);
            inside = inside.max(f32::from(share >= 0.5));
        }
        for vessel in &self.vessels {
            let edge = 1.0 - vessel.distance(place) / vessel.radius;
            if edge > 0.0 {
                hounsfield = hounsfield.max(LUNG + (MUSCLE - LUNG) * (edge * 2.0).min(1.0));
            }
        }
        // The pleura: tissue blends into the lung over a thin rim.
        let rim = smooth(depth, 0.0, 0.012);
        Tissue { hounsfield: MUSCLE + (hounsfield - MUSCLE) * rim, lesion: inside }
    }

    fn body(&self, x: f32, y: f32) -> f32 {
        let patient = self.patient;
        // The chest wall does not narrow to the apex as the cavity does.
        let (a, b) = cavity_at(patient.cavity, self.z.clamp(0.3, 0.8));
        let (a, b) = (a + patient.wall, b + patient.wall);
        let skin = (1.0 - (x / a).hypot(y / b)) * b;
        if skin < 0.0 {
            // The table: a thin shell below the patient.
            let table = y - (b + 0.05) - 0.08 * x * x;
            return if (0.0..0.025).contains(&table) && x.abs() < 0.8 { -350.0 } else { AIR };
        }
        if let Some(bone) = self.bone(x, y) {
            return bone;
        }
        if let Some(airway) = self.airway(x, y) {
            return airway;
        }
        let uneven = 14.0 * texture(patient.texture ^ 3, x * 20.0, y * 20.0, self.z * 10.0);
        if skin < 0.012 {
            MUSCLE - 20.0
        } else if skin < 0.012 + patient.fat {
            FAT + uneven
        } else {
            let vessel = (x - 0.13).hypot(y - b * 0.4) < 0.06; // the aorta, slightly brighter
            MUSCLE + uneven + if vessel { 25.0 } else { 0.0 }
        }
    }

    fn bone(&self, x: f32, y: f32) -> Option<f32> {
        let (a, b) = self.cavity;
        let marrow = |edge: f32| if edge < 0.025 { 650.0 } else { 260.0 };
        // Vertebra: body, canal behind it, and the processes.
        let back = b * 0.86;
        let body = 0.12 - x.hypot((y - back) * 1.1);
        let canal = x.hypot(y - back - 0.16);
        let processes =
            y > back + 0.1 && (x.abs() < 0.025 || (y - back - 0.17).abs() < 0.03) && x.abs() < 0.16;
        if canal < 0.045 {
            return Some(20.0);
        }
        if body > 0.0 {
            return Some(marrow(body));
        }
        if processes && y < back + 0.3 {
            return Some(450.0);
        }
        let sternum = ((x / 0.11).powi(2) + ((y + b + 0.045) / 0.03).powi(2)).sqrt();
        if sternum < 1.0 && self.z > 0.15 && self.z < 0.75 {
            return Some(marrow((1.0 - sternum) * 0.03));
        }
        // Ribs run obliquely, so that an axial slice cuts each in a short arc.
        let radius = (x / a).hypot(y / b);
        let ring = 0.5 - ((radius - 1.11) / 0.1).abs();
        let angle = (y / b).atan2(x.abs() / a);
        let along = (angle * 4.0 + self.z * 40.0 + x.signum() * 0.6).sin() - 0.35;
        (ring > 0.0 && along > 0.0).then(|| marrow((ring * 0.08).min(along * 0.1)))
    }

    /// The trachea, and below its fork the two main bronchi.
    fn airway(&self, x: f32, y: f32) -> Option<f32> {
        let below = ((self.z - 0.35) / 0.2).max(0.0);
        if below > 1.0 {
            return None;
        }
        let radius = if below > 0.0 { 0.04 } else { 0.055 };
        let centre = 0.035 * f32::from(below > 0.0) + 0.12 * below;
        ((x.abs() - centre).hypot(y - 0.05) < radius).then_some(AIR + 20.0)
    }
}

impl Lesion {
    /// How much of a place is lesion, 0 to 1, with an uneven border.
    fn share(&self, place: [f32; 3]) -> f32 {
        let away = (0..3)
            .map(|axis| ((place[axis] - self.centre[axis]) / self.radii[axis]).powi(2))
            .sum::<f32>()
            .sqrt();
        if away > 1.5 {
            return 0.0;
        }
        let [x, y, z] = place.map(|t| t / self.radii[0]);
        let uneven = 0.35 * texture(self.texture, x * 1.6, y * 1.6, z * 1.6)
            + 0.15 * texture(self.texture ^ 5, x * 4.0, y * 4.0, z * 4.0);
        smooth(1.0 - away + uneven, -0.1, 0.2)
    }

    fn hounsfield_at(&self, [x, y, z]: [f32; 3]) -> f32 {
        self.hounsfield + 70.0 * texture(self.texture ^ 9, x * 25.0, y * 25.0, z * 25.0)
    }
}

impl Vessel {
    fn distance(&self, place: [f32; 3]) -> f32 {
        let along: [f32; 3] = std::array::from_fn(|axis| self.to[axis] - self.from[axis]);
        let out: [f32; 3] = std::array::from_fn(|axis| place[axis] - self.from[axis]);
        let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let share = (dot(out, along) / dot(along, along).max(1e-6)).clamp(0.0, 1.0);
        let rest: [f32; 3] = std::array::from_fn(|axis| out[axis] - share * along[axis]);
        dot(rest, rest).sqrt()
    }
}

/// The cavity narrows towards the apex and slightly towards the base.
fn cavity_at((a, b): (f32, f32), z: f32) -> (f32, f32) {
    let scale = 0.5 + 0.5 * smooth(z, -0.1, 0.35) - 0.05 * smooth(z, 0.7, 1.0);
    (a * scale, b * (0.25 + 0.75 * scale))
}

fn rotate(x: f32, y: f32, angle: f32) -> (f32, f32) {
    let (sin, cos) = angle.sin_cos();
    (x * cos - y * sin, x * sin + y * cos)
}

/// 0 below `low`, 1 above `high`, smooth between.
fn smooth(t: f32, low: f32, high: f32) -> f32 {
    let t = ((t - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 at `centre`, falling to about a third at `width` away from it.
fn bump(t: f32, centre: f32, width: f32) -> f32 {
    (-((t - centre) / width).powi(2)).exp()
}

/// The smaller of two depths, rounded where they meet.
fn smooth_min(a: f32, b: f32) -> f32 {
    const ROUND: f32 = 0.06;
    let share = (0.5 + 0.5 * (b - a) / ROUND).clamp(0.0, 1.0);
    b + (a - b) * share - ROUND * share * (1.0 - share)
}
