/*!
Files that are cut, damaged, hostile, or of kinds that are not read.
*/

use proptest::prelude::*;

use super::super::order::Order;
use super::super::{read, tags};
use super::colours::red_jpeg;
use super::draft::{Draft, file};
use crate::image::{DecodeError, Limits};

#[test]
fn cut_files_are_cut() {
    let row: Vec<u8> = (0..48).collect();
    let page = Draft::new((4, 4), 3, 8, 2);
    let drafts = [page.clone().chunk(row.clone()), page.clone().lzw(&row), page.deflate(&row)];
    for (draft, big) in drafts.into_iter().flat_map(|d| [(d.clone(), false), (d, true)]) {
        let bytes = file(&[draft], Order::Little, big);
        // The offset of a next page may be missing.
        let end = bytes.len() - if big { 8 } else { 4 };
        for length in 4..end {
            let error = read(&bytes[..length], &Limits::default()).map(|_| ()).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated("TIFF")), "{error} at {length}");
        }
    }
    // The data last, as many writers have it.
    let mut tail = Draft::new((4, 4), 3, 8, 2).tag(tags::STRIP_OFFSETS, [500]).chunk([0]).little();
    tail.resize(500 + 47, 0);
    let error = read(&tail, &Limits::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, DecodeError::Truncated("TIFF")), "{error}");
    tail.push(0);
    assert!(read(&tail, &Limits::default()).is_ok());
    let jpeg = red_jpeg(16, 16);
    let page = Draft::new((16, 16), 3, 8, 6).tag(tags::COMPRESSION, [7]).chunk([0]);
    let page = page.tag(tags::STRIP_OFFSETS, [1000]);
    let mut tail = page.tag(tags::STRIP_BYTE_COUNTS, [jpeg.len() as u64]).little();
    tail.resize(1000, 0);
    assert!(read(&[&tail, jpeg.as_slice()].concat(), &Limits::default()).is_ok());
    let cut = [&tail, &jpeg[..jpeg.len() - 9]].concat();
    let error = read(&cut, &Limits::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, DecodeError::Truncated("TIFF")), "{error}");
}

#[test]
fn short_and_wrong_data_are_damage() {
    let page = Draft::new((4, 4), 3, 8, 2);
    let damage = |draft: Draft, text: &str| {
        let error = draft.refused();
        let right = matches!(error, DecodeError::Damaged { .. });
        assert!(right && error.to_string().contains(text), "{error}");
    };
    damage(page.clone().lzw(&[0; 47]), "end before their last row");
    damage(page.clone().deflate(&[0; 47]), "end before their last row");
    damage(page.clone().chunk([0xff; 48]).tag(tags::COMPRESSION, [5]), "invalid");
    damage(page.clone().chunk([0xff; 48]).tag(tags::COMPRESSION, [8]), "invalid");
    damage(page.clone().chunk([0; 48]).tag(tags::ROWS_PER_STRIP, [2]), "lists 1 strips");
    damage(page.clone().tag(tags::SAMPLES_PER_PIXEL, [2]).chunk([0; 48]), "too few for RGB");
    damage(page.clone().tag(tags::SAMPLES_PER_PIXEL, [0]).chunk([0; 48]), "0 samples");
    damage(page.clone().tiles(0, 16).chunk([0; 48]), "0 × 16 pixels");
    let jpeg = page.tag(tags::COMPRESSION, [7]).tag(tags::PHOTOMETRIC, [6]);
    let stream = red_jpeg(4, 4);
    damage(jpeg.clone().chunk(&stream[..stream.len() - 2]), "no end");
    damage(jpeg.clone().chunk(red_jpeg(3, 4)), "3 × 4 pixels instead of 4 × 4");
    damage(jpeg.tag(tags::SAMPLES_PER_PIXEL, [4]).chunk(stream), "3 components instead of 4");
}

