// The indexed folders: what is in them and what is left out, one more is added, all are updated.
// `page.js`, which is read first, has the helpers.
"use strict";

let work = null; // what /api/work said last
let watching = 0; // the timer of the next question
let questions = 0; // counts them, so that a late answer is not shown

function showFolders(on) {
  at("folders").hidden = !on;
  document.body.classList.toggle("folders", on);
  if (on) at("to-folders").setAttribute("aria-current", "page");
  else at("to-folders").removeAttribute("aria-current");
}

async function fillFolders(current) {
  const answer = await read("/api/left-out");
  if (!current()) return;
  at("add").hidden = at("update-all").hidden = !about.editable;
  at("update-all").hidden ||= !answer.folders.length;
  at("roots-bar").hidden = !answer.folders.length;
  at("roots").replaceChildren(...answer.folders.map((folder) => rootCard(folder, answer)));
  say(answer.folders.length
    ? many(about.images, "image") + " in " + many(answer.folders.length, "folder")
    : "No folder is indexed yet.");
  showWork();
  if (about.editable && !answer.folders.length && at("chooser").hidden) browse();
}

// ---- What is indexed

function rootCard(folder, answer) {
  const item = made("li", "card root");
  const [name, above] = split(folder.path);
  const head = made("div", "row");
  const names = made("div");
  names.append(made("h3", "", name), made("p", "soft path", above));
  head.append(names);
  if (about.editable && folder.there) {
    const update = made("button", "plain", "Update");
    update.type = "button";
    update.setAttribute("aria-label", "Update " + name);
    update.addEventListener("click", () => begin(folder.path));
    head.append(update);
  }
  item.append(head);
  const facts = [many(folder.images, "image")];
  if (!folder.there) facts.push("the folder is not there now, and its images stay in the index");
  if (folder.exclude.length) facts.push("without " + folder.exclude.join(", "));
  item.append(made("p", "", facts.join(", ")));
  if (folder.left_out && folder.left_out.total) {
    item.append(unfolding(many(folder.left_out.total, "file") + " left out", reasons(folder.left_out)));
  }
  if (folder.failed) {
    const lines = answer.failures.filter((one) => one.folder === folder.path).map((one) => one.reason);
    if (lines.length < folder.failed) lines.push("… and " + many(folder.failed - lines.length, "more file"));
    item.append(unfolding(many(folder.failed, "file") + " could not be used", lines));
  }
  return item;
}

function unfolding(title, lines) {
  const box = made("details");
  const list = made("ul");
  list.append(...lines.map((line) => made("li", "", line)));
  box.append(made("summary", "", title), list);
  return box;
}

// Why files are left out, a line for each reason.
function reasons(left) {
  const lines = left.photo_kinds.map((kind) => many(kind.files, kind.format + " picture") + ": not read by this program");
  const add = (number, one, several) => {
    if (number) lines.push(number.toLocaleString("en") + " " + (number === 1 ? one : several));
  };
  add(left.videos, "video", "videos");
  add(left.hidden, "hidden file", "hidden files");
  add(left.system, "file in a folder of the system", "files in folders of the system");
  add(left.excluded, "excluded file", "excluded files");
  add(left.links, "link to a folder", "links to folders");
  add(left.special, "pipe or device", "pipes or devices");
  const named = left.other_kinds.map((kind) => kind.files.toLocaleString("en") + (kind.extension ? " ." + kind.extension : " without an extension"));
  if (left.others) lines.push(many(left.others, "other file") + " (" + named.join(", ") + ")");
  return lines;
}

// ---- Work

async function begin(path) {
  complain("");
  try {
    work = await send("/api/folders", path === undefined ? {} : { path });
    at("typed-path").value = "";
    closeChooser();
    showWork();
    watchWork();
    at("work").scrollIntoView({ block: "nearest" });
    at("work-stop").focus({ preventScroll: true });
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    complain(error.message);
    at("notice").scrollIntoView({ block: "nearest" });
  }
}

const isRunning = () => Boolean(work) && (work.state === "running" || work.state === "stopping");

function showWork() {
  const running = isRunning();
  const known = running && work.total > 0;
  const share = known ? Math.floor((100 * work.done) / work.total) : 0;
  at("busy").hidden = !running;
  at("busy").textContent = known ? " " + share + " %" : " …";
  at("work").hidden = !work || work.state === "idle";
  if (at("work").hidden) return;
  at("work").classList.toggle("ended", !running);
  at("work").classList.toggle("failed", work.state === "failed");
  const what = work.folder === null ? "all folders" : split(work.folder)[0];
  const doing = work.state === "stopping" ? "Stopping" : work.known ? "Updating" : "Adding";
  // The numbers change often and are read out by the bar.
  const text = running ? doing + " " + what + (work.folder !== null && work.known ? ", which is indexed already" : "") : what.charAt(0).toUpperCase() + what.slice(1) + ": " + work.sentence + ".";
  if (at("work-text").textContent !== text) at("work-text").textContent = text;
  const bar = at("work-bar");
  bar.hidden = at("work-stop").hidden = !running;
  at("work-stop").hidden ||= !about || !about.editable;
  at("work-stop").disabled = work.state === "stopping";
  bar.classList.toggle("looking", !known);
  bar.firstElementChild.style.width = share + "%";
  bar.setAttribute("aria-valuetext", known
    ? work.done.toLocaleString("en") + " of " + many(work.total, "new or changed file")
    : many(work.done, "image") + " found");
  bar.dataset.text = bar.getAttribute("aria-valuetext");
  if (known) bar.setAttribute("aria-valuenow", String(share));
  else bar.removeAttribute("aria-valuenow");
}

