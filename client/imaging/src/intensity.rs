//! Ranges of values, and values to grey.

/// Least and greatest of the values that are numbers; `None` if there are none.
pub(crate) fn min_max<'a>(values: impl IntoIterator<Item = &'a f32>) -> Option<(f64, f64)> {
    let finite = values.into_iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    (low <= high).then_some((f64::from(low), f64::from(high)))
}

/// Two percentiles of the values that are numbers, linear between neighbours (type 7 of Hyndman
/// and Fan, 1996, as in R and NumPy). Orders the values.
pub(crate) fn percentiles(mut values: Vec<f32>, low: f64, high: f64) -> Option<(f64, f64)> {
    values.retain(|value| value.is_finite());
    let last = values.len().checked_sub(1)?;
    let mut at = |percent: f64| {
        let place = last as f64 * percent / 100.0;
        let (_, below, above) =
            values.select_nth_unstable_by((place.floor() as usize).min(last), f32::total_cmp);
        let below = f64::from(*below);
        let above = above.iter().copied().reduce(f32::min).map_or(below, f64::from);
        below + (above - below) * place.fract()
    };
    Some((at(low), at(high)))
}

/// Brings values to `[0, 1]`: `low` to 0 and `high` to 1. What is no number becomes 0, and so does
/// everything where `low` equals `high`.
pub(crate) fn to_unit(values: &mut [f32], low: f64, high: f64) {
    for value in values {
        let unit = (f64::from(*value) - low) / (high - low);
        // A NaN compares false.
        *value = if unit > 0.0 { unit.min(1.0) as f32 } else { 0.0 };
    }
}

/// Grey of a colour by the weights of Rec. ITU-R BT.709, which `image` uses too.
pub(crate) fn luma(red: f64, green: f64, blue: f64) -> f64 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours_and_ignore_what_is_no_number() {
        let values = vec![4.0, f32::NAN, 1.0, 3.0, 2.0, f32::INFINITY, 5.0];
        assert_eq!(percentiles(values.clone(), 0.0, 100.0), Some((1.0, 5.0)));
        assert_eq!(percentiles(values.clone(), 25.0, 50.0), Some((2.0, 3.0)));
        assert_eq!(percentiles(values.clone(), 12.5, 99.0), Some((1.5, 4.96)));
        assert_eq!(percentiles(vec![f32::NAN], 0.0, 1.0), None);
        assert_eq!(min_max(&values), Some((1.0, 5.0)));
        assert_eq!(min_max(&[f32::NAN]), None);
    }

    #[test]
    fn grey_values_are_clamped_and_always_numbers() {
        let mut values = [-5.0, 0.0, 5.0, 10.0, 20.0, f32::NAN, f32::INFINITY];
        to_unit(&mut values, 0.0, 10.0);
        assert_eq!(values, [0.0, 0.0, 0.5, 1.0, 1.0, 0.0, 1.0]);
        let mut constant = [7.0; 3];
        to_unit(&mut constant, 7.0, 7.0);
        assert_eq!(constant, [0.0; 3]);
    }
}
