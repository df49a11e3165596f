//! The C interface, called as C would.

use std::ffi::c_void;
use std::path::Path;
use std::ptr::{null, null_mut};

use ::image::{Rgb, RgbImage};

use super::*;
use barbule::hash::{Hash, LinearHash};
use barbule::model::format_of;

fn said() -> String {
    // SAFETY: never NULL, and nothing fails before it is copied.
    unsafe { CStr::from_ptr(barbule_last_error()) }.to_str().unwrap().to_owned()
}

fn c_path(path: &Path) -> CString {
    c_string(path.to_str().unwrap())
}

fn open_model(file: Option<&Path>) -> *mut Model {
    let (file, mut model) = (file.map(c_path), null_mut());
    let file = file.as_ref().map_or(null(), |file| file.as_ptr());
    // SAFETY: a string or NULL, a string, a place.
    let status = unsafe { barbule_model_open(file, c"cpu".as_ptr(), &mut model) };
    assert_eq!(status, Status::Ok, "{}", said());
    model
}

fn open_index(file: &Path, model: *const Model) -> *mut Index {
    let (file, mut index) = (c_path(file), null_mut());
    // SAFETY: a string, an open model, a place.
    let status = unsafe { barbule_index_open(file.as_ptr(), model, &mut index) };
    assert_eq!(status, Status::Ok, "{}", said());
    index
}

/// (id, distance, same, file name) of all hits, which are freed.
fn take(hits: *mut Hits) -> Vec<(i64, u32, bool, String)> {
    // SAFETY: `hits` came from a search.
    unsafe {
        let length = barbule_hits_len(hits);
        let all = (0..length).map(|i| {
            let hit = &*barbule_hits_get(hits, i);
            assert!(hit.label.is_null());
            let path = Path::new(CStr::from_ptr(hit.path).to_str().unwrap());
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (hit.id, hit.distance, hit.same, name)
        });
        let all = all.collect();
        assert!(barbule_hits_get(hits, length).is_null());
        barbule_hits_free(hits);
        all
    }
}

fn draw(folder: &Path, count: u32) {
    for i in 0..count {
        let pixel = |x, y| Rgb([(x * (i + 1)) as u8, (y * 3) as u8, (i * 40) as u8]);
        RgbImage::from_fn(48, 48, pixel).save(folder.join(format!("{i:02}.png"))).unwrap();
    }
}

/// Stops as soon as the total is known.
unsafe extern "C" fn stop_early(user: *mut c_void, _done: usize, total: usize) -> i32 {
    // SAFETY: the test gives a place for a number.
    unsafe { *user.cast::<usize>() = total };
    i32::from(total > 0)
}

/// Stops while the folders are listed.
unsafe extern "C" fn stop_at_once(user: *mut c_void, _done: usize, total: usize) -> i32 {
    assert_eq!(total, 0);
    // SAFETY: as above.
    unsafe { *user.cast::<usize>() += 1 };
    1
}

unsafe extern "C" fn count_up(user: *mut c_void, done: usize, total: usize) -> i32 {
    assert!(done <= total || total == 0);
    // SAFETY: as above.
    unsafe { *user.cast::<usize>() += usize::from(total > 0) };
    0
}

unsafe extern "C" fn count_skipped(user: *mut c_void, path: *const c_char, reason: *const c_char) {
    // SAFETY: strings, and a place for a number.
    unsafe {
        let (path, reason) = (CStr::from_ptr(path), CStr::from_ptr(reason));
        assert!(reason.to_str().unwrap().contains(path.to_str().unwrap()));
        *user.cast::<usize>() += 100;
    }
}

