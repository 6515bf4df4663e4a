//! A text as a QR code: for a terminal, as an SVG or as a PNG picture.

use crate::failure::{Failure, Outcome};
use ostrakon::node::api::ErrorKind;
use qrcode::render::svg;
use qrcode::render::unicode::Dense1x2;
use qrcode::{Color, EcLevel, QrCode};
use std::path::Path;

/// Empty modules around the code (ISO/IEC 18004 asks for four).
const MARGIN: usize = 4;
/// Pixels to a module, in each direction.
const PIXELS: usize = 8;

/// How it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// In half blocks, light on a dark terminal.
    Terminal,
    /// Scalable Vector Graphics.
    Svg,
    /// Portable Network Graphics, one bit a pixel.
    Png,
}

impl Drawing {
    /// As the name of the file says, for the terminal without one.
    pub fn of(file: Option<&Path>) -> Self {
        let ending = file.and_then(Path::extension).unwrap_or_default();
        if ending.eq_ignore_ascii_case("svg") {
            Self::Svg
        } else if ending.eq_ignore_ascii_case("png") {
            Self::Png
        } else {
            Self::Terminal
        }
    }
}

/// Draws a text. In upper case, for which QR codes have an alphanumeric mode that is a third smaller; cards are read in
/// either case.
///
/// # Errors
/// If the text is too long for a QR code.
pub fn draw(text: &str, drawing: Drawing) -> Outcome<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text.to_uppercase(), EcLevel::L);
    let code = code.map_err(|error| {
        let what = format!("this does not fit into a QR code ({error})");
        let hint = "give it as a text or a file: leave --qr out";
        Failure::api(ErrorKind::Limit, what, hint)
    })?;
    match drawing {
        Drawing::Terminal => Ok(blocks(&code).into_bytes()),
        Drawing::Svg => {
            let side = ((code.width() + 2 * MARGIN) * PIXELS) as u32;
            let mut picture = code.render::<svg::Color<'_>>();
            Ok(picture.min_dimensions(side, side).build().into_bytes())
        }
        Drawing::Png => png(&code).map_err(|error| {
            let what = format!("cannot draw the QR code: {error}");
            Failure::api(ErrorKind::Store, what, "draw it as .svg")
        }),
    }
}

fn blocks(code: &QrCode) -> String {
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    image + "\n"
}

fn png(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.width() + 2 * MARGIN;
    let (side, colors) = ((modules * PIXELS) as u32, code.to_colors());
    let dark = |x: usize, y: usize| {
        let (x, y) = (x.checked_sub(MARGIN), y.checked_sub(MARGIN));
        let inside = x.zip(y).filter(|(x, _)| *x < code.width());
        let color = inside.and_then(|(x, y)| colors.get(y * code.width() + x));
        color.copied().unwrap_or(Color::Light) == Color::Dark
    };
    // A module is as wide as a byte has bits.
    let row = |y: usize| (0..modules).map(move |x| if dark(x, y) { 0x00 } else { 0xff });
    let pixels: Vec<u8> = (0..modules * PIXELS)
        .flat_map(|line| row(line / PIXELS))
        .collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const TEXT: &str = "ostrakon-card:jnrxa2dboiqgs4zanzxxi";

    #[test]
    fn the_picture_has_every_module_of_the_code_and_a_margin() {
        let code = QrCode::with_error_correction_level(TEXT.to_uppercase(), EcLevel::L).unwrap();
        let png = draw(TEXT, Drawing::Png).unwrap_or_else(|_| panic!("no picture"));
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut rows = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rows).unwrap();
        let modules = code.width() + 2 * MARGIN;
        assert_eq!(info.width as usize, modules * PIXELS);
        assert_eq!(info.height as usize, modules * PIXELS);
        for y in 0..modules {
            for x in 0..modules {
                let inside = |at: usize| (MARGIN..modules - MARGIN).contains(&at);
                let dark = inside(x) && inside(y) && code[(x - MARGIN, y - MARGIN)] == Color::Dark;
                let expected = if dark { 0x00 } else { 0xff };
                for line in 0..PIXELS {
                    let at = (y * PIXELS + line) * info.line_size + x;
                    assert_eq!(rows[at], expected, "module {x}, {y}, line {line}");
                }
            }
        }
    }

    #[test]
    fn the_name_of_the_file_says_how_it_is_drawn() {
        let of = |name: &str| Drawing::of(Some(Path::new(name)));
        assert_eq!((of("a.svg"), of("a.PNG")), (Drawing::Svg, Drawing::Png));
        assert_eq!(
            (of("svg"), Drawing::of(None)),
            (Drawing::Terminal, Drawing::Terminal)
        );
    }
}
