/*!
The tensors of a published file, by name, and the few changes of layout that its forms need.
*/

use half::{bf16, f16};
use safetensors::Dtype;

use crate::cause::Cause;
use crate::trunk::pytorch::Stored;

/// The tensors of a published file, without those that a trunk never has.
#[derive(Debug)]
pub(super) struct Tensors {
    all: Vec<Stored>,
}

/// Prefixes that training programs add to tensor names.
const WRAPPERS: [&str; 6] = ["state_dict", "model", "module", "teacher", "backbone", "trunk"];

impl Tensors {
    /// Strips wrapper prefixes from names, and drops counters.
    pub fn new(mut all: Vec<Stored>) -> Self {
        for tensor in &mut all {
            while let Some((first, rest)) = tensor.name.split_once('.')
                && WRAPPERS.contains(&first)
            {
                tensor.name = rest.to_owned();
            }
        }
        all.retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
        Self { all }
    }

    pub fn into_inner(self) -> Vec<Stored> {
        self.all
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.all.iter().find(|tensor| tensor.name == name)
    }

    /// Returns the shape of a tensor, empty if there is none.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.get(name).map_or(&[], |tensor| &tensor.shape)
    }

    /// Whether a name contains `part`.
    pub fn any(&self, part: &str) -> bool {
        self.all.iter().any(|tensor| tensor.name.contains(part))
    }

    /// Counts the numbers that follow `prefix` in names: 12 for `blocks.0.` … `blocks.11.`.
    pub fn count(&self, prefix: &str) -> usize {
        let number = |tensor: &Stored| {
            let rest = tensor.name.strip_prefix(prefix)?;
            rest.split('.').next()?.parse::<usize>().ok()
        };
        self.all.iter().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
    }

    /// Drops the tensors whose name `unwanted` tells.
    pub fn drop(&mut self, unwanted: impl Fn(&str) -> bool) {
        self.all.retain(|tensor| !unwanted(&tensor.name));
    }

    /// Replaces parts of names, one pair after the other.
    pub fn rename(&mut self, pairs: &[(&str, &str)]) {
        for tensor in &mut self.all {
            for (from, to) in pairs {
                if tensor.name.contains(from) {
                    tensor.name = tensor.name.replace(from, to);
                }
            }
        }
    }

    /// Renames the tensors whose name begins with `from`.
    pub fn rename_first(&mut self, pairs: &[(&str, &str)]) {
        for tensor in &mut self.all {
            let found = pairs.iter().find_map(|(from, to)| {
                tensor.name.strip_prefix(from).map(|rest| format!("{to}{rest}"))
            });
            if let Some(name) = found {
                tensor.name = name;
            }
        }
    }

    /// Removes and returns a tensor.
    pub fn take(&mut self, name: &str) -> Option<Stored> {
        let at = self.all.iter().position(|tensor| tensor.name == name)?;
        Some(self.all.swap_remove(at))
    }

    pub fn push(&mut self, tensor: Stored) {
        self.all.push(tensor);
    }

    /// Drops axes of length 1 beyond `axes`, from the front or from the back.
    pub fn reshape(&mut self, name: impl Fn(&str) -> bool, axes: usize) {
        for tensor in self.all.iter_mut().filter(|tensor| name(&tensor.name)) {
            while tensor.shape.len() > axes && tensor.shape.first() == Some(&1) {
                tensor.shape.remove(0);
            }
            while tensor.shape.len() > axes && tensor.shape.last() == Some(&1) {
                tensor.shape.pop();
            }
        }
    }

    /// Joins tensors of all names along their first axis, in order, to one. Does nothing if there is
    /// none of them; those that are missing are zeros if they are `optional`.
    ///
    /// # Errors
    /// If one is missing, or their shapes or types differ.
    pub fn join(&mut self, names: [&str; 3], to: &str, optional: bool) -> Result<(), Cause> {
        let found = names.map(|name| self.take(name));
        let Some(first) = found.iter().flatten().next() else { return Ok(()) };
        let (dtype, shape, length) = (first.dtype, first.shape.clone(), first.data.len());
        let mut data = Vec::with_capacity(3 * length);
        for (part, name) in found.iter().zip(names) {
            match part {
                Some(part) if part.dtype == dtype && part.shape == shape => {
                    data.extend_from_slice(&part.data);
                }
                Some(_) => return Err(format!("{name} does not fit the tensors beside it").into()),
                None if optional => data.resize(data.len() + length, 0),
                None => return Err(format!("missing tensor {name}").into()),
            }
        }
        let mut shape = shape;
        if let Some(first) = shape.first_mut() {
            *first *= 3;
        }
        self.push(Stored { name: to.to_owned(), dtype, shape, data });
        Ok(())
    }
}

/// Swaps the two axes of a matrix; other tensors stay.
pub(super) fn transposed(tensor: Stored) -> Stored {
    let [rows, columns] = tensor.shape[..] else { return tensor };
    let size = tensor.data.len() / (rows * columns).max(1);
    let mut data = Vec::with_capacity(tensor.data.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            data.extend_from_slice(&tensor.data[at..at + size]);
        }
    }
    Stored { shape: vec![columns, rows], data, ..tensor }
}

/// Returns the values of a tensor; empty if they are not floating-point numbers.
pub(super) fn floats(tensor: &Stored) -> Vec<f32> {
    let pairs = || tensor.data.as_chunks::<2>().0.iter().copied();
    match tensor.dtype {
        Dtype::F32 => {
            tensor.data.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()
        }
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        _ => Vec::new(),
    }
}

/// Creates a tensor of single-precision values.
pub(super) fn single(name: &str, shape: Vec<usize>, values: &[f32]) -> Stored {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { name: name.to_owned(), dtype: Dtype::F32, shape, data }
}
