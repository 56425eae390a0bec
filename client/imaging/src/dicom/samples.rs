//! What every codec gives.

/// The samples of one frame, as stored.
pub(super) struct Samples {
    pub(super) values: Vec<i64>,
    /// Colour by planes and not by pixels.
    pub(super) planar: bool,
    /// Whether the encoding has a colour transform of its own, which its codec has undone. All else
    /// is as the photometric interpretation says.
    pub(super) is_rgb: bool,
}
