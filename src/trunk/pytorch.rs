/*!
Reading the tensors of a file that PyTorch's `torch.save` wrote: a dictionary of weights,
as zip archive (since PyTorch 1.6) or as a row of pickles (before).

Everything in such a file is taken for hostile: sizes are checked before anything of that
size is made, and nothing in it is run.
*/

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::{Dtype, View};

use super::pickle::{self, Id, Pickle, Value};

/// More than any trunk's tensors take together (bytes).
const MAX_TENSORS: usize = 1 << 30;
/// A longer pickle is not one of weights (bytes): it holds names and shapes alone.
const MAX_PICKLE: usize = 64 << 20;
/// More tensors than a file of weights has.
const MAX_ENTRIES: usize = 100_000;
/// Dictionaries within dictionaries.
const MAX_DEPTH: usize = 4;
/// More axes than a tensor of weights has. A file can name millions in a few bytes, and every
/// axis costs time for every value.
const MAX_AXES: usize = 8;
/// The number that older files begin with, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// A tensor by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// In row order, little-endian.
    pub data: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The tensors of a whole file.
///
/// # Errors
/// Half a sentence when it is not such a file or is damaged.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    match bytes {
        [b'P', b'K', ..] => read_zip(bytes),
        [0x80, ..] => read_pickles(bytes),
        _ => Err("it is neither a safetensors file nor one that PyTorch saved".to_owned()),
    }
}

/// The first pickle in `bytes`, and what is behind it.
fn first_pickle(bytes: &[u8]) -> Result<(Pickle, &[u8]), String> {
    let (pickle, len) = pickle::read(&bytes[..bytes.len().min(MAX_PICKLE)])?;
    Ok((pickle, &bytes[len..]))
}

fn read_zip(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let entries = zip_entries(bytes)?;
    let name = entries.keys().find(|name| name.rsplit('/').next() == Some("data.pkl"));
    let folder = name.and_then(|name| name.strip_suffix("data.pkl"));
    let folder = folder.ok_or("it is a zip archive without PyTorch's data.pkl")?;
    let mut files = HashMap::new();
    for (name, entry) in &entries {
        if let Some(name) = name.strip_prefix(folder) {
            files.insert(name, entry.open(bytes)?);
        }
    }
    if files.get("byteorder").is_some_and(|order| *order != b"little") {
        return Err(BIG_ENDIAN.to_owned());
    }
    let described = files.get("data.pkl").copied().unwrap_or_default();
    if described.len() > MAX_PICKLE {
        return Err("its data.pkl is too long for a file of weights".to_owned());
    }
    let (pickle, _) = first_pickle(described)?;
    tensors(&pickle, &|storage: &Storage<'_>| {
        let found = files.get(format!("data/{}", storage.key).as_str()).copied();
        found.ok_or_else(|| format!("its storage {} is missing", storage.key))
    })
}

/// The reason given for files from big-endian machines.
const BIG_ENDIAN: &str = "it was saved on a big-endian machine";

