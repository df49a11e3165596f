/*!
Strips, tiles, planes, compressions, pages, and what comes with a picture.
*/

use std::io::Cursor;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::super::order::Order;
use super::super::{read, tags};
use super::draft::{Draft, file};
use crate::image::Limits;
use crate::image::profile::Profile;

fn pixels(bytes: &[u8]) -> Vec<u8> {
    read(bytes, &Limits::default()).unwrap().pixels.into_bytes()
}

#[test]
fn strips_follow_each_other() {
    let strips = Draft::new((2, 3), 1, 8, 1).tag(tags::ROWS_PER_STRIP, [2]);
    let strips = strips.chunk([1, 2, 3, 4]).chunk([5, 6]);
    assert_eq!(strips.bytes(), [1, 2, 3, 4, 5, 6]);
    let whole = Draft::new((2, 1), 1, 8, 1).chunk([1, 2]);
    assert_eq!(whole.clone().tag(tags::ROWS_PER_STRIP, [0xffff_ffff]).bytes(), [1, 2]);
    assert_eq!(whole.clone().tag(tags::STRIP_BYTE_COUNTS, [0]).bytes(), [1, 2]);
    assert_eq!(whole.tag(tags::STRIP_BYTE_COUNTS, []).bytes(), [1, 2]);
}

#[test]
fn tiles_are_cut_by_the_edges() {
    // Tiles of two by two on three by three pixels; 9 lies outside.
    let tiles = [[1, 2, 4, 5], [3, 9, 6, 9], [7, 8, 9, 9], [9, 9, 9, 9]];
    let mut draft = Draft::new((3, 3), 1, 8, 1).tiles(2, 2);
    for (at, tile) in tiles.into_iter().enumerate() {
        draft = draft.chunk(if at == 3 { [0, 9, 9, 9] } else { tile });
    }
    assert_eq!(draft.bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 0]);
    // The tags of strips, as some writers have it.
    let (offsets, lengths) = ([8, 12, 16, 20], [4; 4]);
    let odd = draft.tag(tags::STRIP_OFFSETS, offsets).tag(tags::STRIP_BYTE_COUNTS, lengths);
    let mut bytes = odd.little();
    for tag in [tags::TILE_OFFSETS, tags::TILE_BYTE_COUNTS] {
        let at = bytes.windows(2).rposition(|pair| pair == tag.to_le_bytes()).unwrap();
        bytes[at] ^= 0x80;
    }
    assert_eq!(pixels(&bytes), [1, 2, 3, 4, 5, 6, 7, 8, 0]);
}

#[test]
fn planes_are_joined() {
    let planes = Draft::new((2, 1), 3, 8, 2).tag(tags::PLANAR_CONFIGURATION, [2]);
    let planes = planes.chunk([1, 2]).chunk([3, 4]).chunk([5, 6]);
    assert_eq!(planes.bytes(), [1, 3, 5, 2, 4, 6]);
    let words = Draft::new((1, 1), 3, 16, 2).tag(tags::PLANAR_CONFIGURATION, [2]);
    let words = words.chunk([1, 0]).chunk([2, 0]).chunk([3, 0]);
    assert_eq!(words.words(), [1, 2, 3]);
    // Tiles of two by one on three pixels, the fourth plane ignored.
    let mut tiles = Draft::new((3, 1), 4, 8, 2).tag(tags::EXTRA_SAMPLES, [0]).tiles(2, 1);
    tiles = tiles.tag(tags::PLANAR_CONFIGURATION, [2]).tag(tags::PREDICTOR, [2]);
    for first in [10, 20, 30, 40] {
        tiles = tiles.lzw(&[first, 1]).lzw(&[first + 2, 99]);
    }
    assert_eq!(tiles.bytes(), [10, 20, 30, 11, 21, 31, 12, 22, 32]);
}

#[test]
fn big_tiff_is_tiff() {
    let draft = Draft::new((2, 1), 3, 8, 2).tag_of(16, tags::ORIENTATION, [1]);
    let draft = draft.chunk([1, 2, 3, 4, 5, 6]);
    for order in [Order::Little, Order::Big] {
        let bytes = file(std::slice::from_ref(&draft), order, true);
        assert_eq!(pixels(&bytes), [1, 2, 3, 4, 5, 6]);
        assert_eq!(crate::image::decode(&bytes, &Limits::default()).unwrap().len(), 6);
    }
}

#[test]
fn compressions_are_undone() {
    let row: Vec<u8> = (0..200).map(|at| at / 9).collect();
    let page = Draft::new((100, 2), 1, 8, 1);
    assert_eq!(page.clone().lzw(&row).bytes(), row);
    assert_eq!(page.clone().deflate(&row).bytes(), row);
    assert_eq!(page.clone().deflate(&row).tag(tags::COMPRESSION, [32946]).bytes(), row);
    let mut old = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 8);
    let old = page.clone().tag(tags::COMPRESSION, [5]).chunk(old.encode(&row).unwrap());
    assert_eq!(old.bytes(), row, "LZW from before TIFF 6.0");
    let packed = Draft::new((7, 1), 1, 8, 1).tag(tags::COMPRESSION, [32773]);
    assert_eq!(packed.chunk([254, 5, 128, 3, 1, 2, 3, 4]).bytes(), [5, 5, 5, 1, 2, 3, 4]);
    let mut webp = Cursor::new(Vec::new());
    let red = DynamicImage::ImageRgb8(RgbImage::from_pixel(4, 4, Rgb([220, 30, 30])));
    red.write_to(&mut webp, ImageFormat::WebP).unwrap();
    let inside = Draft::new((4, 4), 3, 8, 2).tag(tags::COMPRESSION, [50001]);
    assert_eq!(inside.chunk(webp.into_inner()).bytes(), [220, 30, 30].repeat(16));
}

