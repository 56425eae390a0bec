//! Where things lie in the picture of a ring, so that no name touches the ring or another name.

use std::f64::consts::{FRAC_PI_2, TAU};

use crate::commands::status::shortened;

/// Radius of a site's dot, its initiator's mark included.
pub(super) const DOT: f64 = 15.5;
/// Height of a line of letters, and the most width that one letter takes, at 13 px.
const LINE: f64 = 15.0;
pub(super) const LETTER: f64 = 7.4;
/// Letters of a name, at most, where so many keep it apart from the others.
const LETTERS: usize = 20;
/// From a dot's edge to its name.
const BESIDE: f64 = 7.0;

/// A ring of sites.
pub(super) struct Geometry {
    /// Of the ring.
    pub(super) radius: f64,
    /// Of the square that ring and names take.
    pub(super) side: f64,
    pub(super) sites: Vec<Place>,
}

/// A site on the ring, by its place around the centre.
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    /// What is written beside it.
    pub(super) name: String,
    /// `start`, `middle` or `end`: which part of the name lies at `name_x`.
    pub(super) anchor: &'static str,
    pub(super) name_x: f64,
    /// The letters' base line.
    pub(super) name_y: f64,
}

impl Geometry {
    /// The first site on top, the others clockwise.
    pub(super) fn of(sites: &[&str]) -> Self {
        let names = shortened(sites, LETTERS);
        let count = sites.len().max(1) as f64;
        // Dots need their place along the ring, and names theirs above one another.
        let radius = (count * 2.0 * DOT / TAU * 1.1).max(count * 6.0).max(98.0);
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
        let side = 2.0 * (radius + DOT + BESIDE + longest * LETTER + 4.0);
        let side = side.max(2.0 * (radius + DOT + BESIDE + 2.0 * LINE));
        let place = |(position, name): (usize, String)| {
            let angle = TAU * position as f64 / count - FRAC_PI_2;
            let (x, y) = (radius * angle.cos(), radius * angle.sin());
            let away = radius + DOT + BESIDE;
            let (anchor, name_x, middle) = if angle.cos().abs() < 1e-6 {
                // Alone at the top or at the bottom.
                ("middle", x, y + angle.sin() * (DOT + LINE))
            } else if angle.cos() > 0.0 {
                ("start", away * angle.cos(), away * angle.sin())
            } else {
                ("end", away * angle.cos(), away * angle.sin())
            };
            // A line's middle lies above its base.
            Place { x, y, name, anchor, name_x, name_y: middle + 4.5 }
        };
        Self { radius, side, sites: names.into_iter().enumerate().map(place).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, top, right and bottom of a name.
    fn around(place: &Place) -> [f64; 4] {
        let width = place.name.chars().count() as f64 * LETTER;
        let left = match place.anchor {
            "start" => place.name_x,
            "middle" => place.name_x - width / 2.0,
            _ => place.name_x - width,
        };
        [left, place.name_y - 10.5, left + width, place.name_y + 2.5]
    }

    fn distance(point: (f64, f64), [left, top, right, bottom]: [f64; 4]) -> f64 {
        let beyond = |at: f64, low: f64, high: f64| (low - at).max(at - high).max(0.0);
        beyond(point.0, left, right).hypot(beyond(point.1, top, bottom))
    }

    #[test]
    fn names_touch_neither_ring_nor_dots_nor_one_another_and_stay_inside() {
        for count in 3..=20 {
            for letters in [1, 10, 20, 32] {
                let names: Vec<String> =
                    (0..count).map(|site| format!("{site:0>letters$}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let ring = Geometry::of(&names);
                let boxes: Vec<_> = ring.sites.iter().map(around).collect();
                let case = format!("{count} sites of {letters} letters");
                for (index, name) in boxes.iter().enumerate() {
                    let [left, top, right, bottom] = *name;
                    let half = ring.side / 2.0;
                    assert!(left > -half && right < half && top > -half && bottom < half, "{case}");
                    assert!(distance((0.0, 0.0), *name) > ring.radius + 1.0, "{case}: the ring");
                    for dot in &ring.sites {
                        assert!(distance((dot.x, dot.y), *name) >= DOT, "{case}: a dot");
                    }
                    for [l, t, r, b] in &boxes[index + 1..] {
                        let apart = right <= *l || *r <= left || bottom <= *t || *b <= top;
                        assert!(apart, "{case}: {name:?} and {:?}", [l, t, r, b]);
                    }
                }
            }
        }
    }
}
