/*!
Palettes, alpha, CMYK, YCbCr and Lab.
*/

use std::io::Cursor;

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::super::tags;
use super::draft::Draft;

#[test]
fn palettes_have_words_or_bytes() {
    let map = |factor: u64| [0, 10, 255, 3, 1, 20, 0, 4, 2, 30, 9, 5].map(|level| level * factor);
    for factor in [1, 256, 257] {
        let draft = Draft::new((4, 1), 1, 2, 3).tag(tags::COLOUR_MAP, map(factor));
        let expected = [0, 1, 2, 10, 20, 30, 255, 0, 9, 3, 4, 5];
        assert_eq!(draft.chunk([0b00_01_10_11]).bytes(), expected);
    }
    let two = Draft::new((3, 1), 1, 1, 3).tag(tags::COLOUR_MAP, [0, 65535, 0, 0, 65535, 0]);
    assert_eq!(two.chunk([0b0100_0000]).bytes(), [0, 0, 255, 255, 0, 0, 0, 0, 255]);
    let mut many = vec![0; 3 * 256];
    many[200] = 0x1200;
    let many = Draft::new((1, 1), 1, 8, 3).tag(tags::COLOUR_MAP, many);
    assert_eq!(many.chunk([200]).bytes(), [0x12, 0, 0]);
}

#[test]
fn a_palette_may_come_with_alpha_but_not_short() {
    let mut map = vec![0; 3 * 256];
    map[1] = 65535;
    let alpha = Draft::new((1, 1), 2, 8, 3).tag(tags::EXTRA_SAMPLES, [2]);
    assert_eq!(alpha.tag(tags::COLOUR_MAP, map).chunk([1, 77]).bytes(), [255, 0, 0, 77]);
    let short = Draft::new((1, 1), 1, 8, 3).tag(tags::COLOUR_MAP, [0; 9]).chunk([0]);
    assert!(short.refused().to_string().contains("3 of 256 colours"));
}

#[test]
fn grey_and_rgb_may_have_alpha_and_more() {
    let grey = |kind: u64| Draft::new((1, 1), 2, 8, 1).tag(tags::EXTRA_SAMPLES, [kind]);
    assert_eq!(grey(2).chunk([9, 77]).bytes(), [9, 77]);
    assert_eq!(grey(0).chunk([9, 77]).bytes(), [9]);
    let rgb = |extra: &[u64]| {
        let samples = 3 + extra.len() as u64;
        Draft::new((1, 1), samples, 8, 2).tag(tags::EXTRA_SAMPLES, extra)
    };
    assert_eq!(rgb(&[2]).chunk([1, 2, 3, 4]).bytes(), [1, 2, 3, 4]);
    assert_eq!(rgb(&[0]).chunk([1, 2, 3, 4]).bytes(), [1, 2, 3]);
    assert_eq!(rgb(&[0, 2]).chunk([1, 2, 3, 4, 5]).bytes(), [1, 2, 3, 5]);
    let words = Draft::new((1, 1), 4, 16, 2).tag(tags::EXTRA_SAMPLES, [2]);
    assert_eq!(words.chunk([1, 0, 2, 0, 3, 0, 4, 0]).words(), [1, 2, 3, 4]);
}

#[test]
fn colours_are_divided_by_associated_alpha() {
    let rgb = Draft::new((3, 1), 4, 8, 2).tag(tags::EXTRA_SAMPLES, [1]);
    let row = [100, 50, 0, 128, 9, 9, 9, 0, 200, 1, 0, 100];
    let expected = [199, 100, 0, 128, 9, 9, 9, 0, 255, 3, 0, 100];
    assert_eq!(rgb.chunk(row).bytes(), expected);
    let grey = Draft::new((1, 1), 2, 16, 0).tag(tags::EXTRA_SAMPLES, [1]);
    assert_eq!(grey.chunk([0, 0, 0, 0x80]).words(), [65535, 0x8000]);
}

#[test]
fn a_fourth_sample_without_a_word_is_alpha_unless_it_is_unused() {
    let rgb = |row: [u8; 8]| Draft::new((2, 1), 4, 8, 2).chunk(row).bytes();
    assert_eq!(rgb([1, 2, 3, 0, 4, 5, 6, 9]), [1, 2, 3, 0, 4, 5, 6, 9]);
    assert_eq!(rgb([1, 2, 3, 0, 4, 5, 6, 0]), [1, 2, 3, 255, 4, 5, 6, 255]);
}

#[test]
fn predictors_go_over_samples_that_are_ignored() {
    let row = [10, 20, 30, 77, 1, 1, 1, 1, 255, 0, 0, 9];
    let draft = Draft::new((3, 1), 4, 8, 2).tag(tags::EXTRA_SAMPLES, [0]).tag(tags::PREDICTOR, [2]);
    assert_eq!(draft.lzw(&row).bytes(), [10, 20, 30, 11, 21, 31, 10, 21, 31]);
    let inks = Draft::new((2, 1), 5, 8, 5).tag(tags::PREDICTOR, [2]);
    assert_eq!(
        inks.deflate(&[0, 0, 0, 0, 9, 255, 0, 0, 0, 3]).bytes(),
        [255, 255, 255, 0, 255, 255]
    );
}

