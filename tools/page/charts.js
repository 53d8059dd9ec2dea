// Bars and curves as inline SVG.

/** A bar of `value` on a track that ends at `most`; `interval` [low, high] is drawn as a whisker. */
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

/** The point of a curve with the highest F1, null if the curve has none. */
function bestPoint(curve) {
  const f1 = curve.recall.map((recall, row) => 2 * recall * curve.precision[row] / (recall + curve.precision[row]) || 0);
  if (!f1.length) return null;
  const row = f1.indexOf(Math.max(...f1));
  return { row, f1: f1[row] };
}

const PLOT = { width: 380, height: 300, left: 44, right: 12, top: 10, bottom: 40 };
const plotX = (recall) => PLOT.left + recall * (PLOT.width - PLOT.left - PLOT.right);
const plotY = (precision) => PLOT.height - PLOT.bottom - precision * (PLOT.height - PLOT.top - PLOT.bottom);

/** Grid, numbers and titles, and faint lines of equal F1. */
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

/** A precision-recall curve; a pointer over it, or the arrow keys, read its points. */
function curvePlot(curve, name) {
  const best = bestPoint(curve);
  const at = (row) => [plotX(curve.recall[row]), plotY(curve.precision[row])];
  const say = (row, what) => `${what}score ${decimal(curve.score[row])}: precision ${decimal(curve.precision[row])}, `
    + `recall ${decimal(curve.recall[row])}`;
  const bestText = best ? say(best.row, `Best F1 ${decimal(best.f1)} at `) : "Nothing was detected.";
  const reading = element("p", { class: "reading", role: "status" }, bestText);
  const cursor = svg("circle", { class: "cursor", r: 4, visibility: "hidden" });
  let current = best?.row ?? 0;
  const show = (row) => {
    current = Math.min(Math.max(row, 0), curve.recall.length - 1);
    const [x, y] = at(current);
    fill(cursor, { cx: x, cy: y, visibility: "visible" }, []);
    reading.textContent = say(current, "At ");
  };
  const leave = () => {
    cursor.setAttribute("visibility", "hidden");
    reading.textContent = bestText;
  };
  const picture = svg("svg", {
    class: "curve", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", tabindex: 0,
    "aria-label": `Precision-recall curve of ${name}. ${bestText}`,
  }, axes());
  if (best) {
    const [x, y] = at(best.row);
    picture.append(
      svg("path", { class: "line", d: "M" + curve.recall.map((_, row) => at(row).join(" ")).join("L") }),
      svg("circle", { class: "best", cx: x, cy: y, r: 5 }, svg("title", {}, bestText)),
      cursor);
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * PLOT.width;
      const distances = curve.recall.map((recall) => Math.abs(plotX(recall) - x));
      show(distances.indexOf(Math.min(...distances)));
    });
    picture.addEventListener("pointerleave", leave);
    picture.addEventListener("blur", leave);
    picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(current + step);
    });
  }
  return element("figure", { class: "plot" }, picture, element("figcaption", {}, reading));
}
