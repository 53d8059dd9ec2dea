"""A gallery of 1,000 photos answers at once. `pytest -s` on this file prints the times that docs/detect.md has.

The times are those that a processor needs for the main thread of the page, without those in which it waits for other
programs. Where these use all cores, they still double them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from detection.formats.exports.export import DetectedImage
from detection.formats.exports.gallery.writer import Gallery
from detection.structures.detections import Detections

PHOTOS = 1000
OBJECTS = 8
"""The number of objects in each photo."""

CLASS_NAMES = tuple(f"class {number}" for number in range(80))

LIMIT = 1.0
"""The longest time, in seconds, after which a page may answer; it leaves room for slow and busy machines."""


@pytest.fixture(name="page", scope="module")
def page_of_a_thousand_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 480 x 360 pixels with coarse noise."""
    generator = np.random.default_rng(0)
    gallery = Gallery(tmp_path_factory.mktemp("gallery") / "out.html", inputs={}, overwrite=False)
    for number in range(PHOTOS):
        noise = generator.integers(0, 256, (45, 60, 3), dtype=np.uint8)
        corners = generator.uniform(0, 300, (OBJECTS, 2))
        boxes = np.concatenate([corners, corners + 50], axis=1, dtype=np.float32)
        scores = np.sort(generator.uniform(0.17, 1, OBJECTS).astype(np.float32))[::-1]
        detections = Detections(boxes, scores, generator.integers(0, len(CLASS_NAMES), OBJECTS), CLASS_NAMES)
        gallery.add(DetectedImage(f"{number}.jpg", noise.repeat(8, axis=0).repeat(8, axis=1), detections))
    gallery.finish()
    return gallery.target


def seconds_of(browser: webdriver.Chrome, script: str) -> float:
    """Run a script, wait for the next two frames, and return the seconds that the main thread has worked."""
    before = work(browser)
    browser.execute_async_script(f"{script}; requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return work(browser) - before


def work(browser: webdriver.Chrome) -> float:
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def test_a_thousand_photos(browser: webdriver.Chrome, page: Path) -> None:
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    browser.get("about:blank")
    start = work(browser)
    browser.get(page.as_uri())
    WebDriverWait(browser, 120).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#photos image"))
    loading = work(browser) - start
    slider = "const s = document.getElementById('threshold'); s.value = {}; s.dispatchEvent(new Event('input'))"
    thresholds = [seconds_of(browser, slider.format(value)) for value in (0.3, 0.5, 0.7, 0.9, 0.17)]
    button = "document.querySelectorAll('#classes button')[{}].click()"
    classes = [seconds_of(browser, button.format(value)) for value in (0, 1, 2, 0, 1, 2)]
    searches = [
        seconds_of(browser, f"const s = document.getElementById('search'); s.value = '{text}'; "
                            "s.dispatchEvent(new Event('input'))")
        for text in ("1", "12", "123", "")
    ]  # fmt: skip
    scrolls = [seconds_of(browser, f"scrollTo(0, {800 * step})") for step in range(1, 30)]
    megabytes = page.stat().st_size / 1e6
    sys.stdout.write(f"\n{PHOTOS} photos, {megabytes:.0f} MB: loading {loading:.2f} s; the longest of each, in ms:")
    for name, times in {"score": thresholds, "class": classes, "name": searches, "screen": scrolls}.items():
        sys.stdout.write(f" {name} {1000 * max(times):.0f}")
        assert max(times) < LIMIT
    assert loading < 5