#[test]
fn a_folder_is_added_and_searched_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    draw(&photos, 4);
    std::fs::copy(photos.join("01.png"), photos.join("copy.png")).unwrap();
    std::fs::write(photos.join("broken.jpg"), "no image").unwrap();
    let model = open_model(None);
    let index = open_index(&folder.path().join("photos.db"), model);
    let names = [c_path(&photos)];
    let folders: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let mut user = 0usize;
    let place: *mut c_void = (&raw mut user).cast();
    // SAFETY: open handles, strings and places all along; the model is freed once.
    unsafe {
        assert_eq!(barbule_model_bits(model), 256);
        assert!(CStr::from_ptr(barbule_model_device(model)).to_str().unwrap().starts_with("CPU"));
        barbule_model_free(model); // the index goes on without it

        let mut length = 9;
        assert_eq!(barbule_index_len(index, &mut length), Status::Ok);
        assert_eq!(length, 0);
        for (stop, told) in [(Some(stop_at_once as _), 1), (Some(stop_early as _), 6)] {
            user = 0;
            let stopped =
                barbule_index_add(index, folders.as_ptr(), 1, stop, None, place, null_mut());
            assert_eq!((stopped, user), (Status::Stopped, told), "{}", said());
        }
        assert!(said().contains("stopped on request"));

        let (mut added, mut searched) = (Added::default(), null_mut());
        user = 0;
        let (watch, skip) = (Some(count_up as _), Some(count_skipped as _));
        let status = barbule_index_add(index, folders.as_ptr(), 1, watch, skip, place, &mut added);
        assert_eq!(status, Status::Ok, "{}", said());
        let expected = Added { found: 6, added: 5, copied: 1, skipped: 1, ..Added::default() };
        assert_eq!((added, user), (expected, 102));
        barbule_index_len(index, &mut length);
        assert_eq!(length, 5);

        // An indexed image, by its file and by its bytes: itself and its copy, marked.
        let file = photos.join("copy.png");
        let image = c_path(&file);
        assert_eq!(barbule_search_file(index, image.as_ptr(), 3, &mut searched), Status::Ok);
        let by_file = take(searched);
        let bytes = std::fs::read(&file).unwrap();
        let status = barbule_search_bytes(index, bytes.as_ptr(), bytes.len(), 3, &mut searched);
        assert_eq!(status, Status::Ok);
        assert_eq!(take(searched), by_file);
        let first: Vec<_> = by_file.iter().map(|(_, d, same, name)| (*d, *same, &**name)).collect();
        assert_eq!(first[..2], [(0, true, "01.png"), (0, true, "copy.png")]);
        assert!(!first[2].1 && first[2].0 > 0);

        // By id: that very image first, though its copy has the smaller id.
        let id = by_file[1].0;
        assert_eq!(barbule_search_id(index, id, usize::MAX, &mut searched), Status::Ok);
        let by_id = take(searched);
        assert_eq!(by_id.len(), 5);
        assert_eq!((by_id[0].0, by_id[0].2), (id, true));
        assert_eq!((by_id[1].1, by_id[1].2, &*by_id[1].3), (0, false, "01.png"));
        assert_eq!(barbule_search_id(index, id, 1, &mut searched), Status::Ok);
        assert_eq!(take(searched), by_id[..1]);
        assert_eq!(barbule_search_id(index, id, 0, &mut searched), Status::Ok);
        assert_eq!(take(searched), []);
        assert_eq!(barbule_search_id(index, 999, 3, &mut searched), Status::NotFound);
        assert!(searched.is_null() && said().contains("no image 999"), "{}", said());

        // A new image is encoded; what another handle adds is seen after a refresh.
        let (general, other) = (open_model(None), folder.path().join("other"));
        let again = open_index(&folder.path().join("photos.db"), general);
        std::fs::create_dir(&other).unwrap();
        draw(&other, 6);
        let names = c_path(&other);
        let status = barbule_index_add(
            again,
            [names.as_ptr()].as_ptr(),
            1,
            None,
            None,
            null_mut(),
            null_mut(),
        );
        assert_eq!(status, Status::Ok, "{}", said());
        barbule_index_len(index, &mut length);
        assert_eq!(length, 5);
        assert_eq!(barbule_index_refresh(index), Status::Ok);
        barbule_index_len(index, &mut length);
        assert_eq!(length, 11);
        barbule_index_free(again);
        barbule_index_free(index);
        barbule_model_free(general);
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let model = open_model(None);
    let index = open_index(&folder.path().join("i.db"), model);
    let no_text = [0xffu8, 0xfe, 0];
    let (mut other, mut hits, mut made) = (null_mut(), null_mut(), null_mut());
    let nothing: *const c_char = no_text.as_ptr().cast();
    let missing = c_path(&folder.path().join("missing"));
    // SAFETY: NULL, or what it is to be.
    unsafe {
        use Status::{Device, Image, Index, InvalidArgument, Model};
        let check = |status: Status, expected: Status, words: &str| {
            assert_eq!(status, expected, "{}", said());
            assert!(said().contains(words), "{}", said());
        };
        check(barbule_model_open(null(), c"tpu".as_ptr(), &mut other), InvalidArgument, "'tpu'");
        check(barbule_model_open(null(), nothing, &mut other), InvalidArgument, "not valid UTF-8");
        check(barbule_model_open(null(), null(), null_mut()), InvalidArgument, "is NULL");
        let cpu = c"cpu".as_ptr();
        check(barbule_model_open(missing.as_ptr(), cpu, &mut other), Model, "missing");
        assert!(other.is_null());
        check(barbule_index_open(null(), model, &mut made), InvalidArgument, "index is NULL");
        check(barbule_index_open(c"".as_ptr(), model, &mut made), InvalidArgument, "is empty");
        check(barbule_index_open(cpu, null(), &mut made), InvalidArgument, "model is NULL");
        let inside = c_path(&folder.path().join("missing/i.db"));
        check(barbule_index_open(inside.as_ptr(), model, &mut made), Index, "i.db");
        assert!(made.is_null());
        check(barbule_index_len(null(), &mut 0), InvalidArgument, "index is NULL");
        check(barbule_index_len(index, null_mut()), InvalidArgument, "result is NULL");
        check(barbule_index_refresh(null()), InvalidArgument, "index is NULL");
        let add = |folders: *const *const c_char, count| {
            barbule_index_add(index, folders, count, None, None, null_mut(), null_mut())
        };
        check(add(null(), 1), InvalidArgument, "folders are NULL");
        check(add([null()].as_ptr(), 1), InvalidArgument, "a folder is NULL");
        check(add([cpu].as_ptr(), usize::MAX), InvalidArgument, "more than memory");
        check(add([missing.as_ptr()].as_ptr(), 1), Index, "cannot read the folder");
        assert_eq!(add(null(), 0), Status::Ok);
        check(barbule_search_file(index, null(), 1, &mut hits), InvalidArgument, "image is NULL");
        check(barbule_search_file(index, missing.as_ptr(), 1, &mut hits), Image, "missing");
        check(barbule_search_bytes(index, null(), 4, 1, &mut hits), InvalidArgument, "are NULL");
        check(barbule_search_bytes(index, null(), 0, 1, &mut hits), Image, "empty");
        check(
            barbule_search_bytes(index, b"abc".as_ptr(), 3, 1, &mut hits),
            Image,
            "not an image of a known format",
        );
        check(barbule_search_id(index, 1, 1, null_mut()), InvalidArgument, "result is NULL");
        let mut pictures = null_mut();
        let status = barbule_explain_bytes(model, null(), 1, &mut pictures);
        check(status, InvalidArgument, "are NULL");
        check(barbule_pictures_write(null(), cpu), InvalidArgument, "pictures is NULL");
        assert!(barbule_pictures_rgb(null(), 0, null_mut(), null_mut()).is_null());
        assert_eq!((barbule_hits_len(null()), barbule_pictures_len(null())), (0, 0));
        assert_eq!(barbule_model_bits(null()), 0);
        // A valid device name without a device.
        let metal = barbule_model_open(null(), c"metal".as_ptr(), &mut other);
        if !cfg!(target_vendor = "apple") {
            check(metal, Device, "metal");
        }
        barbule_model_free(other);
        barbule_hits_free(null_mut());
        barbule_index_free(index);
        barbule_model_free(model);
    }
}

