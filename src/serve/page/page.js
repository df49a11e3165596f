// The page of an index. What is looked for is in the address (`?id=N`, with `&crop=X,Y,W,H` for a
// part of it) or, for an image from elsewhere, in the history's state; all else follows from it in
// `show`. `crop.js` has what is done with parts.
"use strict";

const at = (id) => document.getElementById(id);
const COPY = "M9 9V5.5A1.5 1.5 0 0 1 10.5 4h8A1.5 1.5 0 0 1 20 5.5v8a1.5 1.5 0 0 1-1.5 1.5H15M5.5 9h8A1.5 1.5 0 0 1 15 10.5v8a1.5 1.5 0 0 1-1.5 1.5h-8A1.5 1.5 0 0 1 4 18.5v-8A1.5 1.5 0 0 1 5.5 9Z";

let about = null; // what /api/status said last
let turn = 0; // counts what was asked for, so that a late answer is not shown
const sent = new Map(); // images from elsewhere, by their number in the history
let shown = { query: null, hits: [] };

// Problems that are sentences for whoever sits here.
class Trouble extends Error {}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Trouble("No answer: start the server again and open the address that it prints.");
  }
  if (response.ok) return response;
  let sentence = "Something went wrong (" + response.status + ").";
  try {
    sentence = (await response.json()).error;
  } catch { /* not from this program */ }
  throw new Trouble(sentence.charAt(0).toUpperCase() + sentence.slice(1) + (/[.!?]$/.test(sentence) ? "" : "."));
}

const read = async (path, options) => (await ask(path, options)).json();

