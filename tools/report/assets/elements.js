// Elements and numbers. Names of classes and files come from others: they only ever become text nodes and attributes.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Fill an element: attributes that are null or false are left out, functions become listeners, strings become text. */
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

/** Show a section that has something to show. */
function reveal(id) {
  find(id).hidden = false;
}

const known = (value) => value !== null && value !== undefined;

/** A share or score; what could not be measured is a dash. */
const decimal = (value, digits = 3) => (known(value) ? value.toFixed(digits) : "–");

const whole = (value) => (known(value) ? value.toLocaleString("en") : "–");

/** A table with a caption for screen readers; `columns` are [title, is it numeric], `rows` lists of cells' contents. */
function table(caption, columns, rows) {
  const cell = (name, numeric, ...children) => element(name, { class: numeric && "number" }, ...children);
  return element("table", {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {},
      ...columns.map(([title, numeric]) => fill(cell("th", numeric, title), { scope: "col" }, [])))),
    element("tbody", {}, ...rows.map((row) => element("tr", {},
      ...row.map((content, column) => cell("td", columns[column][1], ...[content].flat()))))));
}
