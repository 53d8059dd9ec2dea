// A picture with boxes and their names over it.
//
// A box to draw is an object with `box` ([x, y, width, height] in pixels of the picture), `text`, and either `kind`, a
// class of the style sheet, or `colour` and `ink`, the colours of the line and of the text. A box without `text` has no
// name. If `below` is true, the name is at the lower edge of the box.

/** Draw boxes as rectangles, each on a wider dark line that separates it from the picture. */
function outlines(boxes) {
  return boxes.flatMap(({ box: [x, y, width, height], kind = null, colour = null }) => [
    svg("rect", { class: "box under", x, y, width, height }),
    svg("rect", { class: `box ${kind ?? ""}`, "data-kind": kind, stroke: colour, x, y, width, height }),
  ]);
}

/** Make the names at the boxes, in HTML as their size must not scale with the picture. Boxes on the right half have
 * their name at their right edge. */
function labels(boxes, [height, width]) {
  return boxes.filter(({ text }) => text).map(({ box: [x, y, boxWidth, boxHeight], text, kind, colour, ink, below }) => {
    const label = element("span", { class: `label ${kind ?? ""}`, title: text }, text);
    if (colour) Object.assign(label.style, { background: colour, color: ink });
    const percent = (part, all) => `${Math.min(Math.max(part / all, 0), 1) * 100}%`;
    if (x + boxWidth / 2 < width / 2) label.style.left = percent(x, width);
    else label.style.right = percent(width - x - boxWidth, width);
    if (below) label.style.bottom = percent(height - y - boxHeight, height);
    else label.style.top = percent(y, height);
    return label;
  });
}

/** Make a picture of this size. Returns its element and functions that draw boxes over it and that describe it to people
 * who do not see it. Without the address `source` of its pixels it is a grey area. */
function pictureWithBoxes([height, width], source = null) {
  const pixels = source
    ? svg("image", { href: source, width, height, preserveAspectRatio: "none" }) : svg("rect", { class: "blank", width, height });
  const layer = svg("g");
  const canvas = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, pixels, layer);
  const names = element("div", { class: "labels" });
  const node = element("div", { class: "canvas" }, canvas, names);
  node.style.setProperty("--ratio", width / height);
  const draw = (boxes) => {
    layer.replaceChildren(...outlines(boxes));
    names.replaceChildren(...labels(boxes, [height, width]));
  };
  return { node, draw, describe: (text) => canvas.setAttribute("aria-label", text) };
}

/** Return the boxes to draw for detections, which come best first, so that the best is on top. The first `named` of them
 * have their name. `styles` has the colours of each class. */
function boxesToDraw(detections, styles, named = Infinity) {
  const boxes = detections.map(({ box, score, class: name }, rank) =>
    ({ box, text: rank < named && `${name} ${decimal(score, 2)}`, ...styles.get(name) }));
  return boxes.reverse();
}

/** List detections in a table, or say in `nothing` that there are none. */
function detectionTable(detections, nothing) {
  const columns = [["Class"], ["Score", true], ["x, y, width, height", true]];
  const rows = detections.map(({ class: name, score, box }) =>
    [name, decimal(score), box.map((side) => whole(Math.round(side))).join(", ")]);
  return rows.length ? table("Detections in this photo", columns, rows) : element("p", { class: "muted" }, nothing);
}