#[test]
fn inks_take_light() {
    let cmyk = |samples: u64, row: &[u8]| Draft::new((1, 1), samples, 8, 5).chunk(row);
    assert_eq!(cmyk(4, &[255, 0, 0, 0]).bytes(), [0, 255, 255]);
    assert_eq!(cmyk(4, &[0, 0, 55, 51]).bytes(), [204, 204, 160]);
    let alpha = cmyk(5, &[0, 255, 0, 0, 99]).tag(tags::EXTRA_SAMPLES, [2]);
    assert_eq!(alpha.bytes(), [255, 0, 255, 99]);
    let words = Draft::new((1, 1), 4, 16, 5).chunk([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(words.words(), [65535, 0, 65535]);
}

#[track_caller]
fn near(found: &[u8], expected: &[u8], most: u8) {
    let same = found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= most);
    assert!(same && found.len() == expected.len(), "{found:?} instead of {expected:?}");
}

#[test]
fn lab_is_converted() {
    // Made by a colour management system from sRGB red, and a blue.
    let lab = |bits, kind, row: &[u8]| Draft::new((1, 1), 3, bits, kind).chunk(row);
    near(&lab(8, 8, &[138, 81, 70]).bytes(), &[254, 0, 0], 3);
    near(&lab(8, 9, &[138, 209, 198]).bytes(), &[254, 0, 0], 3);
    near(&lab(8, 8, &[255, 0, 0]).bytes(), &[255, 255, 255], 0);
    near(&lab(8, 8, &[76, 68, 144]).bytes(), &[4, 2, 254], 6);
    let white = |kind, row: [u8; 6]| lab(16, kind, &row).words();
    assert!(white(8, [255, 255, 0, 0, 0, 0]).iter().all(|level| *level > 65500));
    assert!(white(9, [0, 255, 0, 0x80, 0, 0x80]).iter().all(|level| *level > 65500));
}

#[test]
fn ycbcr_shares_chroma() {
    let plain = Draft::new((1, 1), 3, 8, 6).tag(tags::YCBCR_SUBSAMPLING, [1, 1]);
    near(&plain.chunk([76, 85, 255]).bytes(), &[254, 0, 0], 1);
    // Three by three pixels in blocks of two by two: red, then grey without chroma.
    let (red, grey) = ([76, 76, 76, 76, 85, 255], [0, 100, 50, 200, 128, 128]);
    let blocks = [red, grey, red, grey].concat();
    let shared = Draft::new((3, 3), 3, 8, 6);
    let pixels = shared.clone().chunk(blocks.clone()).pixels().into_rgb8();
    near(&pixels.get_pixel(1, 1).0, &[254, 0, 0], 1);
    assert_eq!([pixels.get_pixel(2, 0).0, pixels.get_pixel(2, 1).0], [[0; 3], [50; 3]]);
    assert_eq!(shared.lzw(&blocks).bytes(), pixels.into_raw());
    let wide = Draft::new((2, 1), 3, 8, 6).tag(tags::YCBCR_SUBSAMPLING, [2, 1]);
    assert_eq!(wide.chunk([10, 20, 128, 128]).bytes(), [10, 10, 10, 20, 20, 20]);
}

#[test]
fn ycbcr_has_a_range_and_coefficients() {
    let over = |value: u64| value << 32 | 1;
    let range = [16, 235, 128, 240, 128, 240].map(over);
    let video = Draft::new((2, 1), 3, 8, 6).tag(tags::YCBCR_SUBSAMPLING, [1, 1]).tag_of(
        5,
        tags::REFERENCE_BLACK_WHITE,
        range,
    );
    near(&video.chunk([16, 128, 128, 235, 128, 128]).bytes(), &[0, 0, 0, 255, 255, 255], 0);
    let even = [1_f32 / 3.0; 3].map(|share| u64::from(share.to_bits()));
    let even = Draft::new((1, 1), 3, 8, 6).tag(tags::YCBCR_SUBSAMPLING, [1, 1]).tag_of(
        11,
        tags::YCBCR_COEFFICIENTS,
        even,
    );
    near(&even.chunk([85, 128, 255]).bytes(), &[254, 0, 85], 1);
}

/// A JPEG stream of a red picture.
pub fn red_jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let red = DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([220, 30, 30])));
    red.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// The segments of a JPEG stream with their marks, but for the start; the last holds the scan.
fn segments(jpeg: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut all, mut at) = (Vec::new(), 2);
    while jpeg[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        all.push((jpeg[at + 1], jpeg[at..end].to_vec()));
        at = end;
    }
    all.push((0xda, jpeg[at..].to_vec()));
    all
}