// Sends a JSON document; what comes back.
const send = (path, body, method = "POST") =>
  read(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function made(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// The last part of a path of any system, and what stands before it.
function split(path) {
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return [path.slice(cut + 1) || path, path.slice(0, Math.max(cut, 0))];
}

// A folder as its owner would call it: from the indexed folder's own name on.
function familiar(folder) {
  const inside = (root) => folder === root || folder.startsWith(root.replace(/[\\/]?$/, "/")) || folder.startsWith(root.replace(/[\\/]?$/, "\\"));
  const roots = about ? about.roots.map((root) => root.path).filter(inside) : [];
  if (!roots.length) return folder;
  const root = roots.reduce((a, b) => (a.length < b.length ? a : b));
  return split(root)[0] + folder.slice(root.length);
}

const many = (n, one) => n.toLocaleString("en") + " " + one + (n === 1 ? "" : "s");

function say(text) {
  at("status").textContent = text;
}

function complain(text) {
  // Said once, not every few seconds.
  if (at("notice").textContent !== (text || "")) at("notice").textContent = text || "";
  at("notice").hidden = !text;
}

// ---- What is looked for

function wish() {
  const address = new URLSearchParams(location.search);
  if (address.has("duplicates")) return { duplicates: true };
  if (address.has("folders")) return { folders: true };
  const id = address.get("id");
  if (id !== null) return { id, crop: address.get("crop") };
  const { sent: number = null, crop = null } = history.state || {};
  if (number === null) return {};
  return sent.has(number) ? { file: sent.get(number), number, crop } : { lost: true };
}

function filtered(query) {
  for (const name of ["under", "label"]) if (at(name).value) query.set(name, at(name).value);
  return "?" + query;
}

function narrowed(crop) {
  const query = new URLSearchParams({ k: at("k").value });
  if (crop) query.set("crop", crop);
  return filtered(query);
}

async function show() {
  const mine = ++turn;
  const current = () => mine === turn;
  const wanted = wish();
  at("grid").classList.add("busy");
  at("grid").setAttribute("aria-busy", "true");
  complain("");
  const searching = wanted.crop ? "Searching for this part…" : "Searching…";
  say(wanted.duplicates ? "Comparing all images…" : wanted.id || wanted.file ? searching : "");
  showGroups(null);
  showFolders(Boolean(wanted.folders));
  try {
    if (!about) await refresh();
    const begun = performance.now();
    if (wanted.duplicates) {
      asked(null);
      fill([]);
      at("title").textContent = "Nearly the same";
      const answer = await read("/api/duplicates" + filtered(new URLSearchParams()));
      if (current()) showGroups(answer);
    } else if (wanted.folders) {
      asked(null);
      fill([]);
      at("title").textContent = "Folders";
      await fillFolders(current);
    } else if (wanted.id) {
      const answer = await read("/api/images/" + encodeURIComponent(wanted.id) + "/similar" + narrowed(wanted.crop));
      if (current()) found(answer, { ...wanted, path: answer.query }, begun);
    } else if (wanted.file) {
      const answer = await read("/api/search" + narrowed(wanted.crop), { method: "POST", body: wanted.file });
      if (current()) found(answer, wanted, begun);
    } else {
      const answer = await read("/api/images" + narrowed());
      if (current()) welcome(answer.images);
      if (current() && wanted.lost) complain("That image was not kept: choose it again.");
    }
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (!current()) return;
    asked(wanted.file ? wanted : null, true);
    fill([]);
    at("title").textContent = wanted.id || wanted.file || wanted.duplicates || wanted.folders ? "Nothing to show" : "Your images";
    say("");
    complain(error.message);
  } finally {
    if (current()) {
      at("grid").classList.remove("busy");
      at("grid").removeAttribute("aria-busy");
    }
  }
}

function welcome(images) {
  asked(null);
  at("title").textContent = images.length ? "Start from one of yours" : "No images here";
  at("others").hidden = !images.length;
  say(images.length ? "Or drop, paste or choose any other image." : "");
  fill(images, about && !about.images
    ? ["This index has no images yet. Add some, and they show up here by themselves.", about.editable && "Add a folder"]
    : ["No image fits these filters."]);
}

function found(answer, query, begun) {
  asked(query);
  const others = answer.results.filter((hit) => !hit.same).length;
  const it = query.crop ? "this part" : "it";
  at("title").textContent = (others ? "What looks most like " : "Nothing that looks like ") + it;
  const milliseconds = Math.max(1, Math.round(performance.now() - begun));
  const order = query.crop ? ", nearest to this part first, in " : ", nearest first, in ";
  say(many(answer.results.length, "image") + " of " + about.images.toLocaleString("en") + order + milliseconds.toLocaleString("en") + " ms");
  fill(answer.results, ["No image fits these filters."], answer.bits);
}

let preview = null; // the address of the chosen file's picture

function asked(query, refused) {
  shown.query = refused ? null : query;
  if (preview) URL.revokeObjectURL(preview);
  preview = null;
  const there = Boolean(query && (query.id || query.file));
  at("query").classList.toggle("chosen", there);
  at("query-text").hidden = !there;
  at("preview").hidden = !there || Boolean(refused);
  at("others").hidden = true;
  showCrop(refused ? null : query);
  if (!there) {
    document.title = "Barbule";
    return;
  }
  if (query.file && !refused) preview = URL.createObjectURL(query.file);
  const [name, folder] = query.file ? [query.file.name || "Pasted image", ""] : split(query.path);
  at("query-name").textContent = name;
  at("query-folder").textContent = query.file ? "not from the folders that are searched" : familiar(folder);
  at("query-folder").title = query.path || "";
  document.title = (query.crop ? "Part of " : "") + name + " – Barbule";
  if (!refused) drawQuery();
}

// The chosen image, or where the model looks in it.
let explained = 0;
async function drawQuery() {
  const query = shown.query;
  const mine = ++explained;
  const image = at("preview-image");
  image.alt = at("query-name").textContent;
  if (!looking()) {
    image.src = query.file ? preview : "/api/images/" + query.id + "/thumbnail";
  } else if (query.id) {
    image.src = "/api/images/" + query.id + "/explanation" + part();
  } else {
    try {
      const answer = await ask("/api/explanation" + part(), { method: "POST", body: query.file });
      const picture = URL.createObjectURL(await answer.blob());
      image.onload = () => URL.revokeObjectURL(picture);
      if (mine === explained && shown.query === query) image.src = picture;
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      complain(error.message);
    }
  }
}

const looking = () => at("look").checked && Boolean(about && about.model.parts);
const part = () => (at("part").value ? "?part=" + at("part").value : "");

// ---- The grid

function fill(hits, nothing, bits) {
  shown.hits = hits;
  at("grid").replaceChildren(...hits.map((hit, i) => card(hit, i, bits)));
  const box = at("nothing");
  box.hidden = Boolean(hits.length) || !nothing;
  if (nothing) {
    box.replaceChildren(made("p", "", nothing[0]));
    if (nothing[1]) {
      const link = made("a", "strong", nothing[1]);
      link.href = "/?folders";
      link.addEventListener("click", (event) => follow(event, "/?folders"));
      box.append(link);
    }
  }
  unpick();
}

function card(hit, i, bits) {
  const item = made("li");
  const link = made("a", "hit");
  const [name, folder] = split(hit.path);
  link.href = "?id=" + hit.id;
  link.title = hit.path;
  link.dataset.id = hit.id;
  const frame = made("span", "frame");
  const image = made("img");
  image.alt = "";
  image.loading = i < 24 ? "eager" : "lazy";
  image.decoding = "async";
  image.addEventListener("error", () => {
    image.hidden = true;
    if (!frame.querySelector(".lost")) frame.append(made("span", "lost", "cannot be shown: moved, changed or outside the folders"));
  });
  frame.append(image);
  link.append(frame);
  if (hit.gone) frame.append(made("span", "same gone", "not there now"));
  else if (hit.same) frame.append(made("span", "same", "the same image"));
  if (hit.region) frame.append(...regionMarks(hit.region));
  if (hit.distance !== undefined) {
    const near = made("span", "near");
    const meter = made("meter");
    if (about && about.words) {
      // The score of words is nearly a cosine, and that of unrelated images nearly 0.
      meter.max = 1;
      meter.value = Math.max(0, hit.score);
    } else {
      // Half of all bits differ between images that have nothing in common.
      meter.max = bits / 2;
      meter.value = Math.max(0, bits / 2 - hit.distance);
    }
    meter.setAttribute("aria-hidden", "true");
    const apart = about && about.words ? "distance " + hit.distance : many(hit.distance, "bit") + " away";
    near.append(meter, made("span", "", apart));
    if (hit.score !== undefined) near.title = "score " + hit.score.toFixed(3);
    link.append(near);
  }
  link.append(made("span", "name", name));
  const foot = made("div", "foot");
  // A label that is the folder's name need not stand there twice.
  const [last, above] = split(folder);
  const where = made("span", "where", familiar(hit.label === last ? above : folder));
  where.title = hit.path;
  foot.append(where, copier(hit.path, name));
  item.append(link);
  // Before the foot, so that the tab key comes to it after the image.
  if (about && about.editable) item.append(pickBox(i, name));
  item.append(foot);
  showTag(item, hit.label);
  // What the parts of two whole images have in common says nothing of a part of one.
  const whole = shown.query && !shown.query.crop && !hit.region;
  if (bits && !hit.same && whole && shown.query.id && about.model.parts) item.append(why(hit));
  draw(image, hit);
  return item;
}

function showTag(item, label) {
  const old = item.querySelector(".tag");
  if (!label) return old && old.remove();
  const tag = old || made("span", "tag");
  tag.textContent = label;
  tag.title = "Label: " + label;
  if (!old) item.querySelector(".foot").after(tag);
}

// Which parts made a hit's code agree with that of the image that was looked for.
function why(hit) {
  const button = made("button", "why", "Why is it near?");
  button.type = "button";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await ask("/api/images/" + shown.query.id + "/agreement?with=" + hit.id);
      const { distance, parts } = await answer.json();
      const told = made("div", "why");
      told.append(made("p", "", parts.length ? "Bits farther apart without" : "This model has one view of an image, so no part of it can be left out."));
      const list = made("ul", "why");
      for (const { part, without } of parts) {
        const more = without - distance;
        const row = made("li");
        const meter = made("meter");
        meter.max = about.bits / 4;
        meter.value = Math.max(0, more);
        meter.setAttribute("aria-hidden", "true");
        row.append(made("span", "", part ? "part " + part : "the whole"), meter, made("span", "", (more > 0 ? "+" : more < 0 ? "\u2212" : "") + Math.abs(more)));
        list.append(row);
      }
      told.append(list);
      told.tabIndex = -1;
      button.replaceWith(told);
      told.focus();
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      button.disabled = false;
      complain(error.message);
    }
  });
  return button;
}