/// The thread safety that the header and docs/EMBEDDING.md promise.
#[test]
fn handles_may_be_shared() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Model>();
    shared::<Index>();
    shared::<Hits>();
    shared::<Pictures>();
    shared::<barbule::device::Device>();
    shared::<barbule::model::Model>();
    shared::<barbule::index::Collection>();
    sent::<barbule::index::Index>();
}

#[test]
fn a_panic_ends_here() {
    assert_eq!(guard(|| panic!("number {}", 7)), Status::Internal);
    assert!(said().contains("number 7") && said().contains("report"), "{}", said());
    // The message belongs to this thread.
    assert_eq!(std::thread::spawn(said).join().unwrap(), "");
}

#[test]
fn others_search_while_one_adds() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    draw(&photos, 40);
    let model = open_model(None);
    let index = open_index(&folder.path().join("i.db"), model);
    let name = c_path(&photos);
    let image = c_path(&photos.join("07.png"));

    /// The search of the callback during an update.
    struct Other {
        index: *mut Index,
        image: CString,
        seen: Vec<usize>,
    }
    unsafe extern "C" fn search(user: *mut c_void, _done: usize, _total: usize) -> i32 {
        // SAFETY: the test gives an `Other`, and calls never overlap.
        let other = unsafe { &mut *user.cast::<Other>() };
        let mut hits = null_mut();
        // SAFETY: an open index, a string, a place.
        let status =
            unsafe { barbule_search_file(other.index, other.image.as_ptr(), 3, &mut hits) };
        assert_eq!(status, Status::Ok, "{}", said());
        other.seen.push(take(hits).len());
        0
    }
    let mut other = Other { index, image, seen: Vec::new() };
    let user: *mut c_void = (&raw mut other).cast();
    let folders = [name.as_ptr()];
    // SAFETY: open handles, strings and places.
    unsafe {
        let status =
            barbule_index_add(index, folders.as_ptr(), 1, Some(search), None, user, null_mut());
        assert_eq!(status, Status::Ok, "{}", said());
        // All calls see the initial state: while the folder is listed, before and after the first
        // batch, and at the end.
        assert_eq!(other.seen, [0, 0, 0, 0]);
        let mut hits = null_mut();
        barbule_search_file(index, other.image.as_ptr(), 3, &mut hits);
        assert_eq!(take(hits).len(), 3);
        barbule_model_free(model);
        barbule_index_free(index);
    }
}

