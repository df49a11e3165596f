"""Makes pictures in which rendered birds are small, and measures how well they are found.

    barbule aviary --out birds --species 24 --per-species 30 --seed 11
    python composites.py birds work --barbule barbule

needs Pillow. Two kinds of pictures are made from the birds: scenes of 1024 × 768 pixels, in which one
bird takes 14 to 30 percent of the width, and collages of nine pictures. Other pictures of single
birds are the queries. A composite is relevant if it contains a bird of the query's species.

Prints, for each kind of composite, mean average precision and the share of first hits that are right:
by codes of whole images, and with codes of regions (`index --regions`). Then the other way round:
composites are the queries, whole and cropped to a bird (`search --crop`), among pictures of single
birds. By chance, the share of right hits is one in as many as there are species.
"""

import argparse
import json
import random
import subprocess
from pathlib import Path

from PIL import Image, ImageFilter

SCENE = (1024, 768)
TILE = (340, 256)


def read(birds):
    """Returns (path, species, box) of each picture, by species."""
    files = dict(line.split() for line in open(birds / "images.txt"))
    species = dict(line.split() for line in open(birds / "image_class_labels.txt"))
    boxes = {}
    for line in open(birds / "bounding_boxes.txt"):
        number, *box = line.split()
        boxes[number] = [float(side) for side in box]
    by_species = {}
    for number, file in files.items():
        entry = (birds / "images" / file, species[number], boxes[number])
        by_species.setdefault(species[number], []).append(entry)
    return by_species


def cut(entry, width):
    """Returns a bird with a little of what is around it, `width` pixels on its longer side."""
    path, _, (x, y, w, h) = entry
    picture = Image.open(path).convert("RGB")
    margin = 0.12 * max(w, h)
    edges = (max(0, x - margin), max(0, y - margin),
             min(picture.width, x + w + margin), min(picture.height, y + h + margin))
    patch = picture.crop(tuple(int(edge) for edge in edges))
    scale = width / max(patch.size)
    size = (max(8, int(patch.width * scale)), max(8, int(patch.height * scale)))
    return patch.resize(size, Image.BICUBIC)