fn read_pickles(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let (magic, rest) = first_pickle(bytes)?;
    if !matches!(magic.root(), Value::Large(number) if number[..] == MAGIC) {
        return Err("it is a pickle, but not of weights that PyTorch saved".to_owned());
    }
    let (_protocol, rest) = first_pickle(rest)?;
    let (system, rest) = first_pickle(rest)?;
    if entry(&system, "little_endian") == Some(&Value::Bool(false)) {
        return Err(BIG_ENDIAN.to_owned());
    }
    let (pickle, rest) = first_pickle(rest)?;
    let (keys, mut rest) = first_pickle(rest)?;
    let mut sizes = HashMap::new();
    for value in pickle.values() {
        if let Value::Persistent(id) = value {
            let storage = Storage::new(&pickle, *id)?;
            sizes.insert(storage.key, storage.dtype.bitsize() / 8);
        }
    }
    let mut storages = HashMap::new();
    let Value::List(keys_in_order) = keys.root() else {
        return Err("it does not list its storages".to_owned());
    };
    for key in keys_in_order {
        let key = keys.text(*key).ok_or("a storage has no name")?;
        let size = sizes.get(key).ok_or_else(|| format!("nothing refers to its storage {key}"))?;
        let (count, behind) = rest.split_first_chunk::<8>().ok_or(CUT_OFF)?;
        let len = usize::try_from(u64::from_le_bytes(*count)).ok();
        let len = len.and_then(|count| count.checked_mul(*size)).ok_or(CUT_OFF)?;
        let (data, behind) = behind.split_at_checked(len).ok_or(CUT_OFF)?;
        storages.insert(key, data);
        rest = behind;
    }
    tensors(&pickle, &|storage: &Storage<'_>| {
        let found = storages.get(storage.key).copied();
        found.ok_or_else(|| format!("its storage {} is missing", storage.key))
    })
}

/// The reason given for a file that ends too early.
const CUT_OFF: &str = "it is cut off";

/// The value of a dictionary's key.
fn entry<'a>(pickle: &'a Pickle, key: &str) -> Option<&'a Value> {
    let Value::Dict(entries) = pickle.root() else { return None };
    let found = entries.iter().find(|(name, _)| pickle.text(*name) == Some(key));
    found.map(|(_, value)| pickle.value(*value))
}

/// A storage, as a pickle describes it: the numbers that tensors are views of.
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
}

impl<'a> Storage<'a> {
    fn new(pickle: &'a Pickle, id: Id) -> Result<Self, String> {
        let parts = pickle.list(id).unwrap_or_default();
        let &[tag, class, key, _place, _count, ref view @ ..] = parts else {
            return Err("it refers to a storage in an unknown way".to_owned());
        };
        let (Some("storage"), Value::Global(_, class), Some(key)) =
            (pickle.text(tag), pickle.value(class), pickle.text(key))
        else {
            return Err("it refers to a storage in an unknown way".to_owned());
        };
        if view.iter().any(|view| pickle.value(*view) != &Value::Opaque) {
            return Err(format!("its storage {key} is part of another"));
        }
        let dtype = match class.as_str() {
            "FloatStorage" => Dtype::F32,
            "DoubleStorage" => Dtype::F64,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            other => return Err(format!("its storage {key} is a {other}")),
        };
        Ok(Self { key, dtype })
    }
}

/// Gives the bytes of a storage.
type Open<'a, 'b> = &'a dyn Fn(&Storage<'_>) -> Result<&'b [u8], String>;

