// The large view of a photo, with the list of its detections. The arrow keys go to the other photos that are shown.

/** Prepare the view. `shownPhotos()` returns the photos to go through, and `closed(photo)` is called at the end.
 * Returns a function that opens it with a photo. */
function makeLargeView({ shownPhotos, detectionsOf, sourceOf, styles, closed }) {
  const view = find("view");
  let current = null;
  const show = (photo) => {
    current = photo;
    const photos = shownPhotos();
    const place = photos.indexOf(photo);
    const detections = detectionsOf(photo);
    const picture = pictureWithBoxes(photo.size, sourceOf(photo));
    picture.draw(boxesToDraw(detections, styles));
    picture.describe(photo.image);
    find("view-name").textContent = photo.image;
    find("view-place").textContent = `${whole(place + 1)} of ${whole(photos.length)}`;
    find("view-picture").replaceChildren(picture.node);
    find("view-detections").replaceChildren(detectionTable(detections, "No detection fits the filters."));
    find("previous").disabled = place <= 0;
    find("next").disabled = place >= photos.length - 1;
  };
  const go = (step) => {
    const photos = shownPhotos();
    const photo = photos[photos.indexOf(current) + step];
    if (step && photo) show(photo);
  };
  find("previous").addEventListener("click", () => go(-1));
  find("next").addEventListener("click", () => go(1));
  find("close").addEventListener("click", () => view.close());
  view.addEventListener("click", (event) => event.target === view && view.close());
  // The document listens, as a button that becomes disabled loses the focus, and the keys with it.
  document.addEventListener("keydown", (event) => {
    if (view.open) go({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0);
  });
  view.addEventListener("close", () => {
    find("view-picture").replaceChildren();
    closed(current);
  });
  return (photo) => {
    show(photo);
    view.showModal();
  };
}