function draw(image, hit) {
  image.hidden = false;
  image.parentElement.querySelector(".lost")?.remove();
  image.src = "/api/images/" + hit.id + (looking() ? "/explanation" + part() : "/thumbnail");
}

function copier(path, name) {
  const button = made("button", "copy");
  button.type = "button";
  button.title = "Copy the path";
  button.setAttribute("aria-label", "Copy the path of " + name);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: 17, height: 17, "aria-hidden": "true" })) svg.setAttribute(key, value);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ d: COPY, fill: "none", stroke: "currentColor", "stroke-width": 1.6 })) line.setAttribute(key, value);
  svg.append(line);
  button.append(svg);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(path);
      say("Copied: " + path);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    } catch {
      // Only this machine's own pages may write to the clipboard.
      prompt("The path:", path);
    }
  });
  return button;
}

// ---- Going from one to the next

function go(address, state) {
  history.pushState(state || {}, "", address);
  show();
  scrollTo({ top: 0 });
}

function start(file) {
  if (!file) return;
  const megabytes = about ? about.max_upload_bytes / 1048576 : 64;
  if (file.size > megabytes * 1048576) {
    complain((file.name || "This file") + " is larger than " + megabytes + " MiB: choose a smaller one.");
    return;
  }
  if (!file.size) {
    complain((file.name || "This file") + " is empty: choose another one.");
    return;
  }
  // Pictures of gigabytes pile up otherwise; a dozen steps back are enough.
  const number = Date.now() + sent.size;
  sent.set(number, file);
  for (const old of [...sent.keys()].slice(0, -12)) sent.delete(old);
  go("/", { sent: number });
}

