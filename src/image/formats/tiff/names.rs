/*!
The codes of compressions and colours, and their names for messages.
*/

use super::refusal::unsupported;
use crate::image::DecodeError;

/// A compression that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    /// Huffman codes of CCITT, each row from a full byte on.
    FaxRows,
    /// CCITT Group 3.
    Fax3,
    /// CCITT Group 4.
    Fax4,
    Lzw,
    /// The JPEG of TIFF 6.0, by tags 512 to 521.
    OldJpeg,
    Jpeg,
    Deflate,
    PackBits,
    WebP,
}

impl Compression {
    /// Returns the compression of a code.
    ///
    /// # Errors
    /// If it is not read; the message names it.
    pub fn new(code: u64) -> Result<Self, DecodeError> {
        Ok(match code {
            0 | 1 => Self::None,
            2 => Self::FaxRows,
            3 => Self::Fax3,
            4 => Self::Fax4,
            5 => Self::Lzw,
            6 => Self::OldJpeg,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            50001 => Self::WebP,
            _ => return Err(unsupported(format!("{} compression", other_compression(code)))),
        })
    }

    /// Returns whether a predictor may precede the compression. With others, the tag is ignored
    /// as libtiff does.
    pub fn has_predictor(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate)
    }

    /// Returns whether the tag of the bit order applies to the compressed bytes.
    pub fn has_bit_order(self) -> bool {
        !matches!(self, Self::Jpeg | Self::OldJpeg | Self::WebP)
    }
}

fn other_compression(code: u64) -> String {
    let name = match code {
        9 | 10 | 34661 => "JBIG",
        32766 => "NeXT",
        32771 => "word-aligned CCITT",
        32809 => "ThunderScan",
        32895..=32898 => "Kodak or IT8",
        32908 | 32909 => "Pixar",
        33003 | 33005 | 34712 => "JPEG 2000",
        34676 | 34677 => "SGI Log",
        34713 => "Nikon NEF",
        34892 => "lossy DNG JPEG",
        34887 => "LERC",
        34925 => "LZMA",
        50000 | 34926 => "ZSTD",
        50002 | 52546 => "JPEG XL",
        _ => return format!("unknown ({code})"),
    };
    name.to_owned()
}

/// The meaning of the samples of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// CIE L*a*b*, a* and b* signed.
    CieLab,
    /// CIE L*a*b* in the encoding of ICC: a* and b* with an offset.
    IccLab,
}

impl Colours {
    /// Returns the colours of a code.
    ///
    /// # Errors
    /// If they are not read; the message names them.
    pub fn new(code: u64) -> Result<Self, DecodeError> {
        Ok(match code {
            0 => Self::WhiteIsZero,
            // A mask is a picture of two levels, where it is all that a file holds.
            1 | 4 => Self::BlackIsZero,
            2 => Self::Rgb,
            3 => Self::Palette,
            5 => Self::Cmyk,
            6 => Self::YCbCr,
            8 => Self::CieLab,
            9 => Self::IccLab,
            10 => return Err(unsupported("ITU Lab colours")),
            32803 | 34892 => return Err(unsupported("the raw data of a camera's sensor")),
            32844 | 32845 => return Err(unsupported("LogLuv colours")),
            _ => return Err(unsupported(format!("colours of the unknown kind {code}"))),
        })
    }

    /// Returns the number of samples that make a colour.
    pub fn samples(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::CieLab | Self::IccLab => 3,
            Self::Cmyk => 4,
        }
    }

    /// Returns the name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero => "grey",
            Self::Rgb => "RGB",
            Self::Palette => "palette",
            Self::Cmyk => "CMYK",
            Self::YCbCr => "YCbCr",
            Self::CieLab | Self::IccLab => "Lab",
        }
    }
}
