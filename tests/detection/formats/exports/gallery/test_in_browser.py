"""The gallery in a browser without a window; skipped if no browser is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from detection.formats.exports.export import DetectedImage
from detection.formats.exports.gallery.writer import Gallery
from detection.structures.detections import Detections
from tests.headless_browser import requested_addresses, texts

HOSTILE = "</script><img src=http://192.0.2.1/a.png onerror=\"document.title = 'harmed'\">"
PHOTOS = 200
"""The number of photos. Only a part of them is near the visible part of the page."""


CLASS_NAMES = ("cat", HOSTILE)


def detected(number: int) -> DetectedImage:
    """A photo of 160 x 80 pixels: the even ones have a cat, every tenth also another one and a hostile name."""
    labels, scores = [0, 0, 1], [0.9, 0.4, 0.3]
    boxes = [[10.0 * place, 5.0, 10.0 * place + 40, 45.0] for place in range(3)]
    count = 3 if number % 10 == 0 else 1 - number % 2
    detections = Detections(np.array(boxes), np.array(scores), np.array(labels), CLASS_NAMES)[:count]
    name = f"photos/{number:03}.jpg" if number else f"photos\\{HOSTILE}.jpg"
    return DetectedImage(name, np.full((80, 160, 3), number, np.uint8), detections)


@pytest.fixture(name="page", scope="module")
def page_of_many_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "out.html"
    gallery = Gallery(path, inputs={}, overwrite=False)
    gallery.add_failure("x: expected <b>a photo</b>")
    for number in range(PHOTOS):
        gallery.add(detected(number))
    gallery.finish()
    return path


@pytest.fixture(name="opened")
def opened_page(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    """The page in the browser; checks after each test that it reported no error and loaded no other file."""
    requested_addresses(browser)  # discard earlier entries
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#photos image"))
    yield browser
    assert browser.title == "Detections"
    assert browser.get_log("browser") == []
    assert requested_addresses(browser) == {page.as_uri()}


def shown(browser: webdriver.Chrome) -> int:
    """The number of photos that the filters let pass; waits until the page has drawn what was changed last."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return len(browser.find_elements(By.CSS_SELECTOR, "#photos > li:not([hidden])"))


def set_threshold(browser: webdriver.Chrome, threshold: float) -> None:
    script = (
        "const s = document.getElementById('threshold'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
    )
    browser.execute_script(script, threshold)


def count(browser: webdriver.Chrome, selector: str) -> int:
    return len(browser.find_elements(By.CSS_SELECTOR, selector))


def test_all_photos_are_listed_and_only_the_near_ones_drawn(opened: webdriver.Chrome) -> None:
    assert shown(opened) == PHOTOS
    assert opened.find_element(By.ID, "totals").text == "200 of 200 photos, 140 objects"
    drawn = count(opened, "#photos image")
    assert 4 <= drawn <= 60
    opened.execute_script("scrollTo(0, document.documentElement.scrollHeight)")
    last = "#photos > li:last-child image"
    WebDriverWait(opened, 60).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, last))
    assert count(opened, "#photos > li:first-child image") == 0
    assert count(opened, "#photos image") <= 60


def test_names_are_text(opened: webdriver.Chrome) -> None:
    assert texts(opened, "#warning-list li") == ["x: expected <b>a photo</b>"]
    assert texts(opened, "#photos > li:first-child .file") == [f"{HOSTILE.rpartition('/')[2]}.jpg"]
    assert f"{HOSTILE}\n20" in texts(opened, ".chip")
    assert count(opened, "img") == 0


def test_score_slider(opened: webdriver.Chrome) -> None:
    boxes = "#photos > li:first-child .box:not(.under)"
    assert count(opened, boxes) == 3
    assert opened.find_element(By.ID, "threshold-value").text == "0.30"
    set_threshold(opened, 0.4)
    assert shown(opened) == PHOTOS
    assert count(opened, boxes) == 2  # a score at the threshold is shown
    assert opened.find_element(By.ID, "totals").text == "200 of 200 photos, 120 objects"
    assert texts(opened, ".chip")[0] == "cat\n120"
    set_threshold(opened, 0.41)
    shown(opened)
    assert texts(opened, ".chip") == ["cat\n100", f"{HOSTILE}\n0"]


def test_class_filter(opened: webdriver.Chrome) -> None:
    cat, hostile = opened.find_elements(By.CSS_SELECTOR, ".chip")
    hostile.click()
    assert shown(opened) == 20
    assert texts(opened, "#photos > li:first-child .label") == [f"{HOSTILE} 0.30"]
    cat.click()
    assert shown(opened) == 100
    hostile.click()
    set_threshold(opened, 0.95)
    assert shown(opened) == 0
    assert opened.find_element(By.ID, "nothing").is_displayed()
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert shown(opened) == PHOTOS


def test_search_by_name(opened: webdriver.Chrome) -> None:
    field = opened.find_element(By.ID, "search")
    field.send_keys("PHOTOS/01")
    assert shown(opened) == 10
    field.send_keys("7.jpg")
    assert shown(opened) == 1
    field.send_keys(Keys.ESCAPE)
    assert shown(opened) == PHOTOS


def test_keyboard(opened: webdriver.Chrome) -> None:
    opened.find_element(By.ID, "search").send_keys("/01")
    shown(opened)
    opened.find_element(By.CSS_SELECTOR, "#photos button[tabindex='0']").send_keys(Keys.ARROW_RIGHT)
    assert opened.switch_to.active_element.get_attribute("title") == "photos/011.jpg"
    opened.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ENTER)
    assert opened.find_element(By.ID, "view-name").text == "photos/010.jpg"
    assert opened.find_element(By.ID, "view-place").text == "1 of 10"
    assert texts(opened, "#view td:nth-child(2)") == ["0.900", "0.400", "0.300"]
    assert texts(opened, "#view tbody tr")[1].split("\t") == ["cat", "0.400", "10, 5, 40, 40"]
    for _ in range(12):  # the view stays at the last photo
        opened.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert opened.find_element(By.ID, "view-place").text == "10 of 10"
    opened.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert opened.find_element(By.ID, "view-name").text == "photos/018.jpg"
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not opened.find_element(By.ID, "view").is_displayed()
    focused = "return document.activeElement.title"
    WebDriverWait(opened, 60).until(lambda driver: driver.execute_script(focused) == "photos/018.jpg")
    assert shown(opened) == 10  # Escape has closed the view, and kept the filter


def test_narrow_page_does_not_scroll_sideways(opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    widths = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths == [360, 360]
