/*!
Samples of all sizes and kinds.
*/

use super::super::order::Order;
use super::super::{read, tags};
use super::draft::{Draft, file};
use crate::image::Limits;

/// A row of grey samples.
fn grey(width: u64, bits: u64, row: impl Into<Vec<u8>>) -> Draft {
    Draft::new((width, 1), 1, bits, 1).chunk(row)
}

#[test]
fn few_bits_fill_a_byte() {
    assert_eq!(
        grey(10, 1, [0b1010_0000, 0b0100_0000]).bytes(),
        [255, 0, 255, 0, 0, 0, 0, 0, 0, 255]
    );
    assert_eq!(grey(4, 2, [0b00_01_10_11]).bytes(), [0, 85, 170, 255]);
    assert_eq!(grey(3, 4, [0x0f, 0x80]).bytes(), [0, 255, 136]);
    // 111 000 100: seven, none and four of seven.
    assert_eq!(grey(3, 3, [0b1110_0010, 0]).bytes(), [255, 0, 146]);
    assert_eq!(grey(2, 8, [7, 200]).bytes(), [7, 200]);
    // Without the tag, samples are of one bit.
    assert_eq!(grey(2, 1, [0x40]).without(tags::BITS_PER_SAMPLE).bytes(), [0, 255]);
}

