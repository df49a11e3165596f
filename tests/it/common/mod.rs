/*!
Shared test utilities: a temporary folder, test images, runs of the program, and the GPU.
*/

#[cfg(unix)]
pub mod browser;
pub mod collection;
mod gpu;
pub mod page;
pub mod published;
#[cfg(unix)]
pub mod server;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{self, Output};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

pub use gpu::gpu;

/// A temporary folder that is the program's working and home directory.
pub struct TestEnv {
    folder: TempDir,
}

impl TestEnv {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Self { folder }
    }

    /// Creates `birds/`, a folder data set of `classes` × `per_class` images.
    pub fn with_birds(classes: usize, per_class: usize) -> Self {
        let env = Self::new();
        env.write_classes("birds", classes, per_class);
        env
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file and creates its parent folders.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `folder/class-C/N.png` for all classes C and image numbers N.
    pub fn write_classes(&self, folder: &str, classes: usize, per_class: usize) {
        for (class, number) in (0..classes).flat_map(|c| (0..per_class).map(move |n| (c, n))) {
            self.write(&format!("{folder}/class-{class}/{number}.png"), png(class, number));
        }
    }

    /// Prepares the program in this folder, on the CPU unless `args` contain `--device`.
    pub fn command(&self, args: &[&str]) -> Command {
        Command::from_std(self.plain_command(args))
    }

    /// Like [`TestEnv::command`], for tests that manage the pipes themselves.
    pub fn plain_command(&self, args: &[&str]) -> process::Command {
        let mut command = process::Command::new(cargo_bin("barbule"));
        command.current_dir(self.root()).env("HOME", self.root());
        command.env("XDG_RUNTIME_DIR", self.path("run")).env_remove("XDG_DATA_HOME");
        command.env("RUST_BACKTRACE", "1").args(args);
        if !args.contains(&"--device") {
            command.args(["--device", "cpu"]);
        }
        command
    }

    /// Runs the program with any exit status; it must not panic.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        let said = stderr(&output);
        assert!(!said.contains("panicked"), "{args:?} panicked: {said}");
        output
    }

    /// Runs the program, which must succeed, and returns its stdout.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}: {}", output.status, stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program with `--json` and returns the parsed document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.ok(&[args, &["--json"]].concat());
        // Parsing fails if anything precedes or follows the document.
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{args:?}: {e} in {printed}"))
    }

    /// Runs the program, which must fail with exit status 1, an empty stdout and one line on
    /// stderr, and returns that line without `error: `.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?} printed to stdout although it failed");
        let other =
            |line: &&str| !line.starts_with("computing on ") && !line.starts_with("warning: ");
        let lines: Vec<&str> = said.lines().filter(other).collect();
        let [line] = lines.as_slice() else {
            panic!("{args:?} printed more than one line: {said}")
        };
        let sentence = line.strip_prefix("error: ");
        sentence.unwrap_or_else(|| panic!("{args:?}: no 'error: ' before {line}")).to_owned()
    }

    /// Runs the program, which must refuse its arguments with exit status 2, and returns its
    /// stderr.
    #[track_caller]
    pub fn misused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?} printed to stdout although it failed");
        stderr(&output)
    }

    /// Trains `method` on `birds/` at 64 pixels and returns the name of the model's file.
    #[track_caller]
    pub fn train(&self, method: &str, bits: usize) -> String {
        let name = format!("{method}-{bits}.safetensors");
        let bits = bits.to_string();
        let out = ["--bits", &bits, "--out", &name, "--size", "64"];
        self.ok(&[&["train", method, "--data", "birds"], &out[..]].concat());
        name
    }
}

/// The folder of the checkout.
///
/// Read when the test runs: a build may be kept while the checkout moves.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.unwrap_or_else(|| ".".into()).join("../..")
}

/// Returns the stderr of a command as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Draws a small image: `class` determines its colours and stripes, `number` their position and
/// brightness.
pub fn picture(class: usize, number: usize) -> RgbImage {
    let colour = |k: usize| 40 + (class * 67 + k * 91) % 170;
    let (width, height) = (72 + (number % 3) as u32 * 8, 64);
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as usize + number * 3, y as usize + number * 5);
        let along = if class.is_multiple_of(2) { x } else { x + 2 * y };
        let dark = usize::from((along / (4 + class)).is_multiple_of(2)) * 30;
        Rgb([0, 1, 2].map(|k| (colour(k) + number % 7 - dark) as u8))
    })
}

/// Returns such an image as PNG.
pub fn png(class: usize, number: usize) -> Vec<u8> {
    encoded(&picture(class, number), ImageFormat::Png)
}

/// Returns such an image as JPEG.
pub fn jpeg(class: usize, number: usize) -> Vec<u8> {
    encoded(&picture(class, number), ImageFormat::Jpeg)
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
