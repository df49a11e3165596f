// A part of the image that is looked for: a box is drawn on its picture with the mouse, a finger or
// a pen, or moved with the keys, and only what is in it is searched for. On a hit, a box shows the
// part in which it was found. `page.js`, which is read first, has the helpers.
"use strict";

const CLICK = 6; // the pointer may move by so many pixels in a click; a side of a box has more
const STEP = 0.02; // how far a key moves the box: a share of the picture's side, as all of an area
const MIDDLE = { left: 0.25, top: 0.25, right: 0.75, bottom: 0.75 };

let drawing = null; // the box that is being drawn
let swallow = false; // whether the click that ends a drag is still to come
let viewed = null; // what the large view shows, as `shown.query`
let box = null; // the area of its box, or null

const within = (value, least = 0, most = 1) => Math.min(Math.max(value, least), most);

// ---- Areas as text, in percent: "12.5%,10%,40%,33.33%"

function cropOf(area) {
  const percent = (share) => Math.round(1e4 * share) / 100;
  const sides = [area.left, area.top, area.right, area.bottom].map(percent);
  const [left, top, right, bottom] = sides;
  // The difference of two rounded numbers is not round itself.
  const lengths = [left, top, right - left, bottom - top].map((number) => Number(number.toFixed(2)) + "%");
  return lengths.join(",");
}

// The area of a text; null for one in pixels, since a preview does not have the picture's own.
function areaOf(crop) {
  const parts = (crop || "").split(",").map((part) => /^\s*([0-9.]+)%\s*$/.exec(part));
  if (parts.length !== 4 || parts.includes(null)) return null;
  const [left, top, width, height] = parts.map((part) => Number(part[1]) / 100);
  const area = { left: within(left), top: within(top), right: within(left + width), bottom: within(top + height) };
  return area.right > area.left && area.bottom > area.top ? area : null;
}

// ---- Pictures on the screen

// A picture that is there, and not still the one before.
const isReady = (image) => image.complete && image.naturalWidth > 0;