#[test]
fn near_duplicates_are_given_in_groups() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    draw(&photos, 1);
    std::fs::copy(photos.join("00.png"), photos.join("copy.png")).unwrap();
    let (model, name) = (open_model(None), c_path(&photos));
    let index = open_index(&folder.path().join("photos.db"), model);
    let (folders, mut found) = ([name.as_ptr()], null_mut());
    let mut calls = 0usize;
    let user: *mut c_void = (&raw mut calls).cast();
    // SAFETY: open handles, strings and places.
    unsafe {
        let status = barbule_index_add(index, folders.as_ptr(), 1, None, None, user, null_mut());
        assert_eq!(status, Status::Ok, "{}", said());
        let status = barbule_find_duplicates(index, Some(count_up), user, &mut found);
        assert_eq!(status, Status::Ok, "{}", said());
        assert!(calls > 0);
        let roles = |found: *const Duplicates| {
            let images = (0..barbule_duplicates_len(found)).map(|i| {
                let image = &*barbule_duplicates_get(found, i);
                assert!(!CStr::from_ptr(image.path).is_empty() && image.distance == 0);
                (image.group, image.role)
            });
            images.collect::<Vec<_>>()
        };
        assert_eq!(roles(found), [(0, DuplicateRole::Original), (0, DuplicateRole::Copy)]);
        assert!(barbule_duplicates_get(found, 2).is_null());
        barbule_duplicates_free(found);
        // What is gone does not count, and a hit says so.
        std::fs::remove_file(photos.join("copy.png")).unwrap();
        let status = barbule_find_duplicates(index, None, null_mut(), &mut found);
        assert_eq!((status, roles(found)), (Status::Ok, Vec::new()), "{}", said());
        barbule_duplicates_free(found);
        let (mut hits, kept) = (null_mut(), c_path(&photos.join("00.png")));
        assert_eq!(barbule_search_file(index, kept.as_ptr(), 2, &mut hits), Status::Ok);
        let gone = (0..2).map(|i| (*barbule_hits_get(hits, i)).gone);
        assert_eq!(gone.collect::<Vec<_>>(), [false, true]);
        barbule_hits_free(hits);
        assert_eq!(
            barbule_find_duplicates(null(), None, null_mut(), &mut found),
            Status::InvalidArgument
        );
        assert!(found.is_null());
        barbule_index_free(index);
        barbule_model_free(model);
    }
}

