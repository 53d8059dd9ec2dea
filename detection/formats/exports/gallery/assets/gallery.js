// The grid of photos. Only photos near the visible part of the page have their pixels and boxes in memory, so that a
// thousand photos scroll as smoothly as ten.

const MOST_NAMES = 8; // the number of boxes in a small picture that have their name
const NEAR = "600px"; // how far outside of the visible part photos are drawn ahead

const { photos, classes, warnings } = JSON.parse(find("data").textContent);
const styles = new Map(classes.map(([name, colour, ink]) => [name, { colour, ink }]));
photos.forEach((photo, place) => { photo.place = place; });
const sourceOf = ({ place }) => find(`picture-${place}`)?.textContent ?? null;
const filters = makeFilters(photos, () => requestAnimationFrame(update));
const updateClassButtons = makeClassButtons(photos, styles, filters);
const cards = new Map(photos.map((photo) => [photo, makeCard(photo)]));
const cardOf = new Map([...cards.values()].map((card) => [card.node, card]));
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cardOf.get(target);
    card.near = isIntersecting;
    card.draw();
  }
}, { rootMargin: `${NEAR} 0px` });
let shown = [];
let reached = null; // the photo at which the Tab key stops; the arrow keys move it
const open = makeLargeView({
  shownPhotos: () => shown,
  detectionsOf: (photo) => passing(photo, filters),
  sourceOf,
  styles,
  closed: reach,
});

/** Make the card of a photo. It has no picture until it comes near the visible part of the page. */
function makeCard(photo) {
  const frame = element("span", { class: "frame" });
  const number = element("span", { class: "muted" });
  const button = element("button", { type: "button", tabindex: -1, title: photo.image, click: () => open(photo) },
    frame, element("span", { class: "caption" }, element("span", { class: "file" }, photo.image.split(/[\\/]/).at(-1)), number));
  const node = element("li", { class: "picture" }, button);
  const card = { node, button, near: false };
  let picture = null;
  card.draw = () => {
    if (!card.near || node.hidden) {
      picture = null;
      frame.replaceChildren();
      return;
    }
    if (!picture) {
      picture = pictureWithBoxes(photo.size, sourceOf(photo));
      frame.append(picture.node);
    }
    const detections = passing(photo, filters);
    number.textContent = detections.length === 1 ? "1 object" : `${whole(detections.length)} objects`;
    picture.draw(boxesToDraw(detections, styles, MOST_NAMES));
    picture.describe(`${photo.image}: ${number.textContent}`);
  };
  return card;
}

/** Show what fits the filters. */
function update() {
  let objects = 0;
  shown = photos.filter((photo) => {
    const detections = passing(photo, filters);
    const visible = fits(photo, detections, filters);
    if (visible) objects += detections.length;
    const { node } = cards.get(photo);
    if (node.hidden === visible) node.hidden = !visible;
    return visible;
  });
  for (const card of cards.values()) if (card.near) card.draw();
  updateClassButtons();
  find("threshold-value").textContent = decimal(filters.threshold, 2);
  find("totals").textContent = `${whole(shown.length)} of ${whole(photos.length)} photos, ${whole(objects)} objects`;
  find("nothing").hidden = shown.length > 0;
  if (!shown.includes(reached)) makeReachable(shown[0] ?? null);
}

function makeReachable(photo) {
  if (reached) cards.get(reached).button.tabIndex = -1;
  reached = photo;
  if (reached) cards.get(reached).button.tabIndex = 0;
}

/** Move the focus to a photo. */
function reach(photo) {
  makeReachable(photo);
  cards.get(photo).button.focus();
}

/** Move the focus by the arrow keys. */
function moveByKey(event) {
  const columns = getComputedStyle(find("photos")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!step) return;
  event.preventDefault();
  const photo = shown[shown.indexOf(reached) + step];
  if (photo) reach(photo);
}

offerThemes();
showWarnings(warnings);
find("photos").append(...[...cards.values()].map(({ node }) => node));
for (const { node } of cards.values()) observer.observe(node);
find("photos").addEventListener("keydown", moveByKey);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("view").open) filters.clear();
});
update();
