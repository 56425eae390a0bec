//! Adam (Kingma and Ba, 2015) with its usual moments, in doubles over plain values.

const MOMENTS: (f64, f64) = (0.9, 0.999);

pub(super) struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl Adam {
    /// For so many values.
    pub(super) fn new(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count], steps: 0 }
    }

    /// A step of this size against a gradient.
    pub(super) fn step(
        &mut self,
        size: f64,
        gradient: impl Iterator<Item = f64>,
        place: &mut [f32],
    ) {
        self.steps += 1;
        let (b1, b2) = MOMENTS;
        let unbias = |moment: f64| 1.0 - moment.powi(self.steps);
        let (one, two) = (unbias(b1), unbias(b2));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, slope), (first, second)) in place.iter_mut().zip(gradient).zip(moments) {
            *first = b1 * *first + (1.0 - b1) * slope;
            *second = b2 * *second + (1.0 - b2) * slope * slope;
            let moved = *first / one / ((*second / two).sqrt() + 1e-8);
            *value = (f64::from(*value) - size * moved) as f32;
        }
    }
}
