// Images with the boxes of objects and detections, for any score threshold.
// Kinds of boxes differ in colour, in the line, and in the sign before the name: not everybody tells colours apart.

const GALLERIES = [["worst_images", "Worst"], ["best_images", "Best"]];
const LEGEND = [["right", "right detection"], ["wrong", "wrong detection"], ["found", "object, found"],
  ["missed", "object, missed"], ["ignored", "counts neither way"]];
const MOST_NAMES = 8; // of an image's detections so many have their name at the box, the right ones always
const SIGNS = { right: "✓ ", wrong: "✗ ", missed: "? ", ignored: "" };

/** What is to be drawn of an image, those below others first: objects, then detections from the worst up, the right on top. */
function boxesOf(picture, threshold) {
  const detections = picture.detections.filter((one) => one.score >= threshold);
  const found = new Set(detections.filter((one) => one.outcome === "right").map((one) => one.object));
  const objects = picture.objects.map((one, place) => {
    const kind = one.ignored ? "ignored" : found.has(place) ? "found" : "missed";
    return { ...one, kind, named: kind !== "found" };
  });
  const drawn = detections.map((one, rank) =>
    ({ ...one, kind: one.outcome, named: one.outcome === "right" || rank < MOST_NAMES }));
  const rightLast = (one) => Number(one.kind === "right");
  return [...objects, ...drawn.reverse().sort((a, b) => rightLast(a) - rightLast(b))];
}

function count(boxes, kind) {
  return boxes.filter((one) => one.kind === kind).length;
}

const tally = (boxes) => `${whole(count(boxes, "right"))} right, ${whole(count(boxes, "wrong"))} wrong, `
  + `${whole(count(boxes, "missed"))} missed`;

/** Boxes as rectangles over the picture, each on a dark line that sets it off from any picture. */
function outlines(boxes) {
  return boxes.flatMap(({ box: [x, y, width, height], kind }) => ["under", kind].map((style) =>
    svg("rect", { class: `box ${style}`, "data-kind": style === "under" ? null : kind, x, y, width, height })));
}

/** Names at the boxes, in HTML as their size must not scale with the picture; on the right they end with their box. */
function labels(boxes, [height, width]) {
  return boxes.filter((one) => one.named).map(({ box: [x, y, boxWidth, boxHeight], kind, score, class: name }) => {
    const text = SIGNS[kind] + name + (known(score) ? ` ${decimal(score, 2)}` : "");
    const label = element("span", { class: `label ${kind}`, title: text }, text);
    const percent = (part, all) => `${Math.min(Math.max(part / all, 0), 1) * 100}%`;
    if (x + boxWidth / 2 < width / 2) label.style.left = percent(x, width);
    else label.style.right = percent(width - x - boxWidth, width);
    if (kind === "missed") label.style.bottom = percent(height - y - boxHeight, height);
    else label.style.top = percent(y, height);
    return label;
  });
}

/** A figure of an image; the function that draws its boxes for a threshold comes with it. */
function figure(entry, picture) {
  const [height, width] = picture.size;
  const layer = svg("g");
  const canvas = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" },
    picture.picture ? svg("image", { href: picture.picture, width, height, preserveAspectRatio: "none" })
      : svg("rect", { class: "blank", width, height }),
    layer);
  const names = element("div", { class: "labels" });
  const counts = element("span", { class: "muted" });
  const enlarge = element("button", { type: "button", "aria-pressed": "false", click: () => {
    const large = node.classList.toggle("large");
    enlarge.setAttribute("aria-pressed", String(large));
    enlarge.textContent = large ? "Shrink" : "Enlarge";
  } }, "Enlarge");
  const node = element("figure", { class: "picture" },
    element("div", { class: "canvas" }, canvas, names),
    element("figcaption", {},
      element("span", { class: "file", title: entry.image_id }, entry.image_id), enlarge,
      element("span", { class: "muted" }, `F1 ${decimal(entry.score)}`), counts));
  node.style.setProperty("--ratio", width / height);
  const draw = (threshold) => {
    const boxes = boxesOf(picture, threshold);
    layer.replaceChildren(...outlines(boxes));
    names.replaceChildren(...labels(boxes, picture.size));
    counts.textContent = tally(boxes);
    canvas.setAttribute("aria-label", `${entry.image_id}: ${tally(boxes)}`);
    return boxes;
  };
  return { node, draw };
}

/** The range of the slider: 0-1, and further where scores are no probabilities. */
function scoreRange(pictures) {
  const scores = pictures.flatMap((one) => one.detections.map((detection) => detection.score));
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
    const nodes = shown.map((one) => one.node);
    find("galleries").append(element("h3", {}, title + at), element("div", { class: "pictures" }, ...nodes));
  }
  if (!figures.length) return;
  const slider = find("threshold");
  const draw = () => {
    const boxes = figures.flatMap((one) => one.draw(Number(slider.value)));
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