/// All tensors in the dictionary that a pickle stands for, and in those within it.
fn tensors(pickle: &Pickle, open: Open<'_, '_>) -> Result<Vec<Stored>, String> {
    let Value::Dict(root) = pickle.root() else {
        return Err("it holds no dictionary of weights; save a model's state_dict()".to_owned());
    };
    let (mut found, mut bytes, mut seen) = (Vec::new(), 0usize, 0usize);
    let mut open_dicts = vec![(String::new(), root, 0)];
    while let Some((prefix, entries, depth)) = open_dicts.pop() {
        seen = seen.saturating_add(entries.len());
        if seen > MAX_ENTRIES {
            return Err("it holds too many values for a file of weights".to_owned());
        }
        for (key, value) in entries {
            let Some(key) = pickle.text(*key).filter(|key| key.len() < 200) else { continue };
            let name = format!("{prefix}{key}");
            match pickle.value(*value) {
                Value::Dict(inner) if depth < MAX_DEPTH => {
                    open_dicts.push((format!("{name}."), inner, depth + 1));
                }
                Value::Tensor { .. } => {
                    let tensor = rebuild(pickle, *value, name, open, MAX_TENSORS - bytes)?;
                    bytes += tensor.data.len();
                    found.push(tensor);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A tensor of at most `limit` bytes from what it is rebuilt from.
fn rebuild(
    pickle: &Pickle,
    id: Id,
    name: String,
    open: Open<'_, '_>,
    limit: usize,
) -> Result<Stored, String> {
    let odd = || format!("its tensor {name} is of an unknown kind");
    let Value::Tensor { function, arguments } = pickle.value(id) else { return Err(odd()) };
    let mut call = (*function, pickle.list(*arguments).unwrap_or_default());
    // A parameter is a tensor that is learned.
    if let ("_rebuild_parameter", &[tensor, ..]) = call
        && let Value::Tensor { function, arguments } = pickle.value(tensor)
    {
        call = (function, pickle.list(*arguments).unwrap_or_default());
    }
    let ("_rebuild_tensor_v2" | "_rebuild_tensor", &[storage, offset, shape, strides, ..]) = call
    else {
        return Err(odd());
    };
    let Value::Persistent(storage) = pickle.value(storage) else { return Err(odd()) };
    let storage = Storage::new(pickle, *storage)?;
    let offset = pickle.number(offset).ok_or_else(odd)?;
    // Before the numbers are copied: a long list may be shared by many tensors.
    if pickle.list(shape).is_none_or(|axes| axes.len() > MAX_AXES) {
        return Err(odd());
    }
    let shape = pickle.numbers(shape).ok_or_else(odd)?;
    let strides = pickle.numbers(strides).filter(|s| s.len() == shape.len()).ok_or_else(odd)?;
    let size = storage.dtype.bitsize() / 8;
    let count = shape.iter().try_fold(size, |product, n| product.checked_mul(*n));
    // A stride of 0 makes any size of a few bytes.
    let bytes = count.filter(|bytes| *bytes <= limit);
    let bytes = bytes.ok_or_else(|| format!("its tensor {name} is too large for a trunk"))?;
    let from = open(&storage)?;
    let cut_off = || format!("its tensor {name} reaches beyond its storage");
    let mut data = Vec::with_capacity(bytes);
    if bytes > 0 {
        let steps = shape.iter().zip(&strides);
        let last = steps.clone().try_fold(offset, |last, (n, stride)| {
            (n - 1).checked_mul(*stride).and_then(|step| last.checked_add(step))
        });
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
        end.filter(|end| *end <= from.len()).ok_or_else(cut_off)?;
        if contiguous(&shape, &strides) {
            data.extend_from_slice(&from[offset * size..offset * size + bytes]);
        } else {
            // Positions count up like the digits of a number.
            let mut position = vec![0; shape.len()];
            for _ in 0..bytes / size {
                let at = position.iter().zip(&strides).map(|(p, s)| p * s).sum::<usize>();
                data.extend_from_slice(&from[(offset + at) * size..][..size]);
                for (digit, n) in position.iter_mut().zip(&shape).rev() {
                    *digit += 1;
                    if *digit < *n {
                        break;
                    }
                    *digit = 0;
                }
            }
        }
    }
    Ok(Stored { name, dtype: storage.dtype, shape, data })
}

/// Whether values lie in row order without gaps.
fn contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(n, stride)| {
        let fits = *n == 1 || *stride == expected;
        expected *= n;
        fits
    })
}

/// A file in a zip archive.
struct ZipEntry {
    /// Offset of its local header.
    header: usize,
    len: usize,
    /// Whether it is kept as it is.
    stored: bool,
    checksum: u32,
}

impl ZipEntry {
    /// Its content.
    fn open<'a>(&self, archive: &'a [u8]) -> Result<&'a [u8], String> {
        if !self.stored {
            return Err("it is a compressed archive, which PyTorch does not write".to_owned());
        }
        let header = archive.get(self.header..).ok_or(CUT_OFF)?;
        let begins = header.starts_with(b"PK\x03\x04");
        let names = [short(header, 26), short(header, 28)];
        let (true, [Some(name), Some(extra)]) = (begins, names) else {
            return Err("its archive is damaged".to_owned());
        };
        let data = header.get(30 + name + extra..).and_then(|rest| rest.get(..self.len));
        let data = data.ok_or(CUT_OFF)?;
        if crc32fast::hash(data) == self.checksum {
            Ok(data)
        } else {
            Err("its archive is damaged: a checksum is wrong".to_owned())
        }
    }
}

/// The two bytes at a place as a number.
fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?).into())
}

