/*!
A set of ids as a bitmap. Restricts the codes that a search may return.
*/

/// A subset of the ids `0..universe`, one bit per id.
///
/// ```
/// use barbule::IdSet;
///
/// let mut set = IdSet::of(100, [3, 5]);
/// set.set(7, true);
/// assert!(set.contains(5) && !set.contains(4));
/// assert_eq!((set.count(), set.and(&IdSet::of(100, [3, 4])).count()), (3, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdSet {
    /// Id `i` is bit `i % 8` of byte `i / 8`. Padded to whole 32-bit words, which GPUs
    /// read; bits from `len` on are clear.
    bytes: Vec<u8>,
    len: usize,
}

impl IdSet {
    /// Returns the empty set over the ids below `len`.
    pub fn none(len: usize) -> Self {
        Self { bytes: vec![0; len.div_ceil(32) * 4], len }
    }

    /// Returns the set of all ids below `len`.
    pub fn all(len: usize) -> Self {
        let mut set = Self { bytes: vec![u8::MAX; len.div_ceil(32) * 4], len };
        for (i, byte) in set.bytes.iter_mut().enumerate().skip(len / 8) {
            *byte = if i == len / 8 { (1 << (len % 8)) - 1 } else { 0 };
        }
        set
    }

    /// Returns the set of those `ids` that are below `len`.
    pub fn of(len: usize, ids: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::none(len);
        ids.into_iter().for_each(|id| set.set(id, true));
        set
    }

    /// The size of the universe: `len` as given to the constructor.
    pub fn universe(&self) -> usize {
        self.len
    }

    /// The number of ids in the set.
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Adds or removes an id. Ids outside the universe are ignored.
    pub fn set(&mut self, id: u32, included: bool) {
        let (byte, bit) = (id as usize / 8, 1 << (id % 8));
        match self.bytes.get_mut(byte).filter(|_| (id as usize) < self.len) {
            Some(byte) if included => *byte |= bit,
            Some(byte) => *byte &= !bit,
            None => (),
        }
    }

    /// Returns whether an id is in the set.
    pub fn contains(&self, id: u32) -> bool {
        self.bytes.get(id as usize / 8).is_some_and(|byte| byte >> (id % 8) & 1 == 1)
    }

    /// Returns the intersection of both sets, over the smaller universe.
    pub fn and(&self, other: &Self) -> Self {
        let len = self.len.min(other.len);
        let mut both = Self::none(len);
        let pairs = self.bytes.iter().zip(&other.bytes);
        both.bytes.iter_mut().zip(pairs).for_each(|(byte, (a, b))| *byte = a & b);
        both
    }

    /// The bitmap: id `i` is bit `i % 8` of byte `i / 8`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(len in 0usize..200, ids in prop::collection::vec(0u32..220, 0..50)) {
            let set = IdSet::of(len, ids.iter().copied());
            for id in 0..230 {
                prop_assert_eq!(set.contains(id), (id as usize) < len && ids.contains(&id));
                prop_assert_eq!(IdSet::all(len).contains(id), (id as usize) < len);
            }
            prop_assert_eq!(IdSet::all(len).count(), len);
            prop_assert_eq!(&set.and(&IdSet::all(len)), &set);
            let mut less = set.clone();
            ids.iter().for_each(|id| less.set(*id, false));
            prop_assert_eq!(less, IdSet::none(len));
        }
    }
}
