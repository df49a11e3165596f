// Groups of near duplicates, side by side. Nothing is deleted: the list of the files that are not
// kept is saved as text. `page.js`, which is read after this file, has the helpers.
"use strict";

const ROLES = {
  original: "the best of these files",
  copy: "the same content",
  near: "looks the same",
  same_file: "another path to one of these files",
  gone: "not there now",
};
let groups = []; // of each group: its images, and the id of the one to keep

const counts = (image) => image.role === "original" || image.role === "copy" || image.role === "near";

function size(bytes) {
  if (bytes < 1e6) return Math.max(1, Math.round(bytes / 1e3)).toLocaleString("en") + " kB";
  return (bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 }) + " MB";
}

// Shows an answer of /api/duplicates; null hides the groups.
function showGroups(answer) {
  at("groups").hidden = at("groups-bar").hidden = !answer || !answer.groups.length;
  groups = answer ? answer.groups.map((images) => ({ images, keep: images[0].id })) : [];
  at("groups").replaceChildren(...groups.map(groupCard));
  if (!answer) return;
  const files = groups.reduce((sum, group) => sum + group.images.filter(counts).length, 0);
  say(groups.length ? many(groups.length, "group") + " of " + many(files, "file") : "No two files look the same.");
  const notes = [];
  if (answer.gone) notes.push(many(answer.gone, "file") + " with duplicates " + (answer.gone === 1 ? "is" : "are") + " not there now and not counted");
  if (answer.changed) notes.push(many(answer.changed, "file") + " changed since indexing and left out: update the index");
  if (answer.unseen) notes.push(many(answer.unseen, "image") + " could not be compared");
  if (notes.length) complain(notes.join(". ") + ".");
  tally();
}

function groupCard(group, number) {
  const item = made("li", "card");
  const field = made("fieldset");
  field.append(made("legend", "", "Group " + (number + 1)));
  const row = made("div", "twins");
  for (const image of group.images) row.append(twin(group, image, number));
  field.append(row);
  item.append(field);
  return item;
}

function twin(group, image, number) {
  const [name, folder] = split(image.path);
  const box = made("div", "twin" + (counts(image) ? "" : " aside"));
  const link = made("a", "frame");
  link.href = "/?id=" + image.id;
  link.title = image.path;
  const picture = made("img");
  picture.alt = name;
  picture.loading = "lazy";
  picture.src = "/api/images/" + image.id + "/thumbnail";
  picture.addEventListener("error", () => {
    picture.hidden = true;
    if (!link.querySelector(".lost")) link.append(made("span", "lost", "cannot be shown"));
  });
  link.append(picture);
  link.addEventListener("click", (event) => follow(event, "/?id=" + image.id));
  box.append(link, made("span", "name", name));
  const where = made("span", "where", familiar(folder));
  where.title = image.path;
  const facts = image.width ? image.width + " × " + image.height + (image.bytes ? ", " + size(image.bytes) : "") : "";
  box.append(where, made("span", "soft", facts), made("span", "soft", ROLES[image.role]));
  if (counts(image)) {
    const label = made("label", "check");
    const choice = made("input");
    choice.type = "radio";
    choice.name = "keep-" + number;
    choice.checked = image.id === group.keep;
    choice.addEventListener("change", () => {
      group.keep = image.id;
      tally();
    });
    label.append(choice, made("span", "", "Keep this one"), made("span", "unseen", ": " + name));
    box.append(label);
  }
  return box;
}

const dropped = () => groups.flatMap((group) => group.images.filter((image) => counts(image) && image.id !== group.keep));

function tally() {
  const files = dropped();
  const bytes = files.reduce((sum, image) => sum + image.bytes, 0);
  at("groups-text").textContent = many(files.length, "file") + " not kept, " + size(bytes) + " in all. Nothing is deleted here: save the list of their paths, and do with it what you like.";
}

function saveList() {
  const text = dropped().map((image) => image.path + "\n").join("");
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = "duplicates.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say("Saved a list of " + many(dropped().length, "file") + ".");
}