// One file of several, if there is any.
function pick(files, otherwise) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i.test(file.name));
  const file = images[0] || files[0];
  if (!file) return complain(otherwise);
  start(file);
  if (files.length > 1) say("Searching with the first of " + files.length + " files…");
}

// A click on a link of this page, which needs no new one.
function follow(event, address) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(address);
}

at("grid").addEventListener("click", (event) => {
  const hit = event.target.closest(".hit");
  if (!hit || selecting() || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go("/?id=" + hit.dataset.id);
  at("results").focus({ preventScroll: true });
});

at("grid").addEventListener("keydown", (event) => {
  // Along the images, or along their boxes while some are selected.
  const kind = event.target.closest(".hit") ? ".hit" : ".pick";
  const hit = event.target.closest(kind);
  if (!hit) return;
  const hits = [...at("grid").querySelectorAll(kind)];
  const here = hits.indexOf(hit);
  const top = hit.offsetParent.offsetTop;
  const columns = Math.max(1, hits.filter((other) => other.offsetParent.offsetTop === at("grid").firstElementChild.offsetTop).length);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (event.key === " " && kind === ".hit") {
    event.preventDefault();
    hit.click();
  } else if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    hits[event.key === "Home" ? 0 : hits.length - 1].focus();
  } else if (step && hits[here + step]) {
    event.preventDefault();
    hits[here + step].focus();
  } else if (event.key === "ArrowDown" && hits.length && hits[hits.length - 1].offsetParent.offsetTop > top) {
    event.preventDefault();
    hits[hits.length - 1].focus();
  }
});

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, input:not([type=checkbox])")) return;
  event.preventDefault();
  at("file").focus();
  at("file").click();
});