// Where a picture is in its element, which may be wider or higher (`object-fit: contain`).
function pictured(image) {
  const { clientWidth, clientHeight, naturalWidth, naturalHeight } = image;
  const scale = Math.min(clientWidth / naturalWidth, clientHeight / naturalHeight);
  const width = naturalWidth * scale;
  const height = naturalHeight * scale;
  return { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
}

// The point of a picture under the pointer, or the nearest one.
function pointOf(image, event) {
  const element = image.getBoundingClientRect();
  const { left, top, width, height } = pictured(image);
  return {
    x: within((event.clientX - element.left - left) / width),
    y: within((event.clientY - element.top - top) / height),
  };
}

// Draws an area over a picture.
function place(frame, image, area) {
  frame.hidden = !area || !isReady(image);
  if (frame.hidden) return;
  const { left, top, width, height } = pictured(image);
  frame.style.left = image.offsetLeft + left + area.left * width + "px";
  frame.style.top = image.offsetTop + top + area.top * height + "px";
  frame.style.width = (area.right - area.left) * width + "px";
  frame.style.height = (area.bottom - area.top) * height + "px";
}

// ---- The part that is searched for

// Called whenever what is looked for changes; null if there is none or it was refused.
function showCrop(query) {
  stopDrawing();
  const asks = Boolean(query && (query.id || query.file));
  // A refused part leaves the way to the whole image.
  const { crop } = asks ? query : wish();
  at("crop").hidden = !asks && !crop;
  at("crop-hint").hidden = at("crop-start").hidden = !asks;
  const part = areaOf(crop) ? "Only the part in the box is searched for." : "Only a part of it is searched for.";
  at("crop-hint").textContent = crop ? part : "Drag over the picture to search for a part of it.";
  // Where the model looks is shown in a square of the picture, on which a box would be elsewhere.
  at("crop-hint").hidden ||= looking();
  at("crop-start").textContent = crop ? "Search for another part…" : "Search for a part…";
  at("crop-whole").hidden = !crop;
  placePreview();
}

const cropShown = () => (shown.query && !looking() ? areaOf(shown.query.crop) : null);

// What is being drawn on a surface, if that has begun.
const drawnOn = (surface) => drawing && drawing.surface === surface && drawing.area;
const placePreview = () => place(at("preview-box"), at("preview-image"), drawnOn(at("preview")) || cropShown());
const placeLarge = () => place(at("large-box"), at("large-image"), drawnOn(at("stage")) || box);

function searchFor(query, crop) {
  if (at("large").open) at("large").close();
  if (query.file) go("/", crop ? { sent: query.number, crop } : { sent: query.number });
  else go("/?" + new URLSearchParams(crop ? { id: query.id, crop } : { id: query.id }));
}

// ---- Drawing

// Lets a box be drawn on the picture of a surface, if it `can` be, to search for a part of `query`.
function drawOn(surface, image, { can, query, redraw, tell }) {
  surface.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary || !isReady(image) || !can()) return;
    const { clientX: x, clientY: y } = event;
    const from = pointOf(image, event);
    drawing = { surface, redraw, pointer: event.pointerId, x, y, from, query: query(), area: null };
    surface.setPointerCapture(event.pointerId);
  });
  const mine = (event) => drawing && drawing.surface === surface && drawing.pointer === event.pointerId;
  surface.addEventListener("pointermove", (event) => {
    if (!mine(event)) return;
    if (!drawing.area && Math.hypot(event.clientX - drawing.x, event.clientY - drawing.y) < CLICK) return;
    const { from } = drawing;
    const to = pointOf(image, event);
    drawing.area = {
      left: Math.min(from.x, to.x),
      top: Math.min(from.y, to.y),
      right: Math.max(from.x, to.x),
      bottom: Math.max(from.y, to.y),
    };
    surface.classList.add("drawing");
    redraw();
  });
  surface.addEventListener("pointerup", (event) => {
    if (!mine(event)) return;
    const { area, query } = drawing;
    stopDrawing();
    if (!area) return;
    swallow = true;
    const { width, height } = pictured(image);
    const shorter = Math.min((area.right - area.left) * width, (area.bottom - area.top) * height);
    if (shorter >= CLICK) searchFor(query, cropOf(area));
    else tell("That part is too small: draw a larger box.");
  });
  // Otherwise the browser takes a quick stroke for a scroll that goes on, and the next tap only
  // stops that.
  surface.addEventListener("touchmove", (event) => {
    if (drawing && drawing.area && event.cancelable) event.preventDefault();
  }, { passive: false });
  for (const end of ["pointercancel", "lostpointercapture"]) {
    surface.addEventListener(end, (event) => { if (mine(event)) stopDrawing(); });
  }
}

// Ends drawing, with the box as it was before.
function stopDrawing() {
  if (!drawing) return;
  const { surface, redraw } = drawing;
  drawing = null;
  surface.classList.remove("drawing");
  redraw();
}

drawOn(at("preview"), at("preview-image"), {
  can: () => shown.query && !looking(), query: () => shown.query, redraw: placePreview, tell: say,
});
drawOn(at("stage"), at("large-image"), {
  can: () => viewed, query: () => viewed, redraw: placeLarge, tell: (text) => { at("large-say").textContent = text; },
});

// A drag of the mouse ends in a click too, which is not meant as one. Clicks of keys have no detail.
addEventListener("pointerdown", (event) => {
  swallow = false;
  // Two fingers zoom.
  if (!event.isPrimary) stopDrawing();
}, true);
addEventListener("click", (event) => {
  if (!swallow || !event.detail) return;
  swallow = false;
  event.preventDefault();
  event.stopPropagation();
}, true);
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drawing || drawing.surface !== at("preview")) return;
  swallow = true;
  event.stopPropagation();
  stopDrawing();
}, true);

