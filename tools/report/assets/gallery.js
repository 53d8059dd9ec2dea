// Images with the boxes of objects and detections above a score threshold, which a slider sets.
// Kinds of boxes differ in colour, line style and the sign before the name, as not everybody can tell colours apart.

const GALLERIES = [["worst_images", "Worst"], ["best_images", "Best"]];
const LEGEND = [["right", "right detection"], ["wrong", "wrong detection"], ["found", "found object"],
  ["missed", "missed object"], ["ignored", "ignored: not scored"]];
const MOST_NAMES = 8; // the number of detections with their name at the box; right detections always have it
const SIGNS = { right: "✓ ", wrong: "✗ ", missed: "? ", ignored: "" };

/** Return the boxes to draw, from bottom to top: objects, then detections by rising score, the right ones last. */
function boxesOf(picture, threshold) {
  const detections = picture.detections.filter((detection) => detection.score >= threshold);
  const found = new Set(detections.filter(({ outcome }) => outcome === "right").map(({ object }) => object));
  const objects = picture.objects.map((object, place) => {
    const kind = object.ignored ? "ignored" : found.has(place) ? "found" : "missed";
    return { ...object, kind, below: kind === "missed", text: kind !== "found" && SIGNS[kind] + object.class };
  });
  const drawn = detections.map((detection, rank) => {
    const named = detection.outcome === "right" || rank < MOST_NAMES;
    const text = named && `${SIGNS[detection.outcome]}${detection.class} ${decimal(detection.score, 2)}`;
    return { ...detection, kind: detection.outcome, text };
  });
  const rightLast = ({ kind }) => Number(kind === "right");
  return [...objects, ...drawn.reverse().sort((a, b) => rightLast(a) - rightLast(b))];
}

function count(boxes, kind) {
  return boxes.filter((box) => box.kind === kind).length;
}

const tally = (boxes) => `${whole(count(boxes, "right"))} right, ${whole(count(boxes, "wrong"))} wrong, `
  + `${whole(count(boxes, "missed"))} missed`;

/** Make the figure of an image. Returns its element and a function that draws its boxes for a threshold. */
function figure(entry, picture) {
  const shown = pictureWithBoxes(picture.size, picture.picture);
  const counts = element("span", { class: "muted" });
  const enlarge = element("button", { type: "button", "aria-pressed": "false", click: () => {
    const large = node.classList.toggle("large");
    enlarge.setAttribute("aria-pressed", String(large));
    enlarge.textContent = large ? "Shrink" : "Enlarge";
  } }, "Enlarge");
  const node = element("figure", { class: "picture" },
    shown.node,
    element("figcaption", {},
      element("span", { class: "file", title: entry.image_id }, entry.image_id), enlarge,
      element("span", { class: "muted" }, `F1 ${decimal(entry.score)}`), counts));
  const draw = (threshold) => {
    const boxes = boxesOf(picture, threshold);
    shown.draw(boxes);
    counts.textContent = tally(boxes);
    shown.describe(`${entry.image_id}: ${tally(boxes)}`);
    return boxes;
  };
  return { node, draw };
}

/** Return the range of the slider: 0-1, or more if there are other scores. */
function scoreRange(pictures) {
  const scores = pictures.flatMap((picture) => picture.detections.map(({ score }) => score));
  return [Math.min(0, ...scores), Math.max(1, ...scores)];
}

function showGallery(report, pictures) {
  const figures = [];
  for (const [key, title] of GALLERIES) {
    const entries = (report[key] ?? []).filter((entry) => Object.hasOwn(pictures, entry.image_id));
    if (!entries.length) continue;
    const shown = entries.map((entry) => figure(entry, pictures[entry.image_id]));
    figures.push(...shown);
    const at = report.best_f1 ? ` by F1 at score ${decimal(report.best_f1.score_threshold, 2)}` : "";
    const nodes = shown.map(({ node }) => node);
    find("galleries").append(element("h3", {}, title + at), element("div", { class: "pictures" }, ...nodes));
  }
  if (!figures.length) return;
  const slider = find("threshold");
  const draw = () => {
    const boxes = figures.flatMap(({ draw: drawBoxes }) => drawBoxes(Number(slider.value)));
    find("threshold-value").textContent = decimal(Number(slider.value), 2);
    find("totals").textContent = tally(boxes);
  };
  [slider.min, slider.max] = scoreRange(Object.values(pictures));
  slider.value = report.best_f1?.score_threshold ?? (Number(slider.min) + Number(slider.max)) / 2;
  slider.addEventListener("input", draw);
  find("legend").append(...LEGEND.map(([kind, text]) => element("li", {},
    svg("svg", { class: "swatch", viewBox: "0 0 26 16", "aria-hidden": "true" },
      svg("rect", { class: "box under", x: 3, y: 3, width: 20, height: 10 }),
      svg("rect", { class: `box ${kind}`, x: 3, y: 3, width: 20, height: 10 })), text)));
  draw();
  reveal("gallery");
}