#[test]
fn kinds_that_are_not_read_are_named() {
    let page = Draft::new((1, 1), 1, 8, 1).chunk([0; 8]);
    let named = |draft: &Draft, text: &str| {
        let error = draft.refused();
        let right = matches!(error, DecodeError::Unsupported { .. });
        assert!(right && error.to_string().contains(text), "{error} without {text}");
    };
    let codes = [(50000, "ZSTD"), (34925, "LZMA"), (34712, "JPEG 2000"), (777, "unknown (777)")];
    for (code, name) in codes {
        let text = format!("({name} compression)");
        named(&page.clone().tag(tags::COMPRESSION, [code]), &text);
    }
    named(&page.clone().tag(tags::PHOTOMETRIC, [32803]), "a camera's sensor");
    named(&page.clone().tag(tags::PHOTOMETRIC, [32845]), "LogLuv");
    named(
        &page.clone().tag(tags::STRIP_OFFSETS, [0]).tag(tags::STRIP_BYTE_COUNTS, [0]),
        "left out",
    );
    named(&Draft::new((1, 1), 3, 32, 8).chunk([0; 12]), "Lab colours of 32 bits");
    named(&Draft::new((1, 1), 1, 8, 1).tag(tags::COMPRESSION, [4]).chunk([0]), "in CCITT");
}

#[test]
fn sizes_are_checked_before_anything_is_allocated() {
    let huge = Draft::new((4_000_000_000, 4_000_000_000), 1, 8, 1).chunk([0]);
    assert!(matches!(huge.refused(), DecodeError::TooManyPixels { .. }));
    let none = Draft::new((0, 3), 1, 8, 1).chunk([0]);
    assert!(matches!(none.refused(), DecodeError::NoPixels { width: 0, height: 3 }));
    let page = Draft::new((4, 4), 1, 8, 1).chunk([0; 16]).little();
    assert!(read(&page, &Limits { max_pixels: 16 }).is_ok());
    let error = read(&page, &Limits { max_pixels: 15 }).map(|_| ()).unwrap_err();
    assert!(matches!(error, DecodeError::TooManyPixels { limit: 15, .. }), "{error}");
    let tiles = Draft::new((1, 1), 1, 8, 1).tiles(1 << 31, 1 << 31).chunk([0]);
    assert!(tiles.refused().to_string().contains("tiles are of"));
    let samples = Draft::new((16000, 16000), 1, 64, 1).tag(tags::SAMPLES_PER_PIXEL, [65535]);
    assert!(samples.chunk([0]).refused().to_string().contains("65535 samples"));
}

#[test]
fn counts_that_no_file_holds_are_cuts() {
    let mut bytes = Draft::new((4, 4), 1, 8, 1).chunk([0; 16]).little();
    let offsets = tags::STRIP_OFFSETS.to_le_bytes();
    let at = bytes.windows(2).rposition(|pair| pair == offsets).unwrap();
    bytes[at + 4..at + 8].fill(0xff);
    let error = read(&bytes, &Limits::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, DecodeError::Truncated(_)), "{error}");
}

/// Files of many kinds, to be damaged.
fn files() -> Vec<Vec<u8>> {
    let row: Vec<u8> = (0..192).collect();
    let rgb = Draft::new((8, 8), 3, 8, 2).tag(tags::PREDICTOR, [2]);
    let tiles = Draft::new((5, 3), 3, 8, 2).tiles(4, 2).tag(tags::PLANAR_CONFIGURATION, [2]);
    let tiles = (0..12).fold(tiles, |draft, _| draft.deflate(&[7; 8]));
    let floats = Draft::new((4, 4), 4, 32, 2).tag(tags::SAMPLE_FORMAT, [3; 4]).chunk([60; 256]);
    let palette = Draft::new((8, 4), 1, 4, 3).tag(tags::COLOUR_MAP, [257; 48]).chunk([3; 16]);
    let fax = Draft::new((8, 3), 1, 1, 0).tag(tags::COMPRESSION, [4]).chunk([0x99, 0x6d, 0xc0, 1]);
    let jpeg = Draft::new((16, 16), 3, 8, 6).tag(tags::COMPRESSION, [7]).chunk(red_jpeg(16, 16));
    let ycbcr = Draft::new((6, 6), 3, 8, 6).chunk([99; 54]);
    let cmyk = Draft::new((2, 2), 5, 16, 5).tag(tags::EXTRA_SAMPLES, [1]).chunk([99; 40]);
    let drafts = [rgb.lzw(&row), tiles, floats, palette, fax, jpeg, ycbcr, cmyk];
    let all = drafts.iter().flat_map(|draft| {
        let draft = std::slice::from_ref(draft);
        [file(draft, Order::Little, false), file(draft, Order::Big, true)]
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn damaged_files_never_panic(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let files = files();
        let mut bytes = which.get(&files).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(&bytes, &Limits { max_pixels: 1 << 16 });
    }
}