/// Moves the tables of a JPEG stream to one of their own.
fn split(jpeg: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest) = (jpeg[..2].to_vec(), jpeg[..2].to_vec());
    for (mark, segment) in segments(jpeg) {
        if matches!(mark, 0xc4 | 0xdb) { &mut tables } else { &mut rest }.extend(segment);
    }
    tables.extend([0xff, 0xd9]);
    (tables, rest)
}

#[test]
fn jpeg_inside_is_read_with_tables_of_its_own_and_shared_ones() {
    let jpeg = red_jpeg(16, 16);
    let page = |colours| Draft::new((16, 16), 3, 8, colours).tag(tags::COMPRESSION, [7]);
    let red = page(6).chunk(jpeg.clone()).pixels().into_rgb8();
    near(&red.get_pixel(9, 9).0, &[220, 30, 30], 3);
    let (tables, rest) = split(&jpeg);
    let tables: Vec<u64> = tables.into_iter().map(u64::from).collect();
    let shared = page(6).tag_of(7, tags::JPEG_TABLES, tables).chunk(rest.clone());
    assert_eq!(shared.pixels().into_rgb8(), red);
    assert!(page(6).chunk(rest).refused().to_string().contains("damaged"), "without tables");
    // As RGB, the components are what they are.
    let raw = page(2).chunk(jpeg).pixels().into_rgb8();
    near(&raw.get_pixel(9, 9).0, &[87, 96, 222], 3);
}

#[test]
fn old_jpeg_is_read_where_it_is_whole() {
    let page = Draft::new((16, 16), 3, 8, 6).tag(tags::COMPRESSION, [6]);
    let strip = page.clone().chunk(red_jpeg(16, 16));
    near(&strip.pixels().into_rgb8().get_pixel(9, 9).0, &[220, 30, 30], 3);
    // The stream of the tag begins behind the header of eight bytes.
    let tagged = strip.tag(tags::STRIP_OFFSETS, [1, 2]).tag(tags::JPEG_STREAM, [8]);
    near(&tagged.pixels().into_rgb8().get_pixel(9, 9).0, &[220, 30, 30], 3);
    let parts = page.chunk([1, 2, 3]).refused().to_string();
    assert!(parts.contains("JPEG in the old form of TIFF 6.0"), "{parts}");
}

#[test]
fn old_jpeg_is_put_together_from_a_header_and_a_strip() {
    let jpeg = red_jpeg(16, 16);
    let scan = segments(&jpeg).pop().unwrap().1;
    let header = jpeg.len() - scan.len();
    let page = Draft::new((16, 16), 3, 8, 6)
        .tag(tags::COMPRESSION, [6])
        .chunk(&jpeg[..header])
        .chunk(&scan[..scan.len() - 2])
        .tag(tags::STRIP_OFFSETS, [8 + header as u64])
        .tag(tags::STRIP_BYTE_COUNTS, [scan.len() as u64 - 2])
        .tag(tags::JPEG_STREAM, [8])
        .tag(tags::JPEG_STREAM_LENGTH, [header as u64]);
    near(&page.pixels().into_rgb8().get_pixel(9, 9).0, &[220, 30, 30], 3);
}

#[test]
fn old_jpeg_is_put_together_from_tables_and_strips() {
    let (mut kinds, mut place, mut shared) = ([const { Vec::new() }; 3], 8, [0, 0]);
    let mut page = Draft::new((16, 32), 3, 8, 6).tag(tags::COMPRESSION, [6]);
    page = page.tag(tags::ROWS_PER_STRIP, [16]);
    for (mark, segment) in segments(&red_jpeg(16, 16)) {
        match mark {
            0xc0 => shared = [segment[11] >> 4, segment[11] & 15].map(u64::from),
            0xc4 | 0xdb => {
                let kind = if mark == 0xdb { 0 } else { 1 + usize::from(segment[4] >> 4) };
                kinds[kind].push(place);
                place += segment.len() as u64 - 5;
                page = page.chunk(&segment[5..]);
            }
            0xda => {
                // Fourteen bytes of header, and the end mark.
                let strip = &segment[14..segment.len() - 2];
                page = page.chunk(strip).tag(tags::STRIP_OFFSETS, [place, place]);
                page = page.tag(tags::STRIP_BYTE_COUNTS, [strip.len() as u64; 2]);
            }
            _ => {}
        }
    }
    let numbers = [tags::JPEG_Q_TABLES, tags::JPEG_DC_TABLES, tags::JPEG_AC_TABLES];
    for (tag, offsets) in numbers.into_iter().zip(kinds) {
        page = page.tag(tag, [offsets[0], offsets[1], offsets[1]]);
    }
    let pixels = page.tag(tags::YCBCR_SUBSAMPLING, shared).pixels().into_rgb8();
    near(&pixels.get_pixel(9, 9).0, &[220, 30, 30], 3);
    near(&pixels.get_pixel(9, 25).0, &[220, 30, 30], 3);
}
