// Reads the report in the page, and shows every section for which the report has figures.

const RULES = {
  ilsvrc: "ILSVRC detection task", voc2007: "PASCAL VOC 2007, 11 points", voc: "PASCAL VOC, area", coco: "COCO, IoU 0.50 to 0.95",
};
const ERRORS = {
  classification: "Classification: right box, wrong class",
  localisation: "Localisation: right class, but the box is too far off",
  both: "Both: wrong class, and the box is too far off",
  duplicate: "Duplicate: another detection found the object",
  background: "Background: there is no object",
  missed: "Missed: object without a detection",
};
const MOST_CONFUSIONS = 10;

function tile(title, value, ...more) {
  return element("div", { class: "tile" },
    element("span", { class: "muted" }, title), element("strong", {}, value), ...more);
}

function showSummary(report) {
  const interval = report.mAP_interval?.every(known) ? report.mAP_interval : null;
  const share = report.bootstrap ? `${Math.round(report.bootstrap.confidence * 100)}% ` : "";
  const range = interval && `${share}interval ${interval.map((end) => decimal(end, 4)).join(" – ")}`;
  const tiles = [
    tile("mAP", decimal(report.mAP, 4), bar(report.mAP, { interval }), ...(range ? [element("span", { class: "muted" }, range)] : [])),
    tile("recall", decimal(report.recall, 4), bar(report.recall)),
    tile("images", whole(report.images)),
    tile("objects", whole(report.objects)),
    tile("detections", whole(report.detections)),
  ];
  const best = report.best_f1;
  if (known(best?.f1)) {
    const parts = { precision: best.precision, recall: best.recall, "from score": best.score_threshold };
    const lines = Object.entries(parts).map(([name, value]) => element("span", { class: "muted" }, `${name} ${decimal(value)}`));
    tiles.splice(2, 0, tile("best F1", decimal(best.f1), bar(best.f1), ...lines));
  }
  find("headline").append(...tiles);
  find("source").textContent = [`Rule: ${RULES[report.rule] ?? report.rule}`, report.source].filter(Boolean).join(" · ");
  find("details").textContent = Object.entries(report.details ?? {})
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${decimal(value)}`).join(" · ");
  const overlap = "Curves, best F1, errors, confusions and images use an IoU threshold of 0.50.";
  find("overlap").textContent = report.rule === "coco" ? overlap : "";
  document.title = `mAP ${decimal(report.mAP, 4)}, detection report`;
}

function showErrors({ errors }) {
  const kinds = Object.keys(ERRORS).filter((kind) => errors?.[kind]);
  if (!kinds.length) return;
  const mostErrors = Math.max(...kinds.map((kind) => errors[kind].count));
  const mostCost = Math.max(...kinds.map((kind) => errors[kind].mAP_cost ?? 0));
  const rows = kinds.map((kind) => {
    const { count: errorCount, mAP_cost: cost } = errors[kind];
    const [name, meaning] = ERRORS[kind].split(": ");
    return [
      [element("span", {}, name), element("span", { class: "muted meaning" }, meaning)],
      measure(errorCount, whole(errorCount), { most: mostErrors, kind: "neutral" }),
      measure(cost, decimal(cost, 4), { most: mostCost }),
    ];
  });
  find("error-chart").append(table("Errors by kind", [["Error"], ["Count", true], ["mAP cost", true]], rows));
  reveal("errors");
}

function showSizes({ AP_by_size: sizes }) {
  const names = ["small", "medium", "large"].filter((name) => sizes?.[name]);
  if (!names.length) return;
  const limits = { small: "up to 32 × 32 px", medium: "up to 96 × 96 px", large: "larger" };
  const rows = names.map((name) => [
    [element("span", {}, name), element("span", { class: "muted meaning" }, limits[name])],
    measure(sizes[name].mAP, decimal(sizes[name].mAP)),
    whole(sizes[name].objects),
  ]);
  find("size-table").append(table("mAP by size of the objects", [["Size"], ["mAP", true], ["Objects", true]], rows));
  reveal("sizes");
}

function showConfusions({ confusions }) {
  if (!confusions?.length) return;
  const shown = confusions.toSorted((a, b) => b.count - a.count).slice(0, MOST_CONFUSIONS);
  const rows = shown.map(({ truth, predicted, count: times }) => [
    truth, predicted, measure(times, whole(times), { most: shown[0].count, kind: "neutral" }),
  ]);
  find("confusion-table").append(table("Confused classes", [["Object"], ["Detected as"], ["Count", true]], rows));
  reveal("confusions");
}

function showContents() {
  const sections = [...document.querySelectorAll("main > section[id]:not([hidden])")].filter((section) => section.querySelector("h2"));
  find("contents").append(...sections.map((section) => element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
}

const { report, pictures } = JSON.parse(find("data").textContent);
offerThemes();
showSummary(report);
showWarnings(report.warnings);
showErrors(report);
showSizes(report);
showClasses(report);
showConfusions(report);
showGallery(report, pictures);
showContents();
