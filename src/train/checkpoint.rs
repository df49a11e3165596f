/*!
Checkpoints: the state of a training run on disk, so that a resumed run equals an uninterrupted
one.

A checkpoint is one file: magic, the length of a JSON header, the header, and the sections that it
lists. Network and optimiser are Burn's own records, which keep parameter ids.
*/

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::plan::Length;
use crate::file;

/// Magic bytes with the version.
const MAGIC: &[u8; 8] = b"BRBCKPT4";
/// Maximum length of a header (bytes).
const MAX_HEADER: usize = 1 << 20;

/// The position of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Finished outer iterations.
    pub outer: usize,
    /// Finished epochs of the current outer iteration.
    pub epoch: usize,
    /// Finished updates of the current epoch.
    pub batch: usize,
    /// Finished updates of the run.
    pub step: usize,
    /// Images shown in the run.
    pub shown: usize,
    /// Sum of the losses of the current epoch, weighted by images.
    pub loss: f32,
    /// Seconds spent.
    pub seconds: f64,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Key of the run's settings, data and weights.
    pub run: String,
    /// The extent; a budget in minutes is converted to images only once.
    pub length: Length,
    /// The position.
    pub position: Position,
    /// The state of the method.
    pub learner: Vec<Vec<f32>>,
    /// The network's record.
    pub network: Vec<u8>,
    /// The optimiser's record.
    pub optimiser: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    run: String,
    length: Length,
    position: Position,
    /// Lengths in bytes of the network, the optimiser and the method's state.
    sections: Vec<usize>,
}

impl Checkpoint {
    /// Writes the checkpoint completely or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut sections: Vec<&[u8]> = vec![&self.network, &self.optimiser];
        sections
            .extend(self.learner.iter().map(|numbers| bytemuck::cast_slice::<f32, u8>(numbers)));
        let header = serde_json::to_vec(&Header {
            run: self.run.clone(),
            length: self.length,
            position: self.position,
            sections: sections.iter().map(|section| section.len()).collect(),
        })?;
        file::write_whole(path, |out| {
            out.write_all(MAGIC)?;
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            sections.iter().try_for_each(|section| out.write_all(section))
        })
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn load(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Self::parse(&bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it is not a valid checkpoint")
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (len, rest) = rest.split_at_checked(8)?;
        let len = usize::try_from(u64::from_le_bytes(len.try_into().ok()?)).ok()?;
        let (header, mut rest) = rest.split_at_checked(len.min(MAX_HEADER))?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let mut sections = Vec::new();
        for len in header.sections {
            let (bytes, behind) = rest.split_at_checked(len)?;
            sections.push(bytes);
            rest = behind;
        }
        let ([network, optimiser], learner) = sections.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            run: header.run,
            length: header.length,
            position: header.position,
            learner: learner.iter().map(|section| numbers(section)).collect::<Option<_>>()?,
            network: network.to_vec(),
            optimiser: optimiser.to_vec(),
        })
    }
}

fn numbers(bytes: &[u8]) -> Option<Vec<f32>> {
    bytes.len().is_multiple_of(4).then(|| bytemuck::pod_collect_to_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            run: "x".into(),
            length: Length { outer: 4, epochs: 2, sample: 3 },
            position: Position { outer: 3, loss: 1.5, ..Position::default() },
            learner: vec![vec![1.0, -1.0], vec![0.25; 3]],
            network: vec![1, 2, 3],
            optimiser: vec![4, 5],
        }
    }

    #[test]
    fn reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        for learner in [vec![], vec![vec![]], vec![vec![2.0; 9], vec![1.0]]] {
            let checkpoint = Checkpoint { learner, ..checkpoint() };
            checkpoint.save(&path).unwrap();
            assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        checkpoint().save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert_eq!(Checkpoint::parse(&whole[..cut]), None, "cut at {cut}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(Checkpoint::parse(&longer), None);
        let mut lying = whole;
        lying[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Checkpoint::parse(&lying), None);
    }
}
