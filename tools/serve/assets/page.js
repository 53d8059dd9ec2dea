// Sends a photo to the service, and draws the boxes of the answer.

const { classes, threshold: usualThreshold, lowest, most_bytes: mostBytes } = JSON.parse(find("data").textContent);
const styles = new Map(classes.map(([name, colour, ink]) => [name, { colour, ink }]));
const slider = find("threshold");
let current = null; // the photo and its record, or null
let request = null; // stops the request that is on its way

function showError(text) {
  find("error").textContent = text;
  find("error").hidden = !text;
}

/** Return an address for the pixels of a file, or null if the browser cannot show its format, such as TIFF. */
async function addressOf(file) {
  const address = URL.createObjectURL(file);
  const picture = new Image();
  picture.src = address;
  try {
    await picture.decode();
    return address;
  } catch {
    URL.revokeObjectURL(address);
    return null;
  }
}

/** Return the record of the photo; throws an error with the sentence of the service if there is none. */
async function detect(file, signal) {
  if (file.size > mostBytes) throw new Error(`${file.name}: expected at most ${whole(mostBytes)} bytes, got ${whole(file.size)}`);
  const body = new FormData();
  body.append("photo", file, file.name);
  const response = await fetch(`detect?threshold=${lowest}`, { method: "POST", body, signal });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

/** Show the detections in a photo, in place of an earlier one. If another photo comes meanwhile, this one is left out. */
async function show(file) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  showError("");
  find("status").textContent = `Looking for objects in ${file.name} …`;
  try {
    const [record, address] = await Promise.all([detect(file, signal), addressOf(file)]);
    if (signal.aborted) return;
    if (current?.address) URL.revokeObjectURL(current.address);
    current = { record, address };
    find("status").textContent = `${record.image}: ${record.width} × ${record.height} pixels, ${decimal(record.seconds, 2)} seconds`
      + (address ? "" : ". This browser cannot show the format of the file.");
    draw();
    reveal("result");
  } catch (error) {
    if (signal.aborted) return;
    find("status").textContent = "";
    showError(error.message);
  }
}

/** Draw the boxes from the threshold of the slider on, and list them. */
function draw() {
  const { record, address } = current;
  const threshold = Number(slider.value);
  find("threshold-value").textContent = decimal(threshold, 2);
  const detections = record.detections.filter(({ score }) => score >= threshold)
    .map(({ box: [x1, y1, x2, y2], ...others }) => ({ ...others, box: [x1, y1, x2 - x1, y2 - y1] }));
  const picture = pictureWithBoxes([record.height, record.width], address);
  picture.draw(boxesToDraw(detections, styles));
  picture.describe(`${record.image}: ${whole(detections.length)} detections`);
  find("picture").replaceChildren(picture.node);
  find("detections").replaceChildren(detectionTable(detections, "No detection reaches the threshold."));
}

offerThemes();
[slider.min, slider.value] = [lowest, usualThreshold];
slider.addEventListener("input", draw);
find("file").addEventListener("change", () => {
  if (find("file").files.length) show(find("file").files[0]);
  find("file").value = ""; // so that the same file can be chosen again
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) show(event.dataTransfer.files[0]);
});
