// Which photos and boxes are shown: those that fit the score, the classes and the name that the reader has chosen.

/** Make the filters, which start with everything shown. `onChange` is called after each change. */
function makeFilters(photos, onChange) {
  const scores = photos.flatMap(({ detections }) => detections.map(({ score }) => score));
  const lowest = Math.floor(scores.reduce((least, score) => Math.min(least, score), 1) * 100) / 100;
  const filters = { threshold: scores.length ? lowest : 0, classes: new Set(), search: "" };
  const slider = find("threshold");
  slider.min = slider.value = filters.threshold;
  slider.addEventListener("input", () => {
    filters.threshold = Number(slider.value);
    onChange();
  });
  find("search").addEventListener("input", () => {
    filters.search = find("search").value.trim().toLocaleLowerCase();
    onChange();
  });
  filters.toggle = (name) => {
    if (!filters.classes.delete(name)) filters.classes.add(name);
    onChange();
  };
  filters.clear = () => {
    filters.classes.clear();
    filters.search = find("search").value = "";
    onChange();
  };
  return filters;
}

/** Return the detections of a photo that the filters let pass, best first. */
function passing({ detections }, { threshold, classes }) {
  return detections.filter(({ score, class: name }) => score >= threshold && (!classes.size || classes.has(name)));
}

/** Return true if the photo is shown: its name fits, and it has a detection of a chosen class if any is chosen. */
function fits(photo, detections, { classes, search }) {
  return photo.image.toLocaleLowerCase().includes(search) && (!classes.size || detections.length > 0);
}

/** Make a button for each class, the most frequent first. Returns a function that updates them. */
function makeClassButtons(photos, styles, filters) {
  const count = (threshold) => {
    const counts = new Map();
    for (const { detections } of photos) {
      for (const { class: name, score } of detections) if (score >= threshold) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return counts;
  };
  const all = count(0);
  const names = [...styles.keys()].sort((a, b) => all.get(b) - all.get(a) || a.localeCompare(b));
  const buttons = names.map((name) => {
    const number = element("span", { class: "muted" });
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = styles.get(name).colour;
    const button = element("button", { type: "button", class: "chip", click: () => filters.toggle(name) }, swatch, name, number);
    find("classes").append(button);
    return { name, button, number };
  });
  return () => {
    const counts = count(filters.threshold);
    for (const { name, button, number } of buttons) {
      button.setAttribute("aria-pressed", String(filters.classes.has(name)));
      number.textContent = whole(counts.get(name) ?? 0);
    }
  };
}
