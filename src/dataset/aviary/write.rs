/*! An aviary on disk, in the layout of CUB-200-2011 with its lists of parts. */

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::{Aviary, Part, Specimen};
use crate::dataset::parts::{BOXES, TELLING};
use crate::task::{Stopped, Task};

/// Pictures that are drawn between two looks at whether to stop.
const BATCH: usize = 32;

/// How an aviary is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writing {
    /// Pictures of each species.
    pub per_species: usize,
    /// Width and height of a picture, in pixels.
    pub size: u32,
    /// The share of each species' pictures that are for training.
    pub train: f64,
}

/// Why an aviary could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AviaryError {
    /// A file or folder could not be written.
    #[error("cannot write {}: {error}; free some space or name another folder", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The folder holds something already.
    #[error("{} is not empty; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Aviary {
    /// Writes pictures and lists below `root`, which must be empty or not there.
    ///
    /// Besides the lists of CUB-200-2011 (`parts/part_locs.txt` gives the middle of each
    /// part) there are two of our own: `parts/part_boxes.txt` with `image part left top
    /// right bottom visible`, and `parts/telling.txt` with the part by which a class
    /// differs from its nearest one. The lists come last: a folder without them is no
    /// data set, so a run that was stopped leaves none that is believed.
    ///
    /// # Errors
    /// When something cannot be written, or the work is stopped.
    pub fn write(&self, root: &Path, how: &Writing, task: &Task<'_>) -> Result<(), AviaryError> {
        let failed = |path: &Path, error| AviaryError::Write { path: path.to_owned(), error };
        let full =
            |root: &Path| fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
        if full(root) {
            return Err(AviaryError::NotEmpty(root.to_owned()));
        }
        for folder in (0..self.species.len()).map(|species| self.folder(species)) {
            let path = root.join("images").join(folder);
            fs::create_dir_all(&path).map_err(|error| failed(&path, error))?;
        }
        let pictures: Vec<(usize, usize)> = (0..self.species.len())
            .flat_map(|species| (0..how.per_species).map(move |image| (species, image)))
            .collect();
        let mut specimens = Vec::with_capacity(pictures.len());
        for batch in pictures.chunks(BATCH) {
            task.step(specimens.len(), pictures.len())?;
            let written: Result<Vec<_>, AviaryError> = batch
                .par_iter()
                .map(|(species, image)| {
                    let mut specimen = self.specimen(*species, *image, how.size);
                    let path = root.join("images").join(self.place(*species, *image));
                    save(&specimen, &path).map_err(|error| failed(&path, error))?;
                    // What the lists need is small; thousands of pictures are not.
                    specimen.picture = image::RgbImage::default();
                    Ok(specimen)
                })
                .collect();
            specimens.extend(written?);
        }
        task.step(specimens.len(), pictures.len())?;
        let parts = root.join("parts");
        fs::create_dir_all(&parts).map_err(|error| failed(&parts, error))?;
        for (name, text) in self.lists(&pictures, &specimens, how) {
            let path = root.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    /// The folder of a species, in CUB's manner: `017.Rusty_Reedling`.
    fn folder(&self, species: usize) -> String {
        let name = self.species.get(species).map(|s| s.name.replace(' ', "_"));
        format!("{:03}.{}", species + 1, name.unwrap_or_default())
    }

    fn place(&self, species: usize, image: usize) -> String {
        let folder = self.folder(species);
        let name = folder.split_once('.').map_or("", |(_, name)| name);
        format!("{folder}/{name}_{:04}.jpg", image + 1)
    }

    /// All lists by their names, the one that makes a data set of the folder last.
    fn lists(
        &self,
        pictures: &[(usize, usize)],
        specimens: &[Specimen],
        how: &Writing,
    ) -> Vec<(String, String)> {
        let training = (how.per_species as f64 * how.train).round() as usize;
        let [mut images, mut labels, mut split, mut birds, mut locations, mut boxes] =
            [const { String::new() }; 6];
        for (number, ((species, image), specimen)) in (1..).zip(pictures.iter().zip(specimens)) {
            // Writing to a string never fails.
            let _ = writeln!(images, "{number} {}", self.place(*species, *image));
            let _ = writeln!(labels, "{number} {}", species + 1);
            let _ = writeln!(split, "{number} {}", u8::from(*image < training));
            let bird = specimen.bird;
            let (width, height) = (bird.right - bird.left, bird.bottom - bird.top);
            let _ = writeln!(birds, "{number} {} {} {width} {height}", bird.left, bird.top);
            for part in &specimen.parts {
                let (id, area, visible) = (id(part.part), part.area, u8::from(part.visible));
                let middle = |from: u32, to: u32| f64::from(from + to) / 2.0;
                let (x, y) = (middle(area.left, area.right), middle(area.top, area.bottom));
                let _ = writeln!(locations, "{number} {id} {x:.1} {y:.1} {visible}");
                let (l, t, r, b) = (area.left, area.top, area.right, area.bottom);
                let _ = writeln!(boxes, "{number} {id} {l} {t} {r} {b} {visible}");
            }
        }
        let parts: String =
            Part::ALL.iter().map(|part| format!("{} {}\n", id(*part), part.name())).collect();
        let classes = (0..self.species.len()).map(|s| format!("{} {}\n", s + 1, self.folder(s)));
        let telling = self.species.iter().zip(1..);
        let telling = telling.map(|(s, number)| format!("{number} {}\n", id(s.telling)));
        [
            ("parts/parts.txt", parts),
            ("parts/part_locs.txt", locations),
            (BOXES, boxes),
            (TELLING, telling.collect()),
            ("bounding_boxes.txt", birds),
            ("classes.txt", classes.collect()),
            ("image_class_labels.txt", labels),
            ("train_test_split.txt", split),
            ("images.txt", images),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
    }
}

/// A part's number in the lists, from 1.
fn id(part: Part) -> usize {
    part as usize + 1
}

fn save(specimen: &Specimen, path: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, specimen.quality);
    specimen.picture.write_with_encoder(encoder).map_err(io::Error::other)?;
    fs::write(path, bytes)
}