#[test]
fn attention_is_written_and_given_as_pixels() {
    let folder = tempfile::tempdir().unwrap();
    draw(folder.path(), 1);
    let image = c_path(&folder.path().join("00.png"));
    let (general, mut pictures) = (open_model(None), null_mut());
    // SAFETY: open handles, strings and places.
    unsafe {
        let status = barbule_explain_file(general, image.as_ptr(), &mut pictures);
        assert_eq!(status, Status::Model);
        assert!(pictures.is_null() && said().contains("no attention to parts"), "{}", said());
        barbule_model_free(general);
    }

    let file = folder.path().join("parts.safetensors");
    write_a_model_with_parts(&file);
    let (model, out) = (open_model(Some(&file)), folder.path().join("out"));
    // SAFETY: open handles, strings and places.
    unsafe {
        let status = barbule_explain_file(model, image.as_ptr(), &mut pictures);
        assert_eq!(status, Status::Ok, "{}", said());
        assert_eq!(barbule_pictures_len(pictures), 3);
        let (mut width, mut height) = (0, 0);
        let pixels = barbule_pictures_rgb(pictures, 1, &mut width, &mut height);
        let length = width as usize * height as usize * 3;
        let pixels = std::slice::from_raw_parts(pixels, length).to_vec();
        assert!(barbule_pictures_rgb(pictures, 3, &mut width, null_mut()).is_null());
        assert_eq!(width, 0);
        let target = c_path(&out);
        assert_eq!(barbule_pictures_write(pictures, target.as_ptr()), Status::Ok, "{}", said());
        let written = ::image::open(out.join("part-1.png")).unwrap().into_rgb8();
        assert_eq!(written.into_raw(), pixels);
        let names = ["seen.png", "part-2.png"];
        assert!(names.iter().all(|name| out.join(name).is_file()));
        // A folder cannot replace a file.
        assert_eq!(barbule_pictures_write(pictures, image.as_ptr()), Status::Write);
        assert!(said().contains("choose another folder"), "{}", said());
        barbule_pictures_free(pictures);

        let bytes = std::fs::read(folder.path().join("00.png")).unwrap();
        let status = barbule_explain_bytes(model, bytes.as_ptr(), bytes.len(), &mut pictures);
        assert_eq!((status, barbule_pictures_len(pictures)), (Status::Ok, 3), "{}", said());
        barbule_pictures_free(pictures);
        barbule_model_free(model);
    }
}

/// An untrained network with two attention parts.
fn write_a_model_with_parts(file: &Path) {
    use barbule::network::{Extractor, Parts};
    use barbule::trunk::{Trunk, TrunkKind, weights};

    let device = barbule::device::Device::open(barbule::device::DeviceChoice::Cpu, None).unwrap();
    let burn = device.burn();
    let mut network = Extractor::from(weights::shipped(&burn).unwrap());
    let refine = Trunk::new(TrunkKind::EfficientNetLite0, &burn).refine;
    network.parts = Some(Parts::new(2, refine, &burn));
    let general = barbule::model::Model::general(&device).unwrap();
    let card = general.card().clone().with(|card| {
        (card.bits, card.parts, card.shared_trunk) = (1, 2, None);
    });
    let dim = card.features();
    let hash = Hash::from(LinearHash::new(vec![0.0; dim], vec![1.0; dim]).unwrap());
    let card = card.with(|card| card.format = format_of(&hash, &card.layers()));
    barbule::model::write(file, &card, network, &hash).unwrap();
}
