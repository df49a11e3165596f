//! A desktop window for image search: choose a folder, drop an image.
//!
//! `cargo run --release -p barbule-desktop`
//!
//! Options: `--index FILE` (default `desktop.db`), `--folder DIR` to index, `--query IMAGE` to
//! search for. With `--screenshot FILE.png` the window does this, saves a screenshot of itself and
//! closes. This works without a screen, too:
//!
//! `xvfb-run -a -s "-screen 0 1280x900x24" barbule-desktop --folder DIR --query IMAGE --screenshot w.png`

mod options;
mod worker;

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use barbule::index::Hit;
use eframe::egui::{
    self, Align2, Color32, ColorImage, CornerRadius, FontId, Key, ProgressBar, Rect, RichText,
    Sense, TextureHandle, TextureOptions, Ui, ViewportBuilder, ViewportCommand, pos2, vec2,
};
use options::Options;
use worker::{Tell, Worker};

/// Width and height of a picture in the grid, in points.
const TILE: f32 = 168.0;
/// Height of the caption of a tile, in points.
const CAPTION: f32 = 40.0;
/// Maximum number of cached thumbnails.
const KEPT: usize = 400;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args_os().skip(1).map(PathBuf::from))?;
    let failure = Arc::new(Mutex::new(None));
    let viewport = ViewportBuilder::default().with_inner_size([1120.0, 780.0]);
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let told = failure.clone();
    let create = move |context: &eframe::CreationContext<'_>| {
        Ok(Box::new(Window::new(context.egui_ctx.clone(), options, told)) as Box<dyn eframe::App>)
    };
    eframe::run_native("Barbule", native, Box::new(create))?;
    let failure = failure.lock().map_or(None, |mut failure| failure.take());
    failure.map_or(Ok(()), |message: String| Err(message.into()))
}

