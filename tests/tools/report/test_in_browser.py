"""The page of a report in a browser without a window; skipped if no browser is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from detection.evaluation import DetectionMetrics
from tests.headless_browser import requested_addresses, texts
from tests.tools.report.report_examples import CLASSES, CLOSING_CLASS, IMAGES, OBJECTS, SCRIPT_CLASS
from tools.command.output_file import OutputFile
from tools.report.page import write_page

RIGHT, WRONG, MISSED_AT_ALL = 5, 3, 1

OPTIONAL: dict[str, str | None] = {
    "errors": "errors",
    "AP_by_size": "sizes",
    "confusions": "confusions",
    "best_images": "gallery",
    "worst_images": "gallery",
    **dict.fromkeys(("curves", "best_f1", "best_f1_by_class", "mAP_interval", "AP_interval", "bootstrap")),
}
"""The parts that a report may lack, and the section of the page that is then left out."""


@pytest.fixture(name="opened")
def opened_page(browser: webdriver.Chrome, page_file: Path) -> Iterator[webdriver.Chrome]:
    """The page in the browser; checks after each test that it reported no error and loaded no other file."""
    requested_addresses(browser)  # discard earlier entries
    browser.get(page_file.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert requested_addresses(browser) == {page_file.as_uri()}


def classes(browser: webdriver.Chrome) -> list[str]:
    return texts(browser, "#class-table tbody th")


def test_headline(opened: webdriver.Chrome, full_report: dict[str, Any]) -> None:
    assert opened.title == f"mAP {full_report['mAP']:.4f}, detection report"
    low, high = full_report["mAP_interval"]
    assert f"95% interval {low:.4f} \N{EN DASH} {high:.4f}" in opened.find_element(By.ID, "headline").text
    assert texts(opened, "nav a") == ["Warnings", "Errors", "Object sizes", "Classes", "Confusions", "Images"]
    assert texts(opened, "#error-chart tbody tr:last-child td") == ["Missed\nobject without a detection", "5", "0.0500"]
    small, medium = texts(opened, "#size-table tbody tr")
    assert small.split() == ["small", "up", "to", "32", "\N{MULTIPLICATION SIGN}", "32", "px", "0.500", "6"]
    assert medium.split()[-2:] == ["\N{EN DASH}", "0"]


def test_names_are_text(opened: webdriver.Chrome) -> None:
    assert set(classes(opened)) == set(CLASSES)
    assert texts(opened, "#confusion-table td")[:2] == ["cat", SCRIPT_CLASS]
    assert texts(opened, "#warning-list li")[0] == "classes <b>without</b> objects"
    assert texts(opened, ".file") == [*IMAGES[1:], IMAGES[0]]
    assert opened.find_elements(By.TAG_NAME, "img") == []
    assert "harmed" not in opened.title


def test_policy_blocks_scripts_from_elsewhere(browser: webdriver.Chrome, page_file: Path) -> None:
    browser.get(page_file.as_uri())
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert browser.title.startswith("mAP")
    assert "Content Security Policy" in str(browser.get_log("browser"))


def test_sorting(opened: webdriver.Chrome, full_report: dict[str, Any]) -> None:
    def order(key: str, *, reverse: bool) -> list[float | None]:
        values = list(full_report[key].values())
        return sorted((item for item in values if item is not None), reverse=reverse) + [None] * values.count(None)

    assert [full_report["AP"][name] for name in classes(opened)] == order("AP", reverse=True)
    opened.find_element(By.CSS_SELECTOR, "[data-key=ap]").click()
    assert [full_report["AP"][name] for name in classes(opened)] == order("AP", reverse=False)
    opened.find_element(By.CSS_SELECTOR, "[data-key=objects]").send_keys(Keys.ENTER)
    assert [full_report["objects_by_class"][name] for name in classes(opened)] == order(
        "objects_by_class", reverse=True
    )
    heading = opened.find_element(By.CSS_SELECTOR, "th[aria-sort]")
    assert (heading.get_attribute("aria-sort"), heading.text) == ("descending", "Objects")
    opened.find_element(By.CSS_SELECTOR, "[data-key=name]").click()
    assert classes(opened)[-3:] == ["cat", "dog", "owl"]


def test_filter(opened: webdriver.Chrome) -> None:
    field = opened.find_element(By.ID, "class-filter")
    field.send_keys("O")
    assert set(classes(opened)) == {name for name in CLASSES if "o" in name}
    field.send_keys("wl")
    assert classes(opened) == ["owl"]
    assert opened.find_element(By.ID, "class-count").text == "1 of 6"
    field.send_keys("x")
    assert classes(opened) == []


def test_chosen_class_shows_its_curve(opened: webdriver.Chrome) -> None:
    def choose(name: str) -> None:
        opened.find_elements(By.CSS_SELECTOR, "#class-table th button[aria-pressed]")[
            classes(opened).index(name)
        ].click()
        assert opened.find_element(By.CSS_SELECTOR, "#class-detail h3").text == name
        assert opened.find_element(By.CSS_SELECTOR, "#class-table .chosen th").text == name

    for name in ("cat", CLOSING_CLASS, "__proto__"):
        choose(name)
        assert len(opened.find_elements(By.CSS_SELECTOR, "#class-detail .curve .line")) == 1
        expected = "Best F1 0.800 at score 0.700: precision 0.667, recall 1.000"
        assert opened.find_element(By.CSS_SELECTOR, ".reading").text == expected
    opened.find_element(By.CSS_SELECTOR, ".curve").send_keys(Keys.ARROW_RIGHT)
    assert opened.find_element(By.CSS_SELECTOR, ".reading").text == "At score 0.800: precision 0.500, recall 0.500"
    choose("owl")
    assert opened.find_elements(By.CSS_SELECTOR, "#class-detail .curve") == []
    choose("cat")
    assert f"Often taken for {SCRIPT_CLASS} (2)." in opened.find_element(By.ID, "class-detail").text


def test_arrow_keys_go_through_the_classes(opened: webdriver.Chrome) -> None:
    order = classes(opened)
    chosen = "#class-table button[aria-pressed=true]"
    opened.find_element(By.CSS_SELECTOR, chosen).send_keys(Keys.ARROW_DOWN)
    assert texts(opened, chosen) == [order[1]]
    assert opened.switch_to.active_element.text == order[1]
    opened.switch_to.active_element.send_keys(Keys.ARROW_UP, Keys.ARROW_UP)
    assert texts(opened, chosen) == [order[0]]


def count_boxes(browser: webdriver.Chrome) -> dict[str, int]:
    kinds = ("right", "wrong", "found", "missed")
    return {kind: len(browser.find_elements(By.CSS_SELECTOR, f".canvas [data-kind={kind}]")) for kind in kinds}


def test_slider_redraws_the_boxes(opened: webdriver.Chrome) -> None:
    # From 0.55 on: right at 0.9, 0.7, 0.6, wrong at 0.8.
    assert count_boxes(opened) == {"right": 3, "wrong": 1, "found": 3, "missed": 3}
    assert opened.find_element(By.ID, "threshold-value").text == "0.55"
    assert opened.find_element(By.ID, "totals").text == "3 right, 1 wrong, 3 missed"
    slider = opened.find_element(By.ID, "threshold")
    slider.send_keys(Keys.HOME)
    everything = {"right": RIGHT, "wrong": WRONG, "found": RIGHT, "missed": MISSED_AT_ALL}
    assert count_boxes(opened) == everything
    slider.send_keys(Keys.END)
    assert count_boxes(opened) == {"right": 0, "wrong": 0, "found": 0, "missed": len(OBJECTS)}
    assert len(opened.find_elements(By.CSS_SELECTOR, ".canvas image")) == 2
    assert len(opened.find_elements(By.CSS_SELECTOR, ".canvas .blank")) == 1


def test_a_score_at_the_threshold_is_shown(opened: webdriver.Chrome) -> None:
    slider = opened.find_element(By.ID, "threshold")
    opened.execute_script("arguments[0].value = 0.7; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert count_boxes(opened)["right"] == 2


def test_light_and_dark(opened: webdriver.Chrome) -> None:
    def background() -> str:
        return opened.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")

    for preference, other in (("light", "Dark"), ("dark", "Light")):
        features = {"features": [{"name": "prefers-color-scheme", "value": preference}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        opened.refresh()
        before = background()
        button = opened.find_element(By.ID, "theme")
        assert button.text == other
        button.click()
        assert background() != before
        button.click()
        assert background() == before


def test_narrow_page_does_not_scroll_sideways(opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    widths = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths == [360, 360]


@pytest.mark.parametrize(
    "left",
    [("curves", "confusions"), ("worst_images",), ("errors",), ("AP_by_size", "mAP_interval", "best_f1"), ()],
)
def test_missing_sections_are_left_out(
    left: tuple[str, ...],
    browser: webdriver.Chrome,
    hostile_metrics: DetectionMetrics,
    full_report: dict[str, Any],
    tmp_path: Path,
) -> None:
    always = {key: value for key, value in full_report.items() if key not in OPTIONAL} | {"warnings": []}
    write_page(
        OutputFile(tmp_path / "x.html", "test"),
        always | {key: full_report[key] for key in left},
        hostile_metrics,
        lambda _: None,
    )
    browser.get((tmp_path / "x.html").as_uri())
    assert browser.get_log("browser") == []
    shown = {item.get_attribute("id") for item in browser.find_elements(By.CSS_SELECTOR, "section:not([hidden])")}
    assert shown == {"summary", "classes", *(OPTIONAL[key] for key in left)} - {None}
    headline = browser.find_element(By.ID, "headline").text
    assert ("interval" in headline, "best F1" in headline) == ("mAP_interval" in left, "best_f1" in left)
    assert bool(browser.find_elements(By.CSS_SELECTOR, ".curve")) == ("curves" in left)
