/*!
The reading of the flat picture.

The format follows Adobe's "Photoshop File Formats Specification" of 2019.
*/

use ::image::metadata::Orientation;

use super::flat::Flat;
use super::parts::{Header, Model, NAME, Resources, Rest, damaged, has_alpha};
use crate::image::picture::Picture;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// Returns whether `bytes` start a PSD (version 1) or a PSB (version 2).
pub(in super::super) fn is_psd(bytes: &[u8]) -> bool {
    bytes.starts_with(b"8BPS\0\x01") || bytes.starts_with(b"8BPS\0\x02")
}

/// Decodes the flat picture; layers are not put together.
///
/// The first extra plane is alpha if the file says that its layers leave parts clear; other extra
/// planes are saved selections and left out. CMYK and Lab are converted without a profile, and of
/// multichannel files the first three inks are taken for cyan, magenta and yellow. Samples of 16
/// bits stay so, and those of 32 bits, which are light, become 16.
///
/// # Errors
/// If the picture has no pixels or more than `limits` allows, is cut off, is damaged, or was
/// saved without a flat picture.
pub(in super::super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let cut = || DecodeError::Truncated(NAME);
    let header = Header::read(bytes).ok_or_else(cut)?;
    check_size((header.width, header.height), limits)?;
    if !(1..=56).contains(&header.planes) || !matches!(header.depth, 1 | 8 | 16 | 32) {
        return Err(damaged("its header is inconsistent"));
    }
    let mut rest = Rest(bytes.get(26..).ok_or_else(cut)?);
    let palette = rest.block(false).ok_or_else(cut)?;
    let resources = Resources::read(rest.block(false).ok_or_else(cut)?);
    let layers = rest.block(header.large).ok_or_else(cut)?;
    if resources.no_flat_picture {
        let reason = "it was saved without a flat picture; save it with maximum compatibility";
        return Err(DecodeError::Unsupported { format: NAME, reason: reason.into() });
    }
    let model = header.model()?;
    let alpha = header.planes > model.planes() && has_alpha(layers, header.large);
    let used = model.planes() + usize::from(alpha);
    if header.planes < used {
        return Err(damaged("it lacks planes"));
    }
    let planes = header.unpack(rest, used).ok_or_else(cut)?;
    let pixels = Flat {
        header: &header,
        model,
        alpha,
        palette,
        clear: resources.clear,
        linear: resources.profile.is_some(),
        planes,
    };
    let profile = match model {
        Model::Cmyk | Model::Lab | Model::Inks => None,
        _ => resources.profile,
    };
    Ok(Picture { pixels: pixels.image()?, orientation: Orientation::NoTransforms, profile })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode;

    /// A file of 2 × 1 pixels: mode, depth, number of planes, palette, resources, layers, and the
    /// flat picture behind its compression.
    struct File<'a> {
        large: bool,
        mode: u16,
        depth: u16,
        planes: u16,
        palette: &'a [u8],
        resources: &'a [u8],
        layers: &'a [u8],
        picture: &'a [u8],
    }

    const RGB: File = File {
        large: false,
        mode: 3,
        depth: 8,
        planes: 3,
        palette: &[],
        resources: &[],
        layers: &[],
        picture: &[0, 0, 200, 1, 30, 2, 40, 3],
    };

    impl File<'_> {
        fn bytes(&self) -> Vec<u8> {
            let mut bytes = b"8BPS\0".to_vec();
            bytes.extend([1 + u8::from(self.large), 0, 0, 0, 0, 0, 0]);
            bytes.extend(self.planes.to_be_bytes());
            bytes.extend([1_u32, 2].map(u32::to_be_bytes).concat());
            bytes.extend([self.depth, self.mode].map(u16::to_be_bytes).concat());
            for block in [self.palette, self.resources] {
                bytes.extend((block.len() as u32).to_be_bytes());
                bytes.extend(block);
            }
            bytes.extend(
                &(self.layers.len() as u64).to_be_bytes()[if self.large { 0 } else { 4 }..],
            );
            bytes.extend(self.layers);
            bytes.extend(self.picture);
            bytes
        }

        fn pixels(&self) -> [[u8; 3]; 2] {
            let image = decode(&self.bytes(), &Limits::default()).unwrap();
            assert_eq!(image.dimensions(), (2, 1));
            [image.get_pixel(0, 0).0, image.get_pixel(1, 0).0]
        }
    }

    #[test]
    fn colour_modes_and_depths() {
        assert_eq!(RGB.pixels(), [[200, 30, 40], [1, 2, 3]]);
        let bitmap = File { mode: 0, depth: 1, planes: 1, picture: &[0, 0, 0x40], ..RGB };
        assert_eq!(bitmap.pixels(), [[255; 3], [0; 3]]);
        let deep = [0, 0, 200, 9, 1, 9, 30, 9, 2, 9, 40, 9, 3, 9];
        let deep = File { depth: 16, picture: &deep, ..RGB };
        assert_eq!(deep.pixels(), [[199, 30, 40], [1, 2, 3]]);
        let float = [&[0, 0][..], &[0.5_f32, 1.0].map(f32::to_be_bytes).concat()].concat();
        let float = File { mode: 1, depth: 32, planes: 1, picture: &float, ..RGB };
        assert_eq!(float.pixels(), [[188; 3], [255; 3]]);
        let inks = [0, 0, 255, 0, 0, 255, 255, 255, 255, 128];
        let inks = File { mode: 4, planes: 4, picture: &inks, ..RGB };
        assert_eq!(inks.pixels(), [[255, 0, 255], [0, 128, 128]]);
        let lab = [0, 0, 255, 0, 128, 128, 128, 128];
        assert_eq!(File { mode: 9, picture: &lab, ..RGB }.pixels(), [[255; 3], [0; 3]]);
    }

    #[test]
    fn a_palette_with_a_clear_index() {
        let mut palette = [0; 768];
        for (third, value) in [20, 40, 210].into_iter().enumerate() {
            palette[third * 256 + 7] = value;
        }
        let clear = b"8BIM\x04\x17\0\0\0\0\0\x02\0\x09";
        let picture = [0, 0, 7, 9];
        let file = File {
            mode: 2,
            planes: 1,
            palette: &palette,
            resources: clear,
            picture: &picture,
            ..RGB
        };
        assert_eq!(file.pixels(), [[20, 40, 210], [255; 3]]);
    }

    #[test]
    fn packed_rows_in_both_versions() {
        // A run of two, two literals, and a row that stops early.
        let packed = [0xff, 9, 1, 7, 8, 0, 5];
        let picture = [&[0, 1, 0, 2, 0, 3, 0, 2][..], &packed].concat();
        assert_eq!(File { picture: &picture, ..RGB }.pixels(), [[9, 7, 5], [9, 8, 0]]);
        let picture = [&[0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2][..], &packed].concat();
        let large = File { large: true, picture: &picture, ..RGB };
        assert_eq!(large.pixels(), [[9, 7, 5], [9, 8, 0]]);
    }

    #[test]
    fn an_extra_plane_is_alpha_only_if_the_layers_say_so() {
        // Red over white by half, as Photoshop stores it, and a plane of 128.
        let picture = [0, 0, 255, 255, 127, 0, 127, 0, 128, 255];
        let layers = |count: i16| [&[0, 0, 0, 2][..], &count.to_be_bytes()].concat();
        let clear = File { planes: 4, picture: &picture, layers: &layers(-1), ..RGB };
        assert_eq!(clear.pixels(), [[255, 127, 127], [255, 0, 0]]);
        let selection = File { planes: 4, picture: &picture, layers: &layers(1), ..RGB };
        assert_eq!(selection.pixels(), [[255, 127, 127], [255, 0, 0]]);
        let straight = |file: &File| read(&file.bytes(), &Limits::default()).unwrap().pixels;
        assert_eq!(straight(&clear).to_rgba8().get_pixel(0, 0).0, [255, 0, 0, 128]);
        assert_eq!(straight(&selection).to_rgba8().get_pixel(0, 0).0, [255, 127, 127, 255]);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let refused = |bytes: &[u8]| decode(bytes, &Limits::default()).unwrap_err();
        let version = b"8BIM\x04\x21\0\0\0\0\0\x05\0\0\0\x01\0\0";
        let layered = File { resources: version, ..RGB };
        assert!(refused(&layered.bytes()).to_string().contains("without a flat picture"));
        let odd = File { mode: 5, ..RGB };
        assert!(matches!(refused(&odd.bytes()), DecodeError::Unsupported { .. }));
        let short = File { planes: 2, ..RGB };
        assert!(matches!(refused(&short.bytes()), DecodeError::Damaged { .. }));
        let whole = RGB.bytes();
        for end in 6..whole.len() {
            let error = refused(&whole[..end]);
            assert!(matches!(error, DecodeError::Truncated(_)), "{error} at {end}");
        }
        let small = decode(&whole, &Limits { max_pixels: 1 }).unwrap_err();
        assert!(matches!(small, DecodeError::TooManyPixels { .. }), "{small}");
        // Many pixels promised, and none there.
        let mut promise = File { picture: &[0, 1], ..RGB }.bytes();
        promise[14..18].copy_from_slice(&30_000_u32.to_be_bytes());
        promise[18..22].copy_from_slice(&8_000_u32.to_be_bytes());
        assert!(matches!(refused(&promise), DecodeError::Truncated(_)));
    }
}
