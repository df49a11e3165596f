/*!
Writing an aviary to disk, in the layout of CUB-200-2011 including its lists of parts.
*/

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::{Aviary, Part, Specimen};

/// The list of boxes: `image part left top right bottom visible`, in pixels; right and bottom are
/// exclusive.
const BOXES: &str = "parts/part_boxes.txt";
/// The list of distinguishing parts: `class part`.
const TELLING: &str = "parts/telling.txt";
/// Number of pictures between two calls of the progress callback.
const BATCH: usize = 32;

/// Options for writing an aviary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writing {
    /// Pictures per species.
    pub per_species: usize,
    /// Width and height of a picture, in pixels.
    pub size: u32,
    /// Share of each species' pictures that are training images.
    pub train: f64,
}

/// An error of writing an aviary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AviaryError {
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}; free some space or name another folder", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder is not empty.
    #[error("{} is not empty; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The work was stopped.
    #[error("stopped on request; the folder contains pictures but no lists")]
    Stopped,
}

impl Aviary {
    /// Writes pictures and lists below `root`, which must be empty or missing.
    ///
    /// Besides the lists of CUB-200-2011 (`parts/part_locs.txt` contains the centre of each part),
    /// there are two more: `parts/part_boxes.txt` with `image part left top right bottom visible`,
    /// and `parts/telling.txt` with the part in which each class differs from its nearest one. The
    /// lists are written last. A folder without lists is not a data set, so a stopped run does not
    /// leave an incomplete data set.
    ///
    /// `step` is called regularly with the numbers (done, total) of pictures, and returns whether
    /// to continue.
    ///
    /// # Errors
    /// If a file or folder cannot be written, `root` is not empty, or `step` returned `false`.
    pub fn write(
        &self,
        root: &Path,
        how: &Writing,
        step: &dyn Fn(usize, usize) -> bool,
    ) -> Result<(), AviaryError> {
        let step = |done: usize| {
            if step(done, self.species.len() * how.per_species) {
                Ok(())
            } else {
                Err(AviaryError::Stopped)
            }
        };
        let failed = |path: &Path, source| AviaryError::Write { path: path.to_owned(), source };
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
            step(specimens.len())?;
            let written: Result<Vec<_>, AviaryError> = batch
                .par_iter()
                .map(|(species, image)| {
                    let mut specimen = self.specimen(*species, *image, how.size);
                    let path = root.join("images").join(self.place(*species, *image));
                    save(&specimen, &path).map_err(|error| failed(&path, error))?;
                    // Drops the picture, to save memory: the lists do not need it.
                    specimen.picture = image::RgbImage::default();
                    Ok(specimen)
                })
                .collect();
            specimens.extend(written?);
        }
        step(specimens.len())?;
        let parts = root.join("parts");
        fs::create_dir_all(&parts).map_err(|error| failed(&parts, error))?;
        for (name, text) in self.lists(&pictures, &specimens, how) {
            let path = root.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    /// Returns the folder of a species in CUB style, such as `017.Rusty_Reedling`.
    fn folder(&self, species: usize) -> String {
        let name = self.species.get(species).map(|s| s.name.replace(' ', "_"));
        format!("{:03}.{}", species + 1, name.unwrap_or_default())
    }

    fn place(&self, species: usize, image: usize) -> String {
        let folder = self.folder(species);
        let name = folder.split_once('.').map_or("", |(_, name)| name);
        format!("{folder}/{name}_{:04}.jpg", image + 1)
    }

    /// Returns all lists with their names. `images.txt` is last: no reader accepts the folder
    /// without it.
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

/// Returns a part's number in the lists, from 1.
fn id(part: Part) -> usize {
    part as usize + 1
}

fn save(specimen: &Specimen, path: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, specimen.quality);
    specimen.picture.write_with_encoder(encoder).map_err(io::Error::other)?;
    fs::write(path, bytes)
}
