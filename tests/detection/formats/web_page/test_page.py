from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.formats.web_page.page import LONGEST_SIDE, build_page, embedded_json, picture_uri

TEMPLATE = (
    '<meta http-equiv="Content-Security-Policy" content="{{policy}}"><meta name="generator" content="{{made_by}}">'
    '<style>{{style}}</style><script type="application/json">{{data}}</script><script type="module">{{script}}</script>'
)


@pytest.fixture(name="text")
def page_of_hostile_data(tmp_path: Path) -> str:
    for name, content in (("page.html", TEMPLATE), ("page.css", "b {}"), ("page.js", "show();")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    data = {"name": "</script><script>alert(1)</script>{{script}}"}
    style, scripts = tmp_path / "page.css", [tmp_path / "page.js"]
    return build_page(tmp_path / "page.html", style=style, scripts=scripts, data=data, made_by="test")


def content_of(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def test_data_stay_data(text: str) -> None:
    data = content_of(text, '<script type="application/json">', "</script>")
    assert json.loads(data) == {"name": "</script><script>alert(1)</script>{{script}}"}
    assert text.count("<script") == 2
    assert '<meta name="generator" content="test">' in text


def test_policy_allows_the_script_and_the_style_of_the_page(text: str) -> None:
    parts = {"script": content_of(text, '"module">', "</script>"), "style": content_of(text, "<style>", "</style>")}
    assert parts["script"].endswith("show();")
    assert parts["style"].endswith("b {}")
    policy = content_of(text, 'Policy" content="', '"')
    for kind, content in parts.items():
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy


def test_json_that_a_browser_cannot_read() -> None:
    assert embedded_json(["<", 1.5]) == '["\\u003c",1.5]'
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json(float("nan"))


@pytest.mark.parametrize(("size", "expected"), [((50, 200), (200, 50)), ((900, 1200), (LONGEST_SIDE, 360))])
def test_pictures_are_small_jpegs(size: tuple[int, int], expected: tuple[int, int]) -> None:
    uri = picture_uri(np.full((*size, 3), (200, 10, 10), np.uint8))
    content = base64.b64decode(re.sub("^data:image/jpeg;base64,", "", uri), validate=True)
    with PIL.Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", expected)
        red, green, blue = picture.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
    assert red > 190
    assert max(green, blue) < 20
