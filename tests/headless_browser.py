"""A browser without a window for tests of pages."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from selenium import webdriver


def start_browser(profile: Path) -> webdriver.Chrome:
    """Return a browser with an empty profile; the test is skipped if none is installed."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        message = "needs the programs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
        pytest.fail(message) if os.environ.get("REQUIRE_BROWSER") else pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "force-prefers-reduced-motion"),
        *("disable-background-networking", "disable-component-update", "disable-sync", "window-size=1200,900"),
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(programs[1])))
    driver.get("about:blank")  # the page of a new tab would load other files
    return driver


def requested_addresses(browser: webdriver.Chrome) -> set[str]:
    """Return the addresses that the browser has loaded since the last call, without those that hold the content."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {url for url in requests if not url.startswith(("data:", "blob:"))}


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Return the visible text of each element that a CSS selector finds."""
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText)"
    shown: list[str] = browser.execute_script(script, selector)
    return shown