/// Bits as bytes, the rest of the last 0.
fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|c| *c != b' ').map(|c| c - b'0').collect();
    bits.chunks(8)
        .map(|byte| byte.iter().enumerate().map(|(at, bit)| bit << (7 - at)).sum())
        .collect()
}

#[test]
fn fax_pages_are_read() {
    // Eight pixels: a white row, then two of four white and four black.
    let page = |code: u64| Draft::new((8, 3), 1, 1, 0).tag(tags::COMPRESSION, [code]);
    let expected =
        [[255_u8; 8], [255, 255, 255, 255, 0, 0, 0, 0], [255, 255, 255, 255, 0, 0, 0, 0]];
    let expected = expected.concat();
    let end = "000000000001";
    let (white, both) = ("10011", "1011 011");
    let rows = [bits(white), bits(both), bits(both)].concat();
    assert_eq!(page(2).chunk(rows).bytes(), expected, "Huffman codes");
    let one_way = bits(&[end, white, end, both, end, both, &end.repeat(6)].concat());
    assert_eq!(page(3).chunk(one_way.clone()).bytes(), expected, "Group 3");
    let reversed: Vec<u8> = one_way.iter().map(|byte| byte.reverse_bits()).collect();
    assert_eq!(page(3).tag(tags::FILL_ORDER, [2]).chunk(reversed).bytes(), expected);
    let two_way = bits(&[end, "1", white, end, "1", both, end, "0 1 1", end, "1"].concat());
    let two_way = page(3).tag(tags::T4_OPTIONS, [1]).chunk(two_way);
    assert_eq!(two_way.bytes(), expected, "Group 3 with rows that refer to others");
    let four = ["1", "001", both, "1 1", end, end].concat();
    assert_eq!(page(4).chunk(bits(&four)).bytes(), expected, "Group 4");
    let short = ["1", end, end].concat();
    assert_eq!(page(4).chunk(bits(&short)).bytes(), [255; 24], "the rest is white");
}

#[test]
fn the_first_page_that_is_no_thumbnail_or_mask_counts() {
    let page = |level: u8| Draft::new((1, 1), 1, 8, 1).chunk([level]);
    let marked = |level, mark: u64| page(level).tag(tags::NEW_SUBFILE_TYPE, [mark]);
    let first = |pages: &[Draft]| pixels(&file(pages, Order::Little, false));
    assert_eq!(first(&[page(1), page(2)]), [1]);
    assert_eq!(first(&[marked(1, 1), marked(2, 4), marked(3, 2), page(4)]), [3]);
    assert_eq!(first(&[page(1).tag(tags::SUBFILE_TYPE, [2]), page(2)]), [2]);
    assert_eq!(first(&[marked(1, 1), marked(2, 1)]), [1], "all are marked");
}

#[test]
fn a_chain_of_pages_may_be_broken_or_endless() {
    let thumbnail = Draft::new((1, 1), 1, 8, 1).chunk([5]).tag(tags::NEW_SUBFILE_TYPE, [1]);
    let mut bytes = thumbnail.little();
    let link = bytes.len() - 4;
    for next in [bytes[4..8].to_vec(), vec![0xff; 4]] {
        bytes[link..].copy_from_slice(&next);
        assert_eq!(pixels(&bytes), [5]);
    }
    // The file may end behind the entries.
    assert_eq!(pixels(&bytes[..link]), [5]);
}

#[test]
fn orientation_is_a_short_or_long_number() {
    let page = Draft::new((1, 1), 1, 8, 1).chunk([0]);
    for kind in [3, 4] {
        let turned = page.clone().tag_of(kind, tags::ORIENTATION, [6]).picture();
        assert_eq!(turned.orientation, Orientation::Rotate90);
    }
    for odd in [0, 9, 262] {
        let plain = page.clone().tag(tags::ORIENTATION, [odd]).picture();
        assert_eq!(plain.orientation, Orientation::NoTransforms);
    }
}

#[test]
fn a_profile_comes_along_where_it_suits() {
    let mut icc = vec![0_u64; 20];
    icc[16..].copy_from_slice(&b"RGB ".map(u64::from));
    let profile = |samples, colours| {
        let page = Draft::new((1, 1), samples, 8, colours).chunk([0; 4]);
        page.tag_of(7, tags::ICC_PROFILE, icc.clone()).picture().profile
    };
    assert!(matches!(profile(3, 2), Some(Profile::Icc(bytes)) if bytes[16..] == *b"RGB "));
    assert!(profile(1, 1).is_none(), "grey");
    assert!(profile(3, 8).is_none(), "Lab is converted by its definition");
}