def scene(bird, other, draw):
    """Returns a wide view, a corner of another picture, with a small bird; and the bird's box."""
    view = Image.open(other[0]).convert("RGB")
    x, _, w, _ = other[2]
    left = 0 if x > view.width - x - w else view.width - 80
    view = view.crop((left, 0, left + 80, 60)).resize(SCENE, Image.BICUBIC)
    patch = cut(bird, int(SCENE[0] * draw.uniform(0.14, 0.30)))
    # Soft edges, so that no frame shows where the bird is.
    edge = max(3, patch.width // 12)
    mask = Image.new("L", patch.size, 0)
    mask.paste(255, (edge, edge, patch.width - edge, patch.height - edge))
    x = draw.randrange(SCENE[0] - patch.width)
    y = draw.randrange(SCENE[1] - patch.height)
    view.paste(patch, (x, y), mask.filter(ImageFilter.GaussianBlur(edge / 2)))
    return view, [[x, y, *patch.size]]


def collage(birds):
    """Returns nine pictures in rows of three, and their boxes."""
    sheet = Image.new("RGB", (3 * TILE[0], 3 * TILE[1]), (30, 30, 30))
    boxes = []
    for place, (path, _, _) in enumerate(birds):
        x, y = place % 3 * TILE[0] + 42, place // 3 * TILE[1] + 4
        sheet.paste(Image.open(path).convert("RGB").resize((256, 248), Image.BICUBIC), (x, y))
        boxes.append([x, y, 256, 248])
    return sheet, boxes


def make(by_species, out, seed):
    """Writes composites, and links to the pictures of single birds that are left for searching."""
    draw = random.Random(seed)
    made = {"scenes": {}, "collages": {}}
    queries = [entry for some in by_species.values() for entry in some[:3]]
    for kind in made:
        (out / kind).mkdir(parents=True, exist_ok=True)
    everything = [entry for some in by_species.values() for entry in some]
    for species, some in by_species.items():
        for number, bird in enumerate(some[10:18]):
            other = draw.choice([entry for entry in everything if entry[1] != species])
            view, boxes = scene(bird, other, draw)
            file = out / "scenes" / f"{species}-{number}.png"
            view.save(file)
            made["scenes"][str(file)] = [(species, boxes[0], str(bird[0]))]
    rest = [entry for some in by_species.values() for entry in some[18:27]]
    draw.shuffle(rest)
    for number in range(len(rest) // 9):
        nine = rest[9 * number : 9 * number + 9]
        sheet, boxes = collage(nine)
        file = out / "collages" / f"{number}.png"
        sheet.save(file)
        birds = zip(nine, boxes)
        made["collages"][str(file)] = [(entry[1], box, str(entry[0])) for entry, box in birds]
    return queries, made


def run(barbule, *arguments):
    """Runs the program and returns its JSON."""
    command = [barbule, "-q", "--json", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def search(barbule, index, images, *options):
    """Returns the paths of all hits of each image, nearest first, with their regions."""
    answers = run(barbule, "search", *images, "--index", index, "-k", 1000, *options)
    answers = answers if isinstance(answers, list) else [answers]
    return [[(hit["path"], hit.get("region")) for hit in answer["results"]] for answer in answers]


def precision(hits, relevant):
    """Average precision of a ranking."""
    found, total = 0, 0.0
    for rank, path in enumerate(hits, 1):
        if path in relevant:
            found += 1
            total += found / rank
    return total / max(1, len(relevant))


def overlap(region, box):
    """Returns whether a region and a box overlap by more than 0.3, intersection over union."""
    x, y, w, h = (region[key] for key in ("x", "y", "width", "height"))
    across = min(x + w, box[0] + box[2]) - max(x, box[0])
    down = min(y + h, box[1] + box[3]) - max(y, box[1])
    both = max(0, across) * max(0, down)
    return both > 0.3 * (w * h + box[2] * box[3] - both)


def find_composites(barbule, kind, composites, queries, out, regions):
    """Searches for composites by pictures of single birds, and prints one row."""
    index = out / f"{kind}-{regions}.db"
    index.unlink(missing_ok=True)
    folder = Path(next(iter(composites))).parent
    report = run(barbule, "index", folder, "--index", index, "--regions", regions)
    answers = search(barbule, index, [entry[0] for entry in queries])
    precisions, right, placed = [], 0, []
    for (_, species, _), hits in zip(queries, answers):
        relevant = {path for path, birds in composites.items() if species in {bird[0] for bird in birds}}
        precisions.append(precision([path for path, _ in hits], relevant))
        right += hits[0][0] in relevant
        for path, region in hits[:1]:
            if region and path in relevant:
                birds = [box for name, box, _ in composites[path] if name == species]
                placed.append(any(overlap(region, box) for box in birds))
    where = f"{sum(placed)} of {len(placed)}" if placed else "-"
    print(f"| {kind} | {regions} | {sum(precisions) / len(precisions):.3f} | {right / len(queries):.3f} "
          f"| {where} | {report['seconds'] / len(composites) * 1e3:.0f} "
          f"| {index.stat().st_size / len(composites) / 1e3:.1f} |")


def find_birds(barbule, kind, composites, by_species, out):
    """Searches for single birds by composites, whole and cropped, and prints two rows."""
    index = out / "birds.db"
    species = {str(path): name for some in by_species.values() for path, name, _ in some}
    asked = [(path, *bird) for path, birds in composites.items() for bird in birds][:200]
    for how in ("whole", "crop"):
        first, ten = 0, 0.0
        for path, name, box, source in asked:
            options = ["--crop", ",".join(map(str, box))] if how == "crop" else []
            hits = search(barbule, index, [path], *options)[0]
            # Not the picture from which the bird was cut.
            hits = [species[hit] for hit, _ in hits if hit != source][:10]
            first += hits[0] == name
            ten += hits.count(name) / 10
        print(f"| {kind} | {how} | {first / len(asked):.3f} | {ten / len(asked):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("birds", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--barbule", default="barbule")
    parser.add_argument("--regions", type=int, nargs="*", default=[0, 2, 4, 9])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    out = options.out.absolute()
    by_species = read(options.birds.absolute())
    queries, made = make(by_species, out, options.seed)
    print("| composites | regions | mAP | first hit right | region on the bird | ms per image | KB per image |")
    print("|---|---|---|---|---|---|---|")
    for kind, composites in made.items():
        for regions in options.regions:
            find_composites(options.barbule, kind, composites, queries, out, regions)
    print("\n| query | searched for | first hit right | of ten hits right |\n|---|---|---|---|")
    run(options.barbule, "index", options.birds.absolute() / "images", "--index", out / "birds.db")
    for kind, composites in made.items():
        find_birds(options.barbule, kind, composites, by_species, out)


if __name__ == "__main__":
    main()