#[test]
fn more_bits_fill_a_word() {
    assert_eq!(grey(2, 12, [0xff, 0xf8, 0x00]).words(), [65535, 32776]);
    assert_eq!(grey(2, 16, [0x34, 0x12, 0xff, 0xff]).words(), [0x1234, 65535]);
    assert_eq!(grey(1, 24, [0, 0x34, 0x12]).words(), [0x1234]);
    assert_eq!(grey(1, 32, [0, 0, 0x34, 0x12]).words(), [0x1234]);
    assert_eq!(grey(1, 32, [0, 0, 0x34, 0x12]).tag(tags::SAMPLE_FORMAT, [1]).words(), [0x1234]);
    assert_eq!(grey(1, 64, [0, 0, 0, 0, 0, 0, 0x34, 0x12]).words(), [0x1234]);
    let rgb = Draft::new((1, 1), 3, 32, 2).chunk([0, 0, 0, 0x80, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(rgb.words(), [0x8000, 0x0403, 0x0807], "no floating point");
}

#[test]
fn big_endian_files_swap_whole_bytes_only() {
    let read = |draft: Draft| {
        let bytes = file(&[draft], Order::Big, false);
        read(&bytes, &Limits::default()).unwrap().pixels.into_luma16().into_raw()
    };
    assert_eq!(read(grey(1, 16, [0x12, 0x34])), [0x1234]);
    assert_eq!(read(grey(1, 32, [0x12, 0x34, 5, 6])), [0x1234]);
    assert_eq!(read(grey(2, 12, [0xff, 0xf8, 0x00])), [65535, 32776]);
    let half = grey(1, 32, 0.5_f32.to_be_bytes()).tag(tags::SAMPLE_FORMAT, [3]);
    assert_eq!(read(half), [32768]);
}

#[test]
fn white_may_be_zero_and_bits_reversed() {
    let white = |bits, row: &[u8]| Draft::new((2, 1), 1, bits, 0).chunk(row);
    assert_eq!(white(1, &[0x40]).bytes(), [255, 0]);
    assert_eq!(white(8, &[0, 200]).bytes(), [255, 55]);
    assert_eq!(white(16, &[0, 0, 1, 0]).words(), [65535, 65534]);
    let reversed = grey(2, 8, [0b1000_0000, 0b0000_0011]).tag(tags::FILL_ORDER, [2]);
    assert_eq!(reversed.bytes(), [1, 192]);
}

/// A row of grey floating-point samples of 32 bits.
fn floats(values: &[f32]) -> Draft {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    grey(values.len() as u64, 32, bytes).tag(tags::SAMPLE_FORMAT, [3])
}

#[test]
fn floating_point_is_black_to_white_from_0_to_1_or_from_least_to_greatest() {
    assert_eq!(floats(&[0.25, 0.5, 0.75]).words(), [16384, 32768, 49151]);
    assert_eq!(floats(&[-100.0, 0.0, 300.0]).words(), [0, 16384, 65535]);
    assert_eq!(floats(&[f32::NAN, 0.5, f32::INFINITY]).words(), [0, 32768, 0]);
    assert_eq!(floats(&[7.0, 7.0]).words(), [0, 0]);
    assert_eq!(floats(&[f32::NAN]).words(), [0]);
    assert_eq!(floats(&[f32::MIN, 0.0, f32::MAX]).words(), [0, 32768, 65535]);
}

#[test]
fn floating_point_has_16_24_32_or_64_bits() {
    let float = |bits, row: &[u8]| grey(1, bits, row).tag(tags::SAMPLE_FORMAT, [3]).words();
    assert_eq!(float(16, &[0x00, 0x38]), [32768], "a half");
    assert_eq!(float(24, &[0x00, 0x00, 0x3e]), [32768], "a half");
    assert_eq!(float(64, &0.5_f64.to_le_bytes()), [32768]);
    let refused = grey(1, 8, [0]).tag(tags::SAMPLE_FORMAT, [3]).refused().to_string();
    assert!(refused.contains("floating-point samples of 8 bits"), "{refused}");
}

#[test]
fn signed_samples_run_from_the_least_to_the_greatest() {
    let signed = |bits, row: &[u8], width| grey(width, bits, row).tag(tags::SAMPLE_FORMAT, [2]);
    let row: Vec<u8> = [-100_i16, 100, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(signed(16, &row, 3).words(), [0, 65535, 32768]);
    assert_eq!(signed(12, &[0xff, 0xf0, 0x01], 2).words(), [0, 65535]);
    assert_eq!(signed(8, &[0x80, 7], 2).bytes(), [128, 7], "as if unsigned");
}

#[test]
fn predictors_are_undone_at_every_size() {
    let predicted = |bits, row: &[u8]| {
        let width = row.len() as u64 * 8 / bits;
        Draft::new((width, 1), 1, bits, 1).tag(tags::PREDICTOR, [2]).lzw(row)
    };
    assert_eq!(predicted(8, &[5, 1, 255]).bytes(), [5, 6, 5]);
    assert_eq!(predicted(16, &[0xff, 0, 1, 0]).words(), [0xff, 0x100]);
    assert_eq!(predicted(32, &[0, 0, 1, 0, 0, 0, 2, 0]).words(), [1, 3]);
    let big = file(&[predicted(16, &[0, 0xff, 0, 1])], Order::Big, false);
    let big = read(&big, &Limits::default()).unwrap().pixels;
    assert_eq!(big.into_luma16().into_raw(), [0xff, 0x100]);
    let refused = predicted(4, &[0]).refused().to_string();
    assert!(refused.contains("a predictor with 4-bit samples"), "{refused}");
    // Plain rows have none, whatever the tag says.
    assert_eq!(grey(2, 8, [5, 1]).tag(tags::PREDICTOR, [2]).bytes(), [5, 1]);
}

#[test]
fn the_floating_point_predictor_is_undone() {
    // 0.5 and 0.25 are 3f000000 and 3e800000: sorted 3f 3e 00 80 00 00 00 00, then differences.
    let row = [0x3f, 0xff, 0xc2, 0x80, 0x80, 0, 0, 0];
    let draft = Draft::new((2, 1), 1, 32, 1).tag(tags::SAMPLE_FORMAT, [3]);
    assert_eq!(draft.tag(tags::PREDICTOR, [3]).deflate(&row).words(), [32768, 16384]);
}

#[test]
fn odd_samples_are_named() {
    let refused = |draft: Draft| draft.refused().to_string();
    let complex = grey(1, 64, [0; 8]).tag(tags::SAMPLE_FORMAT, [6]);
    assert!(refused(complex).contains("complex numbers"));
    let mixed = Draft::new((1, 1), 3, 8, 2).tag(tags::BITS_PER_SAMPLE, [5, 6, 5]).chunk([0; 3]);
    assert!(refused(mixed).contains("samples of different sizes"));
    let kinds = Draft::new((1, 1), 3, 32, 2).tag(tags::SAMPLE_FORMAT, [1, 1, 3]);
    assert!(refused(kinds.chunk([0; 12])).contains("samples of different kinds"));
    assert!(refused(grey(1, 128, [0; 16])).contains("128-bit samples"));
}