// Pictures come late and change their size with the window.
const sizes = new ResizeObserver(() => { placePreview(); placeLarge(); });
for (const [id, redraw] of [["preview-image", placePreview], ["large-image", placeLarge]]) {
  sizes.observe(at(id));
  at(id).addEventListener("load", redraw);
}
// What the browser cannot show, such as TIFF, cannot be drawn on.
at("preview-image").addEventListener("error", () => {
  at("crop-hint").hidden = at("crop-start").hidden = true;
});

// ---- The large view

// Opens it, with the box of the area if there is one.
function enlarge(area) {
  viewed = shown.query;
  if (!viewed) return;
  at("large-image").src = viewed.file ? preview : "/api/images/" + viewed.id + "/view";
  at("large-image").alt = at("query-name").textContent;
  at("large-say").textContent = "";
  at("large").showModal();
  setBox(area);
  if (area) focusBox();
}

// The keys are for the box, which is not there before the picture.
function focusBox() {
  if (!at("large-box").hidden) at("large-box").focus();
  else at("large-image").addEventListener("load", () => { if (viewed && box) at("large-box").focus(); }, { once: true });
}

function setBox(area) {
  box = area;
  at("large-keys").hidden = at("crop-take").hidden = !area;
  placeLarge();
}

const tellBox = () => {
  const [left, top, width, height] = cropOf(box).split(",").map((text) => Math.round(parseFloat(text)) + " %");
  at("large-say").textContent = left + " from the left, " + top + " from the top, " + width + " wide, " + height + " high";
};

// Moves the box, or its right and lower sides.
function nudge(x, y, resizes) {
  const { left, top, right, bottom } = box;
  if (resizes) {
    const least = (start) => Math.min(start + STEP, 1);
    setBox({ left, top, right: within(right + x, least(left)), bottom: within(bottom + y, least(top)) });
  } else {
    const [dx, dy] = [within(x, -left, 1 - right), within(y, -top, 1 - bottom)];
    setBox({ left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy });
  }
  tellBox();
}

at("large-box").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (step) {
    event.preventDefault();
    nudge(...step, event.shiftKey);
  } else if (event.key === "Enter") {
    event.preventDefault();
    searchFor(viewed, cropOf(box));
  }
});

at("preview").addEventListener("click", () => enlarge(shown.query && areaOf(shown.query.crop)));
at("crop-start").addEventListener("click", () => enlarge((shown.query && areaOf(shown.query.crop)) || MIDDLE));
at("crop-take").addEventListener("click", () => searchFor(viewed, cropOf(box)));
at("crop-whole").addEventListener("click", () => {
  searchFor(shown.query || wish(), null);
  // This button goes.
  (at("crop-start").hidden ? at("results") : at("crop-start")).focus({ preventScroll: true });
});
at("close").addEventListener("click", () => at("large").close());
at("large").addEventListener("click", (event) => { if (event.target === at("large")) at("large").close(); });
at("large").addEventListener("close", () => {
  stopDrawing();
  viewed = null;
  setBox(null);
});
addEventListener("popstate", () => { if (at("large").open) at("large").close(); });

// ---- The part of a hit

// The marks on a thumbnail, which is the square in the middle of the picture.
function regionMarks({ x, y, width, height, picture_width: wide, picture_height: high }) {
  if (width >= wide && height >= high) return [];
  const badge = made("span", "in-part", "found in a part of it");
  const side = Math.min(wide, high);
  const across = (pixels) => 100 * within((pixels - (wide - side) / 2) / side);
  const down = (pixels) => 100 * within((pixels - (high - side) / 2) / side);
  const [left, right, top, bottom] = [across(x), across(x + width), down(y), down(y + height)];
  // Nothing of it may be in the square.
  if (right - left < 1 || bottom - top < 1) return [badge];
  const sheet = made("span", "region");
  const frame = made("span");
  frame.style.left = left + "%";
  frame.style.top = top + "%";
  frame.style.width = right - left + "%";
  frame.style.height = bottom - top + "%";
  sheet.append(frame);
  return [sheet, badge];
}
