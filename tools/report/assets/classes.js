// The table of classes, which can be sorted and filtered, and the card of the class that is chosen in it.

const CLASS_COLUMNS = [
  { key: "name", title: "Class" },
  { key: "ap", title: "AP", numeric: true },
  { key: "recall", title: "Recall", numeric: true },
  { key: "objects", title: "Objects", numeric: true },
];

/** Return the figures of each class. Only own properties are read, as a class may be called "constructor". */
function classRows(report) {
  const figure = (key, name) => (report[key] && Object.hasOwn(report[key], name) ? report[key][name] : null);
  return Object.keys(report.AP).map((name) => ({
    name,
    ap: figure("AP", name),
    interval: figure("AP_interval", name),
    recall: figure("recall_by_class", name),
    objects: figure("objects_by_class", name),
    curve: figure("curves", name),
    best: figure("best_f1_by_class", name),
  }));
}

/** Return the rows sorted by a column; values that could not be measured always come last. */
function sorted(rows, { key, descending }) {
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  return rows.toSorted((a, b) => {
    if (!known(a[key]) || !known(b[key])) return known(b[key]) - known(a[key]);
    return compare(a[key], b[key]) * (descending ? -1 : 1);
  });
}

function classCard(row, confusions) {
  const card = [element("h3", {}, row.name)];
  const interval = row.interval?.every(known) ? ` [${row.interval.map((end) => decimal(end)).join(", ")}]` : "";
  const objects = row.objects === 1 ? "1 object" : `${whole(row.objects)} objects`;
  card.push(element("p", {}, `AP ${decimal(row.ap)}${interval}, recall ${decimal(row.recall)}, ${objects}`));
  if (row.curve?.recall.length) card.push(curvePlot(row.curve, row.best, row.name));
  const others = confusions.filter((pair) => pair.truth === row.name);
  if (others.length) {
    const names = others.slice(0, 5).map((pair) => `${pair.predicted} (${whole(pair.count)})`).join(", ");
    card.push(element("p", { class: "muted" }, `Often taken for ${names}.`));
  }
  return card;
}

function showClasses(report) {
  const rows = classRows(report);
  if (!rows.length) return;
  const state = { key: "ap", descending: true, filter: "", chosen: sorted(rows, { key: "ap", descending: true })[0] };

  const sortBy = (column) => {
    state.descending = state.key === column.key ? !state.descending : Boolean(column.numeric);
    state.key = column.key;
    draw();
    find("class-table").querySelector(`[data-key="${column.key}"]`).focus();
  };
  const choose = (row) => {
    state.chosen = row;
    draw();
    find("class-detail").replaceChildren(...classCard(row, report.confusions ?? []));
  };
  /** The Tab key stops at the table once; inside it, the arrow keys move from class to class. */
  const move = (event, shown, row) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = shown[shown.indexOf(row) + step];
    if (!next) return;
    choose(next);
    find("class-table").querySelector("button[aria-pressed=true]").focus();
  };
  const heading = (column) => {
    const sort = state.key === column.key ? (state.descending ? "descending" : "ascending") : null;
    const button = element("button", { type: "button", "data-key": column.key, click: () => sortBy(column) }, column.title);
    return element("th", { scope: "col", class: column.numeric && "number", "aria-sort": sort }, button);
  };
  const line = (row, shown) => {
    const chosen = row === state.chosen;
    const reached = chosen || (!shown.includes(state.chosen) && row === shown[0]);
    const name = element("button", {
      type: "button", "aria-pressed": String(chosen), tabindex: reached ? 0 : -1,
      keydown: (event) => move(event, shown, row),
    }, row.name);
    return element("tr", { class: chosen && "chosen", click: () => choose(row) },
      element("th", { scope: "row" }, name),
      element("td", { class: "number" }, measure(row.ap, decimal(row.ap), { interval: row.interval })),
      element("td", { class: "number" }, decimal(row.recall)),
      element("td", { class: "number" }, whole(row.objects)));
  };
  const draw = () => {
    const wanted = state.filter.toLocaleLowerCase();
    const shown = sorted(rows.filter((row) => row.name.toLocaleLowerCase().includes(wanted)), state);
    find("class-table").replaceChildren(element("table", {},
      element("caption", { class: "unseen" }, "Average precision, recall and objects of each class"),
      element("thead", {}, element("tr", {}, ...CLASS_COLUMNS.map(heading))),
      element("tbody", {}, ...shown.map((row) => line(row, shown)))));
    find("class-count").textContent = `${whole(shown.length)} of ${whole(rows.length)}`;
  };

  find("class-filter").addEventListener("input", (event) => {
    state.filter = event.target.value.trim();
    draw();
  });
  choose(state.chosen);
  reveal("classes");
}
