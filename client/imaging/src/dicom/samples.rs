//! What every codec gives.

/// The samples of one frame, as stored.
pub(super) struct Samples {
    pub(super) values: Vec<i64>,
    /// Colour by planes and not by pixels.
    pub(super) planar: bool,
    /// Whether a codec has already made RGB of the colour space that the attributes name.
    pub(super) is_rgb: bool,
}
