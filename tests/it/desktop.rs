/*!
The window of `examples/desktop`, on a screen that nobody sees.

It is not built with the tests: `BARBULE_DESKTOP` names it. Without one the tests say that they
are skipped, or fail where `BARBULE_REQUIRE_DESKTOP=1` asks for it.
*/

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::TestEnv;
use image::{Rgb, RgbImage};

/// An X server without a screen.
struct Screen {
    server: Child,
    name: String,
}

impl Screen {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is needed to test a window");
        // It writes the number of its display once it can be used.
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program, if there is one to be tested.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("BARBULE_DESKTOP").map(PathBuf::from);
    let required = std::env::var("BARBULE_REQUIRE_DESKTOP").is_ok_and(|v| v == "1");
    assert!(named.is_some() || !required, "BARBULE_REQUIRE_DESKTOP=1, but no BARBULE_DESKTOP");
    if named.is_none() {
        eprintln!("skipped: BARBULE_DESKTOP names no window");
    }
    named
}

/// A window in a folder of its own, with two groups of plain pictures to index.
struct Window {
    env: TestEnv,
    program: PathBuf,
    screen: Screen,
}

/// Colours that nothing else in the window has.
const COLOURS: [[u8; 3]; 4] = [[250, 10, 200], [240, 30, 190], [10, 220, 60], [20, 210, 80]];

impl Window {
    fn new() -> Option<Self> {
        let (program, env) = (program()?, TestEnv::new());
        for (colour, name) in COLOURS.iter().zip(["a", "b", "c", "d"]) {
            let picture = RgbImage::from_pixel(90, 70, Rgb(*colour));
            let path = env.write(&format!("photos/{name}.png"), "");
            picture.save(path).unwrap();
        }
        Some(Self { env, program, screen: Screen::start() })
    }

    /// Runs it to its end: exit status, what it said on stderr of itself, and what it looked
    /// like if it saved that.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, Option<RgbImage>) {
        let picture = self.env.path("w.png");
        let _ = std::fs::remove_file(&picture);
        let output = assert_cmd::Command::new(&self.program)
            .current_dir(self.env.root())
            .env("HOME", self.env.root())
            .env("XDG_RUNTIME_DIR", self.env.path("run"))
            .env("DISPLAY", &self.screen.name)
            .env_remove("WAYLAND_DISPLAY")
            .args(args)
            .args(["--screenshot", "w.png"])
            .timeout(std::time::Duration::from_secs(120))
            .output()
            .unwrap();
        let said = crate::common::stderr(&output);
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), said, image::open(&picture).ok().map(|p| p.into_rgb8()))
    }
}

/// How many pixels have exactly this colour.
fn count(picture: &RgbImage, colour: [u8; 3]) -> usize {
    picture.pixels().filter(|pixel| pixel.0 == colour).count()
}

#[test]
fn a_folder_is_indexed_and_look_alikes_are_shown() {
    let Some(window) = Window::new() else { return };
    window.env.write("photos/broken.jpg", "no image");

    // At first nothing is indexed, and it says what to do.
    let (code, said, empty) = window.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let empty = empty.expect("a picture of the window");
    assert_eq!(empty.dimensions(), (1120, 780));

    let args = ["--folder", "photos", "--query", "photos/c.png"];
    let (code, said, picture) = window.run(&args);
    assert_eq!(code, Some(0), "{said}");
    let picture = picture.expect("a picture of the window");
    for colour in COLOURS {
        assert_eq!(count(&empty, colour), 0);
        let shown = count(&picture, colour);
        assert!(shown > 80 * 60, "{colour:?}: {shown} pixels");
    }
    // The query image comes first, then the image most similar to it.
    let first = |colour| picture.enumerate_pixels().find(|(_, _, p)| p.0 == colour).unwrap().0;
    let [a, b, c, d] = COLOURS.map(first);
    assert!(c < d && d < a.min(b), "{a} {b} {c} {d}");

    // What the window has indexed is there for everyone, and the index is free again.
    let status = window.env.json(&["status", "--index", "desktop.db"]);
    assert_eq!(status["images"], 4, "{status}");
    std::fs::remove_file(window.env.path("photos/b.png")).unwrap();
    window.env.ok(&["index", "--index", "desktop.db"]);
    let (_, _, picture) = window.run(&["--query", "photos/c.png"]);
    let picture = picture.expect("a picture of the window");
    assert_eq!((count(&picture, COLOURS[1]), count(&picture, COLOURS[0]) > 0), (0, true));
}

#[test]
fn what_cannot_be_done_is_said() {
    let Some(window) = Window::new() else { return };
    let cases: [(&[&str], &str); 5] = [
        (&["--folder", "nowhere"], "nowhere"),
        (&["--folder", "photos/a.png"], "a.png"),
        (&["--query", "nothing.png"], "nothing.png"),
        (&["--index", "photos/a.png", "--folder", "photos"], "a.png"),
        (&["--colour", "red"], "--colour"),
    ];
    for (args, names) in cases {
        let (code, said, _) = window.run(args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        let sentence =
            said.lines().find(|line| line.starts_with("error: ") && line.contains(names));
        assert!(sentence.is_some(), "{args:?}: {said}");
    }
}