struct Window {
    worker: Worker,
    /// Contents of the text fields.
    folder: String,
    query: String,
    bits: usize,
    /// (done, total) while images are indexed.
    indexing: Option<(usize, usize)>,
    searching: bool,
    /// The query image of the hits.
    shown: Option<PathBuf>,
    hits: Vec<Hit>,
    /// `None` while a thumbnail is being made, `Some(None)` if the image cannot be read.
    thumbnails: HashMap<PathBuf, Option<Option<TextureHandle>>>,
    status: String,
    error: Option<String>,
    /// The file of `--screenshot` until it is saved.
    screenshot: Option<PathBuf>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Window {
    fn new(ctx: egui::Context, options: Options, failure: Arc<Mutex<Option<String>>>) -> Self {
        let Options { index, folder, query, screenshot } = options;
        let worker = Worker::start(index, move || ctx.request_repaint());
        let text = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
        let mut window = Self {
            worker,
            folder: text(&folder).unwrap_or_default(),
            query: text(&query).unwrap_or_default(),
            bits: 0,
            indexing: None,
            searching: false,
            shown: None,
            hits: Vec::new(),
            thumbnails: HashMap::new(),
            status: "opening the model …".to_owned(),
            error: None,
            screenshot,
            failure,
        };
        if let Some(folder) = folder {
            window.index(&folder);
        }
        if let Some(query) = query {
            window.search(&query);
        }
        window
    }

    fn index(&mut self, folder: &Path) {
        self.folder = folder.display().to_string();
        (self.indexing, self.error) = (Some((0, 0)), None);
        self.worker.index(folder);
    }

    fn search(&mut self, query: &Path) {
        self.query = query.display().to_string();
        (self.searching, self.error) = (true, None);
        self.worker.search(query);
    }

    /// Handles the messages of the worker.
    fn listen(&mut self, ctx: &egui::Context) {
        for told in self.worker.told() {
            match told {
                Tell::Ready { images, bits, device } => {
                    self.bits = bits;
                    self.status = format!("{images} images indexed · {device}");
                }
                Tell::Progress { done, total } => self.indexing = Some((done, total)),
                Tell::Indexed { images, added, skipped, stopped } => {
                    self.indexing = None;
                    let unusable = match skipped {
                        0 => String::new(),
                        n => format!(", {n} could not be used"),
                    };
                    let cancelled =
                        if stopped { " · cancelled; index again to continue" } else { "" };
                    self.status =
                        format!("{images} images indexed ({added} new{unusable}){cancelled}");
                }
                Tell::Found { query, hits } => {
                    self.searching = false;
                    if self.thumbnails.len() > KEPT {
                        self.thumbnails.clear();
                    }
                    (self.shown, self.hits) = (Some(query), hits);
                }
                Tell::Thumbnail { path, picture } => {
                    let texture = picture.map(|picture| {
                        let size = [picture.width() as usize, picture.height() as usize];
                        let pixels = ColorImage::from_rgb(size, picture.as_raw());
                        ctx.load_texture(path.display().to_string(), pixels, TextureOptions::LINEAR)
                    });
                    self.thumbnails.insert(path, Some(texture));
                }
                Tell::Failed(message) => {
                    (self.indexing, self.searching) = (None, false);
                    self.error = Some(message);
                }
            }
        }
    }

    /// Indexes a dropped folder and searches for a dropped file.
    fn take_dropped(&mut self, ctx: &egui::Context) {
        let dropped = ctx.input(|input| input.raw.dropped_files.clone());
        for file in dropped {
            let path = file.path();
            if path.is_dir() { self.index(path) } else { self.search(path) }
        }
    }

    fn controls(&mut self, ui: &mut Ui) {
        ui.add_space(10.0);
        let busy = self.indexing.is_some();
        let folder =
            Entry { name: "Folder", hint: "a folder of photos, or drop it here", action: "Index" };
        if folder.show(ui, &mut self.folder, !busy) {
            self.index(&PathBuf::from(self.folder.trim()));
        }
        ui.add_space(4.0);
        let image = Entry {
            name: "Image",
            hint: "an image to search for, or drop it here",
            action: "Search",
        };
        if image.show(ui, &mut self.query, true) {
            self.search(&PathBuf::from(self.query.trim()));
        }
        if let Some((done, total)) = self.indexing {
            ui.add_space(6.0);
            let (text, done) = match total {
                0 => (format!("looking for new images: {done} found …"), 0.0),
                _ => (format!("{done} of {total} new images"), done as f32 / total as f32),
            };
            ui.horizontal(|ui| {
                let width = ui.available_width() - 90.0;
                let bar = ProgressBar::new(done).desired_width(width).desired_height(26.0);
                ui.add(bar.text(text).animate(true));
                if ui.add_sized([80.0, 26.0], egui::Button::new("Cancel")).clicked() {
                    self.worker.cancel();
                }
            });
        }
        ui.add_space(8.0);
    }

    fn state(&self, ui: &mut Ui) {
        ui.add_space(6.0);
        match &self.error {
            Some(error) => ui.colored_label(ui.visuals().error_fg_color, error),
            None if self.searching && self.indexing.is_some() => {
                ui.label("searching as soon as the folder is indexed …")
            }
            None if self.searching => ui.label("searching …"),
            None => ui.label(&self.status),
        };
        ui.add_space(6.0);
    }

    /// Shows the query and its hits; a click on a hit searches for it.
    fn results(&mut self, ui: &mut Ui) {
        let Some(query) = self.shown.clone() else {
            ui.centered_and_justified(|ui| {
                let text = "Drop a folder of photos here, then an image to find its look-alikes.";
                ui.label(RichText::new(text).size(18.0).weak());
            });
            return;
        };
        let hits = std::mem::take(&mut self.hits);
        let mut clicked = None;
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.add_space(6.0);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(12.0, 12.0);
                self.tile(ui, &query, "the query image", None);
                for hit in hits.iter().filter(|hit| !(hit.same && Path::new(&hit.path) == query)) {
                    let caption = match hit.distance {
                        _ if hit.same => "the same image".to_owned(),
                        1 => "1 bit away".to_owned(),
                        bits => format!("{bits} bits away"),
                    };
                    // Codes of unrelated images differ in half of their bits.
                    let near = 1.0 - hit.distance as f32 / (self.bits.max(2) / 2) as f32;
                    let path = Path::new(&hit.path);
                    if self.tile(ui, path, &caption, Some(near.max(0.0))) {
                        clicked = Some(path.to_owned());
                    }
                }
            });
        });
        self.hits = hits;
        if let Some(path) = clicked {
            self.search(&path);
        }
    }

    /// Shows one picture with its caption and, for a hit, a bar that is longer for nearer hits.
    fn tile(&mut self, ui: &mut Ui, path: &Path, caption: &str, near: Option<f32>) -> bool {
        let sense = if near.is_some() { Sense::click() } else { Sense::hover() };
        let (rect, response) = ui.allocate_exact_size(vec2(TILE, TILE + CAPTION), sense);
        if !ui.is_rect_visible(rect) {
            return false;
        }
        let thumbnail = match self.thumbnails.get(path) {
            Some(thumbnail) => thumbnail.clone(),
            None => {
                self.worker.thumbnail(path);
                self.thumbnails.insert(path.to_owned(), None);
                None
            }
        };
        let (painter, visuals) = (ui.painter(), ui.visuals());
        let accent = visuals.selection.bg_fill;
        let (text, weak) = (visuals.strong_text_color(), visuals.text_color());
        let frame = Rect::from_min_size(rect.min, vec2(TILE, TILE));
        painter.rect_filled(frame, CornerRadius::same(6), visuals.extreme_bg_color);
        match thumbnail {
            Some(Some(texture)) => {
                let size = texture.size_vec2();
                let scale = ((TILE - 8.0) / size.max_elem()).min(1.5);
                let inside = Rect::from_center_size(frame.center(), size * scale);
                let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                painter.image(texture.id(), inside, whole, Color32::WHITE);
            }
            waiting => {
                let says = if waiting.is_some() { "cannot be read" } else { "…" };
                let font = FontId::proportional(13.0);
                painter.text(frame.center(), Align2::CENTER_CENTER, says, font, weak);
            }
        }
        if near.is_none() || response.hovered() {
            let stroke = egui::Stroke::new(2.0, accent);
            painter.rect_stroke(frame, CornerRadius::same(6), stroke, egui::StrokeKind::Inside);
        }
        let below = frame.left_bottom() + vec2(0.0, 4.0);
        if let Some(near) = near {
            let bar = Rect::from_min_size(below, vec2(TILE, 3.0));
            painter.rect_filled(bar, CornerRadius::same(1), visuals.extreme_bg_color);
            let part = Rect::from_min_size(below, vec2(TILE * near, 3.0));
            painter.rect_filled(part, CornerRadius::same(1), accent);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for (line, (says, colour)) in [(caption, text), (&*name, weak)].into_iter().enumerate() {
            let at = below + vec2(2.0, 5.0 + 16.0 * line as f32);
            let font = FontId::proportional(12.5);
            let mut job = egui::text::LayoutJob::simple_singleline(says.to_owned(), font, colour);
            job.wrap = egui::text::TextWrapping::truncate_at_width(TILE - 4.0);
            painter.galley(at, painter.layout_job(job), colour);
        }
        response.on_hover_text(path.display().to_string()).clicked()
    }

    /// With `--screenshot`: saves the window once everything is shown.
    fn save_screenshot(&mut self, ctx: &egui::Context) {
        let pending = self.thumbnails.values().any(Option::is_none);
        let busy = self.indexing.is_some() || self.searching || self.bits == 0;
        // The worker may have failed before it knew the bits.
        if self.error.is_none() && (busy || pending) {
            return;
        }
        let Some(file) = self.screenshot.take() else { return };
        let failure = self.failure.clone();
        let fail = move |message: String| {
            if let Ok(mut failure) = failure.lock() {
                failure.get_or_insert(message);
            }
        };
        if let Some(error) = &self.error {
            fail(error.clone());
        }
        let context = ctx.clone();
        ctx.request_screenshot(move |pixels| {
            let [width, height] = pixels.size;
            let bytes: Vec<u8> = pixels.pixels.iter().flat_map(|p| [p.r(), p.g(), p.b()]).collect();
            let picture = image::RgbImage::from_raw(width as u32, height as u32, bytes);
            match picture.map(|picture| picture.save(&file)) {
                Some(Ok(())) => {}
                Some(Err(error)) => fail(format!("cannot write {}: {error}", file.display())),
                None => fail("the screenshot has no pixels".to_owned()),
            }
            context.send_viewport_cmd(ViewportCommand::Close);
        });
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.listen(&ctx);
        self.take_dropped(&ctx);
        egui::Panel::top("controls").show(ui, |ui| self.controls(ui));
        egui::Panel::bottom("state").show(ui, |ui| self.state(ui));
        egui::CentralPanel::default().show(ui, |ui| self.results(ui));
        if ctx.input(|input| !input.raw.hovered_files.is_empty()) {
            let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop"));
            let (painter, whole) = (ctx.layer_painter(layer), ctx.content_rect());
            painter.rect_filled(whole, CornerRadius::ZERO, Color32::from_black_alpha(160));
            let (font, says) = (FontId::proportional(22.0), "Drop to index or to search");
            painter.text(whole.center(), Align2::CENTER_CENTER, says, font, Color32::WHITE);
        }
        self.save_screenshot(&ctx);
    }
}

/// A text field with a name and a button.
struct Entry {
    name: &'static str,
    hint: &'static str,
    action: &'static str,
}

impl Entry {
    /// Returns whether the user triggered the action.
    fn show(&self, ui: &mut Ui, text: &mut String, enabled: bool) -> bool {
        ui.horizontal(|ui| {
            ui.add_sized([52.0, 26.0], egui::Label::new(self.name));
            let field =
                egui::TextEdit::singleline(text).hint_text(self.hint).align(Align2::LEFT_CENTER);
            let field = ui.add_sized([ui.available_width() - 90.0, 26.0], field);
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            let ready = enabled && !text.trim().is_empty();
            let button = egui::Button::new(self.action);
            let pressed = ui.add_enabled_ui(ready, |ui| ui.add_sized([80.0, 26.0], button)).inner;
            ready && (pressed.clicked() || entered)
        })
        .inner
    }
}
