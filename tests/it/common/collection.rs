/*!
Collections of random codes, as a source.
*/

use barbule::code::Code;
use barbule::engine::{BATCH, Batch, EngineError, Head, Source};

/// A collection in memory.
#[derive(Debug, Clone)]
pub struct Collection {
    pub head: Head,
    pub all: Batch,
    at: usize,
}

/// Pseudo-random numbers that are the same on every platform (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Collection {
    /// Creates `images` images with codes around 50 centres, so that many distances are equal.
    /// Every seventh image has the content of the previous one, every third has no label.
    pub fn random(images: usize, bits: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let bytes = bits.div_ceil(8);
        let row = |numbers: &mut Numbers| -> Vec<u8> {
            let words = (0..bytes.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes());
            words.take(bytes).collect()
        };
        let centres: Vec<Vec<u8>> = (0..50).map(|_| row(&mut numbers)).collect();
        let mut all = Batch::new(bits).unwrap();
        let mut id = 0;
        for number in 0..images {
            id += 1 + (numbers.next() % 3) as i64;
            all.ids.push(id);
            let folder = number % 11;
            let odd = if number % 1000 == 17 { "\n\"odd\"" } else { "" };
            all.paths.push(format!("/photos/folder {folder}/{number}{odd}.jpg"));
            all.labels.push(match number % 3 {
                0 => None,
                1 => Some(format!("kind {}", number % 50)),
                _ => Some(String::new()),
            });
            let mut content = [0; 32];
            for chunk in content.chunks_mut(8) {
                chunk.copy_from_slice(&numbers.next().to_le_bytes());
            }
            let same = number % 7 == 6;
            all.contents.push(if same { all.contents[number - 1] } else { content });
            // Flips the bits that are set in all three random rows, 1/8 of them on average.
            let flips = [row(&mut numbers), row(&mut numbers), row(&mut numbers)];
            let mut code = centres[number % 50].clone();
            for (k, byte) in code.iter_mut().enumerate() {
                *byte ^= flips[0][k] & flips[1][k] & flips[2][k];
            }
            if !bits.is_multiple_of(8) {
                code[bytes - 1] &= (1 << (bits % 8)) - 1;
            }
            if same {
                let before = all.codes.row_bytes(number - 1);
                all.codes.push_bytes(&before).unwrap();
            } else {
                all.codes.push_bytes(&code).unwrap();
            }
        }
        Self::of(all)
    }

    /// Creates a collection of these images.
    pub fn of(all: Batch) -> Self {
        let (bits, images) = (all.codes.bits(), all.len() as u64);
        let mut head = Head::new(bits, "ab".repeat(32), images);
        head.roots = vec!["/photos".to_owned()];
        Self { head, all, at: 0 }
    }

    /// Returns the images of the given rows.
    pub fn select(&self, rows: &[usize]) -> Batch {
        let mut batch = self.all.clone();
        batch.ids = rows.iter().map(|row| self.all.ids[*row]).collect();
        batch.paths = rows.iter().map(|row| self.all.paths[*row].clone()).collect();
        batch.labels = rows.iter().map(|row| self.all.labels[*row].clone()).collect();
        batch.contents = rows.iter().map(|row| self.all.contents[*row]).collect();
        batch.codes = self.all.codes.select(rows);
        batch
    }

    /// Returns query codes: stored codes with a few bits flipped.
    pub fn queries(&self, count: usize) -> Vec<Code> {
        let mut numbers = Numbers(99);
        let mut query = || {
            let row = (numbers.next() % self.all.len() as u64) as usize;
            let mut bytes = self.all.codes.row_bytes(row);
            bytes[0] ^= (numbers.next() & numbers.next()) as u8 & 15;
            Code::from_bytes(self.head.bits, &bytes).unwrap()
        };
        (0..count).map(|_| query()).collect()
    }
}

impl Source for Collection {
    fn head(&self) -> &Head {
        &self.head
    }

    fn stamp(&self) -> String {
        format!("{} images, {:?}", self.all.len(), self.all.contents.first())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        let rows: Vec<usize> = (self.at..self.all.len().min(self.at + BATCH)).collect();
        self.at += rows.len();
        Ok((!rows.is_empty()).then(|| self.select(&rows)))
    }
}

/// Reads all images of a source into one batch.
pub fn everything(source: &mut dyn Source) -> Result<Batch, EngineError> {
    let mut all = Batch::new(source.head().bits)?;
    while let Some(batch) = source.next_batch()? {
        all.ids.extend(batch.ids);
        all.paths.extend(batch.paths);
        all.labels.extend(batch.labels);
        all.contents.extend(batch.contents);
        all.codes.extend(&batch.codes)?;
    }
    Ok(all)
}
