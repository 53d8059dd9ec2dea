// Functions that draw bars and precision-recall curves as inline SVG.

/** Draw a bar for `value` on a track that ends at `most`; an `interval` [low, high] is drawn as a whisker. */
function bar(value, { most = 1, interval = null, kind = "accent" } = {}) {
  const place = (number) => (most > 0 ? Math.min(Math.max(number / most, 0), 1) * 100 : 0);
  const picture = svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 10, rx: 1 }));
  if (known(value)) picture.append(svg("rect", { class: kind, width: place(value), height: 10, rx: 1 }));
  if (interval?.every(known)) {
    const [low, high] = interval.map(place);
    picture.append(svg("path", { class: "whisker", d: `M${low} 5H${high}M${low} 2V8M${high} 2V8` }));
  }
  return picture;
}

/** Draw a bar with its number beside it. */
function measure(value, text, options) {
  return element("span", { class: "measure" }, bar(value, options), element("span", { class: "value" }, text));
}

const PLOT = { width: 380, height: 300, left: 44, right: 12, top: 10, bottom: 40 };
const plotX = (recall) => PLOT.left + recall * (PLOT.width - PLOT.left - PLOT.right);
const plotY = (precision) => PLOT.height - PLOT.bottom - precision * (PLOT.height - PLOT.top - PLOT.bottom);

/** Draw the grid, its numbers and titles, and faint lines of equal F1. */
function axes() {
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const lines = ticks.map((tick) =>
    `M${plotX(0)} ${plotY(tick)}H${plotX(1)}M${plotX(tick)} ${plotY(0)}V${plotY(1)}`).join("");
  const equalF1 = [0.2, 0.4, 0.6, 0.8].map((f1) => {
    const recalls = Array.from({ length: 41 }, (_, step) => f1 / (2 - f1) + (step / 40) * (1 - f1 / (2 - f1)));
    return "M" + recalls.map((recall) => `${plotX(recall)} ${plotY(f1 * recall / (2 * recall - f1))}`).join("L");
  }).join("");
  return svg("g", {},
    svg("path", { class: "grid", d: lines }),
    svg("path", { class: "equal-f1", d: equalF1 }),
    ...ticks.flatMap((tick) => [
      svg("text", { x: plotX(tick), y: plotY(0) + 16, "text-anchor": "middle" }, tick.toString()),
      svg("text", { x: plotX(0) - 8, y: plotY(tick) + 4, "text-anchor": "end" }, tick.toString()),
    ]),
    svg("text", { x: plotX(0.5), y: PLOT.height - 6, "text-anchor": "middle", class: "axis" }, "recall"),
    svg("text", { transform: `translate(12 ${plotY(0.5)}) rotate(-90)`, "text-anchor": "middle", class: "axis" }, "precision"));
}

const pointText = ({ score, precision, recall }) =>
  `score ${decimal(score)}: precision ${decimal(precision)}, recall ${decimal(recall)}`;

/** Draw a precision-recall curve and the point of the best F1. The pointer or the arrow keys show its other points. */
function curvePlot(curve, best, name) {
  const bestText = known(best?.f1) ? `Best F1 ${decimal(best.f1)} at ${pointText({ ...best, score: best.score_threshold })}` : "";
  const points = curve.recall.map((recall, row) => ({ recall, precision: curve.precision[row], score: curve.score[row] }));
  const line = "M" + points.map((point) => `${plotX(point.recall)} ${plotY(point.precision)}`).join("L");
  const reading = element("p", { class: "reading", role: "status" }, bestText);
  const cursor = svg("circle", { class: "cursor", r: 4, visibility: "hidden" });
  const picture = svg("svg", {
    class: "curve", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", tabindex: 0,
    "aria-label": `Precision-recall curve of ${name}. ${bestText}`,
  }, axes(), svg("path", { class: "line", d: line }));
  if (bestText) picture.append(svg("circle", { class: "best", cx: plotX(best.recall), cy: plotY(best.precision), r: 5 }));
  picture.append(cursor);
  readPoints(picture, points, (point) => {
    reading.textContent = point ? `At ${pointText(point)}` : bestText;
    cursor.setAttribute("visibility", point ? "visible" : "hidden");
    if (point) fill(cursor, { cx: plotX(point.recall), cy: plotY(point.precision) }, []);
  });
  return element("figure", { class: "plot" }, picture, element("figcaption", {}, reading));
}

/** Call `show` with the point nearest to the pointer or chosen by the arrow keys, and with null when these leave. */
function readPoints(picture, points, show) {
  let row = 0;
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((pixels) => pixels / box.width * PLOT.width);
    const distances = points.map((point) => Math.hypot(plotX(point.recall) - x, plotY(point.precision) - y));
    row = distances.indexOf(Math.min(...distances));
    show(points[row]);
  });
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    row = Math.min(Math.max(row + step, 0), points.length - 1);
    show(points[row]);
  });
  for (const left of ["pointerleave", "blur"]) picture.addEventListener(left, () => show(null));
}
