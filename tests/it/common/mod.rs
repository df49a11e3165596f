/*!
What the tests share: a place of their own on disk, pictures to put there, the program
to run there, and the graphics adapter where there is one.
*/

#[cfg(unix)]
pub mod browser;
pub mod collection;
mod gpu;
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

/// A temporary folder in which the program is run, as a user's home.
pub struct TestEnv {
    folder: TempDir,
}

impl TestEnv {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Self { folder }
    }

    /// With `birds/`, a folder data set of `classes` × `per_class` pictures.
    pub fn with_birds(classes: usize, per_class: usize) -> Self {
        let env = Self::new();
        env.write_classes("birds", classes, per_class);
        env
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file, and the folders it needs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `folder/class-C/N.png` for all classes C and pictures N.
    pub fn write_classes(&self, folder: &str, classes: usize, per_class: usize) {
        for (class, number) in (0..classes).flat_map(|c| (0..per_class).map(move |n| (c, n))) {
            self.write(&format!("{folder}/class-{class}/{number}.png"), png(class, number));
        }
    }

    /// The program in this folder, on the CPU unless `args` name another device.
    pub fn command(&self, args: &[&str]) -> Command {
        Command::from_std(self.plain_command(args))
    }

    /// The same for tests that hold its pipes themselves.
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

    /// Runs the program, whatever comes of it.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        let said = stderr(&output);
        assert!(!said.contains("panicked"), "{args:?} panicked: {said}");
        output
    }

    /// Runs the program, which must succeed; gives what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}: {}", output.status, stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program with `--json`; gives the one document that it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.ok(&[args, &["--json"]].concat());
        // Reading fails on anything before or behind the document.
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{args:?}: {e} in {printed}"))
    }

    /// Runs the program, which must fail with exit status 1, nothing on stdout and one
    /// sentence on stderr; gives the sentence.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?} printed to stdout although it failed");
        let other =
            |line: &&str| !line.starts_with("computing on ") && !line.starts_with("warning: ");
        let lines: Vec<&str> = said.lines().filter(other).collect();
        let [line] = lines.as_slice() else { panic!("{args:?} said more than a sentence: {said}") };
        let sentence = line.strip_prefix("error: ");
        sentence.unwrap_or_else(|| panic!("{args:?}: no 'error: ' before {line}")).to_owned()
    }

    /// Runs the program, which must refuse its arguments with exit status 2; gives what
    /// it said.
    #[track_caller]
    pub fn misused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?} printed to stdout although it failed");
        stderr(&output)
    }

    /// Trains `METHOD` on `birds/` at 64 pixels; gives the model's name.
    #[track_caller]
    pub fn train(&self, method: &str, bits: usize) -> String {
        let name = format!("{method}-{bits}.safetensors");
        let bits = bits.to_string();
        let out = ["--bits", &bits, "--out", &name, "--size", "64"];
        self.ok(&[&["train", method, "--data", "birds"], &out[..]].concat());
        name
    }
}

/// What a command said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A small picture: each class has its colours and stripes, each number its own place
/// and brightness.
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

/// The bytes of such a picture as PNG.
pub fn png(class: usize, number: usize) -> Vec<u8> {
    encoded(&picture(class, number), ImageFormat::Png)
}

/// The bytes of such a picture as JPEG.
pub fn jpeg(class: usize, number: usize) -> Vec<u8> {
    encoded(&picture(class, number), ImageFormat::Jpeg)
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
