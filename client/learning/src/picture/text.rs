//! Text on an RGB image, in the bitmap fonts of `embedded-graphics` (Latin-1).

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size as Extent};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use image::{Rgb, RgbImage};

/// Size of letters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// 10 x 20 pixels a letter.
    Title,
    /// 9 x 15 pixels a letter.
    Caption,
}

impl Size {
    fn font(self) -> MonoFont<'static> {
        match self {
            Self::Title => iso_8859_1::FONT_10X20,
            Self::Caption => iso_8859_1::FONT_9X15,
        }
    }
}

/// Width of a text, in pixels.
pub(super) fn width(text: &str, size: Size) -> u32 {
    let font = size.font();
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    letters.saturating_mul(font.character_size.width + font.character_spacing)
}

/// A line of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) size: Size,
    pub(super) colour: Rgb<u8>,
}

impl Line<'_> {
    /// Draws it around `(x, y)`. What falls outside the page is cut off.
    pub(super) fn draw_centred(&self, page: &mut RgbImage, x: u32, y: u32) {
        self.draw(page, (x, y), Alignment::Center);
    }

    /// Draws it from `(x, y)` on, `y` its middle.
    pub(super) fn draw_from(&self, page: &mut RgbImage, x: u32, y: u32) {
        self.draw(page, (x, y), Alignment::Left);
    }

    fn draw(&self, page: &mut RgbImage, (x, y): (u32, u32), alignment: Alignment) {
        let font = self.size.font();
        let [r, g, b] = self.colour.0;
        let style = MonoTextStyle::new(&font, Rgb888::new(r, g, b));
        let layout =
            TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Middle).build();
        let place = |at: u32| i32::try_from(at).unwrap_or(i32::MAX);
        let at = Point::new(place(x), place(y));
        // Drawing on a page cannot fail: its error type has no value.
        let Ok(_) = Text::with_text_style(self.text, at, style, layout).draw(&mut Page(page));
    }
}

struct Page<'a>(&'a mut RgbImage);

impl OriginDimensions for Page<'_> {
    fn size(&self) -> Extent {
        Extent::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Page<'_> {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y))
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_in_its_colour_and_cut_at_the_edge() {
        let white = Rgb([255; 3]);
        let red = Rgb([200, 0, 0]);
        let mut page = RgbImage::from_pixel(60, 30, white);
        let line = Line { text: "Dice", size: Size::Caption, colour: red };
        line.draw_centred(&mut page, 30, 15);
        let drawn = page.pixels().filter(|pixel| **pixel == red).count();
        assert!(drawn > 40, "{drawn} pixels");
        assert!(page.pixels().all(|pixel| *pixel == red || *pixel == white));
        assert_eq!(width("Dice", Size::Caption), 36);
        let line = Line { text: "a text wider than the page", size: Size::Title, colour: red };
        line.draw_centred(&mut page, 0, 29);
    }
}
