/*!
The formats that can be read, in the order in which content is compared with them.
*/

use super::{
    avif, bmp, gif, heic, ico, jpeg, jpeg2000, jxl, png, pnm, psd, qoi, raw, tga, tiff, webp,
};
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// A format of images.
pub(in crate::image) struct Format {
    /// Its name in messages.
    pub name: &'static str,
    /// The extensions of its files, in lower case.
    pub extensions: &'static [&'static str],
    /// Returns whether content begins as the format does.
    pub recognises: fn(&[u8]) -> bool,
    /// Reads an image.
    pub read: fn(&[u8], &Limits) -> Result<Picture, DecodeError>,
}

/// All formats. The content decides; extensions only say which files of a folder are looked at.
pub(in crate::image) const FORMATS: &[Format] = &[
    Format {
        name: "JPEG",
        extensions: &["jpg", "jpeg", "jpe", "jfif", "jif", "mpo"],
        recognises: jpeg::is_jpeg,
        read: jpeg::read,
    },
    Format { name: "PNG", extensions: &["png", "apng"], recognises: png::is_png, read: png::read },
    Format { name: "WebP", extensions: &["webp"], recognises: webp::is_webp, read: webp::read },
    Format { name: "GIF", extensions: &["gif"], recognises: gif::is_gif, read: gif::read },
    // Before TIFF, which most raw files are.
    Format {
        name: "camera raw",
        extensions: &["dng", "cr2", "cr3", "nef", "arw", "pef", "orf", "rw2", "raf"],
        recognises: raw::is_raw,
        read: raw::read,
    },
    Format {
        name: "TIFF",
        extensions: &["tif", "tiff"],
        recognises: tiff::is_tiff,
        read: tiff::read,
    },
    Format { name: "BMP", extensions: &["bmp", "dib"], recognises: bmp::is_bmp, read: bmp::read },
    // Before HEIC: both may bear the general brands.
    Format {
        name: "AVIF",
        extensions: if cfg!(feature = "avif") { &["avif", "avifs"] } else { &[] },
        recognises: avif::is_avif,
        read: avif::read,
    },
    Format {
        name: "HEIC",
        extensions: &["heic", "heif", "hif"],
        recognises: heic::is_heic,
        read: heic::read,
    },
    Format { name: "JPEG XL", extensions: &["jxl"], recognises: jxl::is_jxl, read: jxl::read },
    Format { name: "PSD", extensions: &["psd", "psb"], recognises: psd::is_psd, read: psd::read },
    Format {
        name: "JPEG 2000",
        extensions: &["jp2", "j2k", "jpf", "jpx", "j2c"],
        recognises: jpeg2000::is_jpeg2000,
        read: jpeg2000::read,
    },
    Format {
        name: "PNM",
        extensions: &["pnm", "pbm", "pgm", "ppm", "pam"],
        recognises: pnm::is_pnm,
        read: pnm::read,
    },
    Format { name: "QOI", extensions: &["qoi"], recognises: qoi::is_qoi, read: qoi::read },
    Format { name: "ICO", extensions: &["ico"], recognises: ico::is_ico, read: ico::read },
    // Last: it has no mark at its start.
    Format { name: "TGA", extensions: &["tga"], recognises: tga::is_tga, read: tga::read },
];

/// Returns the names of the formats that can be read.
pub fn format_names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name)
}

/// Returns the extensions of the formats that can be read, in lower case.
pub fn extensions() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().flat_map(|format| format.extensions).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode as decode_any;

    macro_rules! fixture {
        ($name:literal) => {
            ($name, include_bytes!(concat!("../../../tests/fixtures/", $name)).as_slice())
        };
    }

    const RED: [u8; 3] = [220, 30, 30];
    const GREEN: [u8; 3] = [30, 200, 40];
    const BLUE: [u8; 3] = [20, 40, 210];
    const WHITE: [u8; 3] = [240, 240, 240];

    /// The quarters in every format that has a fixture; those with `alpha` are half clear at the
    /// left.
    const QUARTERS: &[(&str, &[u8])] = &[
        fixture!("quarters.jxl"),
        fixture!("quarters-alpha.jxl"),
        #[cfg(feature = "avif")]
        fixture!("quarters.avif"),
        #[cfg(feature = "avif")]
        fixture!("quarters-alpha.avif"),
        #[cfg(feature = "avif")]
        fixture!("quarters-10.avif"),
        fixture!("quarters.jp2"),
        fixture!("quarters-16.j2k"),
    ];

    #[test]
    fn the_same_picture_comes_out_of_every_format() {
        for (name, bytes) in QUARTERS {
            let image = decode_any(bytes, &Limits::default()).unwrap();
            assert_eq!(image.dimensions(), (24, 16), "{name}");
            let mut colours = [RED, GREEN, BLUE, WHITE];
            if name.contains("alpha") {
                for left in [0, 2] {
                    colours[left] =
                        colours[left].map(|c| 255 - ((255 - u32::from(c)) * 128 / 255) as u8);
                }
            }
            for ((x, y), wanted) in [(3, 3), (16, 3), (3, 12), (16, 12)].into_iter().zip(colours) {
                let found = image.get_pixel(x, y).0;
                let near = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 4);
                assert!(near, "{name}: {found:?} instead of {wanted:?} at {x}, {y}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        for (name, bytes) in QUARTERS {
            let limits = Limits { max_pixels: 24 * 16 - 1 };
            let large = decode_any(bytes, &limits).unwrap_err();
            let refused = matches!(large, DecodeError::TooManyPixels { width: 24, height: 16, .. });
            assert!(refused, "{name}: {large}");
            assert!(decode_any(bytes, &Limits { max_pixels: 24 * 16 }).is_ok(), "{name}");
            for end in 0..bytes.len() - 2 {
                let read = decode_any(&bytes[..end], &Limits::default());
                assert!(read.is_err(), "{name}: {end} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        // A fixed walk through the bytes: each is replaced by three others.
        for (name, bytes) in QUARTERS {
            for at in 0..bytes.len() {
                for value in [0, 0xff, bytes[at] ^ 0x10] {
                    let mut damaged = bytes.to_vec();
                    damaged[at] = value;
                    if let Err(error) = decode_any(&damaged, &Limits { max_pixels: 1 << 20 }) {
                        assert!(!error.to_string().contains("crashed"), "{name}: byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_extension_belongs_to_one_format() {
        let mut all: Vec<_> = FORMATS.iter().flat_map(|format| format.extensions).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