/// The four bytes at a place as a number.
fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The files of a zip archive by name, from the directory at its end. Archives of more
/// than 4 GiB are none of ours.
fn zip_entries(bytes: &[u8]) -> Result<HashMap<&str, ZipEntry>, String> {
    // The record at the very end may be followed by a comment of up to 65,535 bytes.
    let from = bytes.len().saturating_sub(22 + 0xffff);
    let end = bytes[from..].windows(4).rposition(|window| window == b"PK\x05\x06");
    let end = &bytes[from + end.ok_or("it is a zip archive that is cut off")?..];
    let end = end.get(..22).ok_or(CUT_OFF)?;
    let damaged = || "its archive is damaged".to_owned();
    let count = short(end, 10).ok_or_else(damaged)?;
    let mut at = long(end, 16).ok_or_else(damaged)? as usize;
    let (mut entries, mut total) = (HashMap::new(), 0usize);
    for _ in 0..count {
        let header = bytes.get(at..).ok_or_else(damaged)?;
        let entry = || -> Option<(&str, ZipEntry, usize)> {
            if !header.starts_with(b"PK\x01\x02") {
                return None;
            }
            let [name, extra, comment] =
                [short(header, 28)?, short(header, 30)?, short(header, 32)?];
            let entry = ZipEntry {
                header: long(header, 42)? as usize,
                len: long(header, 24)? as usize,
                stored: short(header, 10)? == 0 && short(header, 8)? & 1 == 0,
                checksum: long(header, 16)?,
            };
            let text = std::str::from_utf8(header.get(46..46 + name)?).ok()?;
            Some((text, entry, 46 + name + extra + comment))
        };
        let (name, entry, len) = entry().ok_or_else(damaged)?;
        // Files that lie one on another could be read for ever.
        total = total.saturating_add(entry.len);
        if total > bytes.len() {
            return Err(damaged());
        }
        entries.insert(name, entry);
        at += len;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use proptest::prelude::*;

    /// The values that `golden/make_resnet.py` saved in both forms.
    const ZIP: &[u8] = include_bytes!("../../tests/fixtures/tensors.pth");
    const OLD: &[u8] = include_bytes!("../../tests/fixtures/tensors-old.pth");

    /// Values of a tensor in double precision.
    fn values(tensor: &Stored) -> Vec<f64> {
        let size = tensor.dtype.bitsize() / 8;
        let value = |b: &[u8]| match tensor.dtype {
            Dtype::F16 => f16::from_le_bytes([b[0], b[1]]).to_f64(),
            Dtype::BF16 => bf16::from_le_bytes([b[0], b[1]]).to_f64(),
            Dtype::F32 => f64::from(f32::from_le_bytes(b.try_into().unwrap())),
            Dtype::F64 => f64::from_le_bytes(b.try_into().unwrap()),
            Dtype::I64 => i64::from_le_bytes(b.try_into().unwrap()) as f64,
            other => panic!("{other:?}"),
        };
        tensor.data.chunks_exact(size).map(value).collect()
    }

    #[test]
    fn every_form_of_a_tensor_is_read_from_both_kinds_of_file() {
        let eighths = |at: &[usize]| at.iter().map(|n| *n as f64 / 8.0).collect::<Vec<_>>();
        let all: Vec<usize> = (0..24).collect();
        // [2, 3, 4] with its last axis first.
        let turned: Vec<usize> =
            (0..4).flat_map(|last| (0..6).map(move |first| first * 4 + last)).collect();
        let expected = [
            ("plain", Dtype::F32, vec![2, 3, 4], eighths(&all)),
            ("half", Dtype::F16, vec![2, 3, 4], eighths(&all)),
            ("brain", Dtype::BF16, vec![2, 3, 4], eighths(&all)),
            ("double", Dtype::F64, vec![2, 3, 4], eighths(&all)),
            ("turned", Dtype::F32, vec![4, 2, 3], eighths(&turned)),
            ("part", Dtype::F32, vec![2, 2], eighths(&[16, 18, 20, 22])),
            ("parameter", Dtype::F32, vec![3, 4], eighths(&all[..12])),
            ("number", Dtype::I64, vec![], vec![17.0]),
            ("empty", Dtype::F32, vec![0, 3], vec![]),
        ];
        for file in [ZIP, OLD] {
            let found = read(file).unwrap();
            assert_eq!(found.len(), expected.len());
            for (name, dtype, shape, numbers) in &expected {
                let name = format!("state_dict.{name}");
                let tensor = found.iter().find(|tensor| tensor.name == name).unwrap();
                assert_eq!((tensor.dtype, &tensor.shape), (*dtype, shape), "{name}");
                assert_eq!(&values(tensor), numbers, "{name}");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        for file in [ZIP, OLD] {
            for len in 0..file.len() {
                assert!(read(&file[..len]).is_err(), "{len} bytes");
            }
        }
    }

    #[test]
    fn a_checksum_tells_damage() {
        let mut file = ZIP.to_vec();
        let data = 0.125f32.to_le_bytes();
        let at = file.windows(4).position(|window| window == data).unwrap();
        file[at] ^= 1;
        assert!(read(&file).unwrap_err().contains("checksum"), "of a changed number");
    }

    #[test]
    fn a_tensor_larger_than_any_trunk_is_refused() {
        // A thousand million numbers of the same four bytes.
        let mut file = b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n".to_vec();
        file.extend(b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        file.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00");
        file.extend(b"J\x00\xca\x9a;\x85K\x00\x85\x89NtRs.");
        let (pickle, _) = pickle::read(&file).unwrap();
        let open = |_: &Storage<'_>| -> Result<&'static [u8], String> { Ok(&[0; 4]) };
        assert!(tensors(&pickle, &open).unwrap_err().contains("too large"));
        // The same with a number that fits.
        let at = file.windows(5).position(|window| window == b"J\x00\xca\x9a;").unwrap();
        file[at..at + 5].copy_from_slice(b"J\x03\x00\x00\x00");
        let (pickle, _) = pickle::read(&file).unwrap();
        assert_eq!(tensors(&pickle, &open).unwrap()[0].data.len(), 12);
    }

    #[test]
    fn a_tensor_of_many_axes_is_refused() {
        // One value, over so many axes of length 1.
        let file = |axes: usize| {
            let mut file =
                b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n".to_vec();
            file.extend(b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
            file.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00");
            for number in [b"K\x01", b"K\x00"] {
                file.push(b'(');
                file.extend(number.repeat(axes));
                file.push(b't');
            }
            file.extend(b"\x89NtRs.");
            file
        };
        let open = |_: &Storage<'_>| -> Result<&'static [u8], String> { Ok(&[0; 4]) };
        let read = |axes| tensors(&pickle::read(&file(axes)).unwrap().0, &open);
        assert_eq!(read(MAX_AXES).unwrap()[0].shape, [1; MAX_AXES]);
        for axes in [MAX_AXES + 1, 61, 200_000] {
            assert!(read(axes).unwrap_err().contains("unknown kind"), "{axes} axes");
        }
    }

    proptest! {
        #[test]
        fn damaged_checkpoints_never_panic(
            old: bool,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut file = if old { OLD } else { ZIP }.to_vec();
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let _ = read(&file);
        }
    }
}
