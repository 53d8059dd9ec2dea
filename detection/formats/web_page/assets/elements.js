// Functions that make elements and format numbers. Names of classes and files are not trusted: they only become text
// nodes and attributes, never markup.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Set attributes of an element and append children. Null and false are left out, and functions become listeners. */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

function find(id) {
  return document.getElementById(id);
}

/** Show a section, which is hidden until it has content. */
function reveal(id) {
  find(id).hidden = false;
}

const known = (value) => value !== null && value !== undefined;

/** Format a share or score; a value that could not be measured is a dash. */
const decimal = (value, digits = 3) => (known(value) ? value.toFixed(digits) : "–");

const whole = (value) => (known(value) ? value.toLocaleString("en") : "–");

/** Make a table with a caption for screen readers. `columns` are [title, is numeric], `rows` the contents of cells. */
function table(caption, columns, rows) {
  const cell = (name, numeric, ...children) => element(name, { class: numeric && "number" }, ...children);
  return element("table", {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {},
      ...columns.map(([title, numeric]) => fill(cell("th", numeric, title), { scope: "col" }, [])))),
    element("tbody", {}, ...rows.map((row) => element("tr", {},
      ...row.map((content, column) => cell("td", columns[column][1], ...[content].flat()))))));
}

/** List warnings in the section of the page for them. */
function showWarnings(warnings) {
  if (!warnings?.length) return;
  find("warning-list").append(...warnings.map((line) => element("li", {}, line)));
  reveal("warnings");
}

/** Use the light or dark theme that the browser prefers, until the button changes it for as long as the page is open. */
function offerThemes() {
  const root = document.documentElement;
  const preference = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme ?? (preference.matches ? "dark" : "light");
  const other = () => (current() === "dark" ? "light" : "dark");
  const name = () => {
    find("theme").textContent = other() === "dark" ? "Dark" : "Light";
    find("theme").title = `Show the page in ${other()} colours`;
  };
  find("theme").addEventListener("click", () => {
    root.dataset.theme = other();
    name();
  });
  preference.addEventListener("change", name);
  name();
}