addEventListener("popstate", show);
at("home").addEventListener("click", (event) => follow(event, "/"));
at("twins").addEventListener("click", (event) => follow(event, "/?duplicates"));
at("to-folders").addEventListener("click", (event) => follow(event, "/?folders"));
at("save").addEventListener("click", saveList);
at("others").addEventListener("click", show);
for (const id of ["under", "label", "k"]) at(id).addEventListener("change", show);
at("filters").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["look", "part"]) at(id).addEventListener("change", () => {
  at("parts").hidden = !at("look").checked || about.model.parts < 2;
  at("grid").classList.toggle("looking", looking());
  const images = at("grid").querySelectorAll(".frame img");
  shown.hits.forEach((hit, i) => draw(images[i], hit));
  if (shown.query && (shown.query.id || shown.query.file)) {
    drawQuery();
    showCrop(shown.query);
  }
});

at("file").addEventListener("change", () => {
  pick(at("file").files, "No file was chosen.");
  at("file").value = "";
});
addEventListener("paste", (event) => {
  if (!event.clipboardData || event.target.closest("input[type=text]")) return;
  pick(event.clipboardData.files, "No image was pasted: copy an image, not its address or text.");
});

// The whole window takes what is dropped; entering and leaving count for every element.
let over = 0;
const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
function hover(change) {
  over = Math.max(0, over + change);
  at("over").hidden = !over;
}
addEventListener("dragenter", (event) => { if (carries(event)) { event.preventDefault(); hover(1); } });
addEventListener("dragover", (event) => { event.preventDefault(); });
addEventListener("dragleave", (event) => { if (carries(event)) hover(-1); });
addEventListener("drop", (event) => {
  event.preventDefault();
  hover(-over);
  pick(event.dataTransfer ? event.dataTransfer.files : [], "No file was dropped: drag an image file here.");
});

// ---- What there is to search

function options(select, all, items) {
  const chosen = select.value;
  select.replaceChildren(new Option(all, ""), ...items.map(([value, text]) => new Option(text, value)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}

async function refresh(anew) {
  const before = about;
  about = await read("/api/status");
  at("summary").textContent = many(about.images, "image") + " · codes of " + (about.words ? many(about.words, "word") : about.bits + " bits");
  at("summary").title = about.index + "\n" + about.model.method + " on " + about.device;
  if (before && before.trouble && !about.trouble) complain("");
  if (about.trouble) complain("The index cannot be read as it is now, so its last sound state is searched: " + about.trouble + ".");
  at("looks").hidden = !about.model.parts;
  const parts = [...Array(about.model.parts).keys()].map((i) => [String(i + 1), "Part " + (i + 1)]);
  options(at("part"), "All together", parts);
  const same = before && before.images === about.images && before.labels === about.labels && before.roots.length === about.roots.length;
  at("select").hidden = !about.editable || !shown.hits.length;
  if (same && !anew) return false;
  const [{ folders }, { labels }] = await Promise.all([read("/api/folders"), read("/api/labels")]);
  const depth = (path) => familiar(path).split(/[\\/]/).length - 1;
  options(at("under"), "All folders", folders.map(({ path, images }) =>
    [path, "\u2003".repeat(depth(path)) + (depth(path) ? split(path)[0] : familiar(path)) + " (" + images.toLocaleString("en") + ")"]));
  options(at("label"), "All labels", labels.map(({ label, images }) => [label, label + " (" + images.toLocaleString("en") + ")"]));
  at("labels").hidden = at("labels-csv").hidden = !labels.length;
  suggest(labels.map(({ label }) => label));
  return Boolean(before);
}

// The index may grow meanwhile. What is shown stays, unless there was nothing to show.
setInterval(async () => {
  if (document.hidden || !about) return;
  try {
    const empty = !about.images;
    if (await refresh() && empty && about.images && !wish().folders) show();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    complain(error.message);
  }
}, 5000);

// Once the scripts after this one are read.
addEventListener("DOMContentLoaded", () => {
  show();
  watchWork();
});
