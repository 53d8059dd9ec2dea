"""The page of the service in a browser without a window; skipped if no browser is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base as ExifTag
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.headless_browser import requested_addresses, texts
from tests.tools.serve.fake_service import CLASS_NAMES, Running, photo, running_service
from tools.serve.limits import Limits

DROP = """
const [name, bytes] = arguments;
const data = new DataTransfer();
data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
for (const kind of ["dragenter", "dragover", "drop"]) {
  const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(event);
}
"""


@pytest.fixture(name="service", scope="module")
def service_of_two_classes() -> Iterator[Running]:
    with running_service(Limits(body_bytes=100_000)) as service:
        yield service


@pytest.fixture(name="opened")
def opened_page(browser: webdriver.Chrome, service: Running) -> Iterator[webdriver.Chrome]:
    """The page in the browser; checks after each test that it loaded nothing from elsewhere."""
    requested_addresses(browser)  # discard earlier entries
    browser.get_log("browser")
    browser.get(f"http://127.0.0.1:{service.port}/")
    yield browser
    assert all(url.startswith(f"http://127.0.0.1:{service.port}/") for url in requested_addresses(browser))
    assert browser.title == "Detect objects"


def choose(browser: webdriver.Chrome, path: Path) -> None:
    """Choose a file, and wait for its detections or for an error."""
    browser.execute_script("document.getElementById('status').textContent = ''")
    browser.find_element(By.ID, "file").send_keys(str(path))
    wait_for_result(browser)


def wait_for_result(browser: webdriver.Chrome) -> None:
    script = """
    const text = document.getElementById("status").textContent;
    return !document.getElementById("error").hidden || (text && !text.startsWith("Looking"));
    """
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(script))


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_dropped_photo_shows_its_boxes(opened: webdriver.Chrome) -> None:
    opened.execute_script(DROP, "<i>a</i>.png", list(photo(255, 204)))
    wait_for_result(opened)
    assert texts(opened, "#status")[0].startswith("<i>a</i>.png: 30 \N{MULTIPLICATION SIGN} 20 pixels")
    assert texts(opened, "#picture .label") == [f"{CLASS_NAMES[1]} 0.80", "cat 1.00"]
    assert [row.split("\t") for row in texts(opened, "#detections tbody tr")] == [
        ["cat", "1.000", "1, 2, 29, 18"],
        [CLASS_NAMES[1], "0.800", "1, 2, 29, 18"],
    ]
    assert len(opened.find_elements(By.CSS_SELECTOR, "#picture image")) == 1
    assert opened.get_log("browser") == []


def test_slider(opened: webdriver.Chrome, tmp_path: Path) -> None:
    choose(opened, save(tmp_path / "a.png", photo(255, 51)))
    assert texts(opened, "#picture .label") == ["cat 1.00"]  # from the detector's own threshold on
    script = (
        "const s = document.getElementById('threshold'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
    )
    opened.execute_script(script, 0.2)
    assert texts(opened, "#picture .label") == [f"{CLASS_NAMES[1]} 0.20", "cat 1.00"]
    opened.execute_script(script, 1)
    assert texts(opened, "#picture .label") == ["cat 1.00"]
    choose(opened, save(tmp_path / "b.png", photo(1, 1)))
    assert texts(opened, "#detections p") == ["No detection reaches the threshold."]


def test_files_that_are_refused(opened: webdriver.Chrome, tmp_path: Path) -> None:
    choose(opened, save(tmp_path / "a.png", b"no photo"))
    assert texts(opened, "#error")[0].startswith("a.png: expected a readable image")
    choose(opened, save(tmp_path / "large.png", bytes(100_001)))
    assert texts(opened, "#error") == ["large.png: expected at most 100,000 bytes, got 100,001"]
    choose(opened, save(tmp_path / "b.png", photo(255)))
    assert not opened.find_element(By.ID, "error").is_displayed()
    assert texts(opened, "#picture .label") == ["cat 1.00"]


def test_a_format_that_browsers_cannot_show(opened: webdriver.Chrome, tmp_path: Path) -> None:
    choose(opened, save(tmp_path / "a.tiff", photo(255, kind="tiff")))
    assert texts(opened, "#status")[0].endswith("This browser cannot show the format of the file.")
    assert len(opened.find_elements(By.CSS_SELECTOR, "#picture .blank")) == 1
    assert texts(opened, "#picture .label") == ["cat 1.00"]


def test_photo_that_is_turned_by_its_orientation(opened: webdriver.Chrome, tmp_path: Path) -> None:
    """The pixels lie in the browser as the service reads them: the upper half of the upright photo is red."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = (255, 0, 0)  # the left half, which orientation 6 turns to the top
    exif = PIL.Image.Exif()
    exif[ExifTag.Orientation] = 6
    PIL.Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    choose(opened, tmp_path / "a.jpg")
    assert ": 40 \N{MULTIPLICATION SIGN} 60 pixels" in texts(opened, "#status")[0]
    opened.find_element(By.ID, "picture").screenshot(str(tmp_path / "shown.png"))
    with PIL.Image.open(tmp_path / "shown.png") as shown:
        rgb = np.asarray(shown.convert("RGB")).astype(int)
    middle = rgb[:, rgb.shape[1] // 2]  # from the top to the lower edge of the window, which cuts the picture off
    assert middle[5, 0] > 200
    assert middle[-5].max() < 60


def test_description_loads_nothing_from_elsewhere(opened: webdriver.Chrome, service: Running) -> None:
    opened.get(f"http://127.0.0.1:{service.port}/docs")
    WebDriverWait(opened, 60).until(lambda driver: "/detect" in driver.find_element(By.TAG_NAME, "body").text)
    assert any("swagger" in url for url in requested_addresses(opened))
    opened.get(f"http://127.0.0.1:{service.port}/")