// Asks how far the work is: often while it runs.
async function watchWork() {
  clearTimeout(watching);
  const mine = ++questions;
  const ran = isRunning();
  let pause = 5000;
  try {
    // Nobody looks; work that runs is watched to its end.
    const answer = !document.hidden || ran || !work ? await read("/api/work") : work;
    if (mine !== questions) return;
    work = answer;
    showWork();
    if (isRunning()) pause = 500;
    else if (ran) await ended();
  } catch (error) {
    // The question for the state says that there is no answer.
    if (!(error instanceof Trouble)) throw error;
  }
  if (mine === questions) watching = setTimeout(watchWork, pause);
}

async function ended() {
  const empty = !about.images;
  const stopper = document.activeElement === at("work-stop") || document.activeElement === document.body;
  await refresh(true);
  if (wish().folders) {
    await fillFolders(() => Boolean(wish().folders));
    // The button that had the focus is gone.
    if (stopper) at("results").focus({ preventScroll: true });
  } else if (empty && about.images) show();
}

at("work-stop").addEventListener("click", async () => {
  try {
    work = await send("/api/work", undefined, "DELETE");
    showWork();
    watchWork();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    complain(error.message);
  }
});
at("update-all").addEventListener("click", () => begin());
at("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const path = at("typed-path").value.trim();
  if (path) begin(path);
  else at("typed-path").focus();
});

// ---- A folder is chosen

let here = null; // what /api/browse said last

async function browse(path) {
  complain("");
  try {
    here = await read("/api/browse" + (path ? "?" + new URLSearchParams({ path }) : ""));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    return complain(error.message);
  }
  at("chooser").hidden = false;
  at("choose").setAttribute("aria-expanded", "true");
  const steps = [[here.home, "Home"]];
  const rest = here.path.slice(here.home.length).split(/[\\/]/).filter(Boolean);
  let reached = here.home;
  for (const name of rest) {
    reached += here.path.charAt(reached.length) + name;
    steps.push([reached, name]);
  }
  at("way").replaceChildren(...steps.map(([to, name], i) => {
    const step = made("button", "step", name);
    step.type = "button";
    if (i === steps.length - 1) step.setAttribute("aria-current", "true");
    step.addEventListener("click", () => enter(to));
    return step;
  }));
  at("choices").replaceChildren(...here.folders.map(choice));
  const text = [here.folders.length ? many(here.folders.length, "folder") : "No folders in it"];
  if (here.images) text.push(many(here.images, "picture") + " directly in it");
  if (here.more) text.push(here.more.toLocaleString("en") + " more folders are not listed: type where yours is");
  at("choices-text").textContent = text.join(", ");
  const name = steps.at(-1)[1];
  at("take").textContent = (here.indexed ? "Update “" : "Add “") + name + "”";
}

async function enter(path) {
  await browse(path);
  // The button that was pressed is gone; the next choice is at hand.
  (at("choices").querySelector("button") || at("take")).focus({ preventScroll: true });
}

function choice(folder) {
  const item = made("li");
  const button = made("button", "choice");
  button.type = "button";
  button.append(made("span", "", folder.name));
  const facts = [];
  if (folder.images) facts.push(many(folder.images, "picture"));
  if (folder.indexed) facts.push("indexed");
  button.append(made("span", "soft", facts.join(", ")));
  button.addEventListener("click", () => enter(folder.path));
  item.append(button);
  return item;
}

function closeChooser() {
  at("chooser").hidden = true;
  at("choose").setAttribute("aria-expanded", "false");
}

at("choose").addEventListener("click", async () => {
  if (!at("chooser").hidden) return closeChooser();
  await browse();
  (at("choices").querySelector("button") || at("take")).focus({ preventScroll: true });
});
at("take").addEventListener("click", () => begin(here.path));
at("chooser").addEventListener("keydown", (event) => {
  const all = [...at("choices").querySelectorAll("button")];
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const next = all[all.indexOf(event.target.closest("button")) + step];
  if (event.key === "ArrowLeft" && here.parent) {
    event.preventDefault();
    enter(here.parent);
  } else if (step && next) {
    event.preventDefault();
    next.focus();
  }
});
