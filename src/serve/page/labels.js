// Images are selected and get a label. A click on an image selects it while this mode is on; with
// the shift key, all from the one before. `page.js`, which is read first, has the helpers.
"use strict";

let before = -1; // the image that was selected last, where a range begins

const selecting = () => at("grid").classList.contains("selecting");
const boxes = () => [...at("grid").querySelectorAll(".pick")];
const picked = () => shown.hits.filter((_, i) => boxes()[i]?.checked);

// The box of the image at a place of the grid.
function pickBox(place, name) {
  const box = made("input", "pick");
  box.type = "checkbox";
  box.setAttribute("aria-label", "Select " + name);
  box.addEventListener("click", (event) => pickRange(place, box.checked, event.shiftKey));
  return box;
}

// Selects an image, or all from the one before to it.
function pickRange(place, checked, range) {
  const all = boxes();
  const from = range && before >= 0 ? before : place;
  for (let i = Math.min(from, place); i <= Math.max(from, place); i += 1) {
    all[i].checked = checked;
    all[i].closest("li").classList.toggle("picked", checked);
  }
  before = place;
  countPicked();
}

function countPicked() {
  const number = picked().length;
  at("picked").textContent = number ? "Label " + many(number, "picture") + ":" : "Select pictures";
  at("pick-all").textContent = number && number === shown.hits.length ? "Select none" : "Select all";
}

// Another set of images is shown: nothing of it is selected.
function unpick() {
  const can = Boolean(about && about.editable && shown.hits.length);
  at("select").hidden = !can;
  select(can && selecting());
}

function select(on) {
  at("grid").classList.toggle("selecting", on);
  at("select").setAttribute("aria-pressed", String(on));
  at("labelling").hidden = !on;
  // While images are selected, the tab key goes along their boxes.
  for (const hit of at("grid").querySelectorAll(".hit")) hit.tabIndex = on ? -1 : 0;
  clearPicked();
}

function clearPicked() {
  for (const box of boxes()) {
    box.checked = false;
    box.closest("li").classList.remove("picked");
  }
  before = -1;
  countPicked();
}

function suggest(labels) {
  at("known-labels").replaceChildren(...labels.map((label) => new Option(label, label)));
}

async function saveLabel(label) {
  const hits = picked();
  if (!hits.length) return complain("Select the pictures first.");
  if (label !== null && !label.trim()) {
    at("new-label").focus();
    return complain("Type the label first.");
  }
  complain("");
  try {
    const ids = hits.map((hit) => hit.id);
    const answer = await send("/api/labels", { ids, label });
    shown.hits.forEach((hit, i) => {
      if (!ids.includes(hit.id)) return;
      hit.label = answer.label;
      showTag(boxes()[i].closest("li"), hit.label);
    });
    clearPicked();
    say(answer.label === null ? "Removed the label of " + many(answer.images, "picture") + "." : "Labelled " + many(answer.images, "picture") + ": " + answer.label);
    await refresh(true);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    complain(error.message);
  }
}

at("select").addEventListener("click", () => {
  select(!selecting());
  if (selecting()) boxes()[0]?.focus({ preventScroll: true });
});
at("pick-end").addEventListener("click", () => {
  select(false);
  at("select").focus();
});
at("pick-all").addEventListener("click", () => {
  const all = picked().length < shown.hits.length;
  boxes().forEach((_, i) => pickRange(i, all, false));
  before = -1;
});
at("unlabel").addEventListener("click", () => saveLabel(null));
at("labelling").addEventListener("submit", (event) => {
  event.preventDefault();
  saveLabel(at("new-label").value);
});
at("grid").addEventListener("click", (event) => {
  const hit = event.target.closest(".hit");
  if (!hit || !selecting() || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  const place = [...at("grid").querySelectorAll(".hit")].indexOf(hit);
  pickRange(place, !boxes()[place].checked || event.shiftKey, event.shiftKey);
});
at("grid").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.closest(".pick")) return;
  event.preventDefault();
  at("new-label").focus();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !selecting() || document.querySelector("dialog[open]")) return;
  select(false);
  at("select").focus();
});
