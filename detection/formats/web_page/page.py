"""Puts pages together: `build_page` fills a template with style, scripts and data, `picture_uri` embeds a picture.

`assets/` has what the pages share. A browser runs only the script of a page and loads nothing else, see
`content_policy`.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from detection.structures.arrays import Image
from detection.structures.results.drawing import Colour, class_colour, text_colour

SHARED_ASSETS = Path(__file__).with_name("assets")
STYLE = SHARED_ASSETS / "base.css"
SCRIPTS = (SHARED_ASSETS / "elements.js", SHARED_ASSETS / "boxes.js")

LONGEST_SIDE = 480
"""The longer side of an embedded picture in pixels."""
JPEG_QUALITY = 80


def build_page(
    template: Path, *, style: Path, scripts: Sequence[Path], data: Any, made_by: str, more_sources: str = ""
) -> str:
    """Return the text of a page: the template with the contents for `{{style}}`, `{{script}}`, `{{data}}` and so on.

    Args:
        template: an HTML file with a place for each of `made_by`, `policy`, `style`, `script` and `data`.
        style: the CSS file of the page, which comes after that of all pages.
        scripts: JavaScript files. With those of all pages before them, they are joined to the only script of the page,
            so each may use the definitions of those before it.
        data: what the page shows, for JSON.
        made_by: the text by which the command knows the page, see `detection.runtime.output_file.made_by`.
        more_sources: what the Content-Security-Policy allows the page to load, such as "connect-src 'self'".
    """
    css = "\n".join(path.read_text(encoding="utf-8") for path in (STYLE, style))
    script = "\n".join(path.read_text(encoding="utf-8") for path in (*SCRIPTS, *scripts))
    parts = {
        "made_by": made_by,
        "policy": content_policy(css, script, more_sources),
        "style": css,
        "script": script,
        "data": embedded_json(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template.read_text(encoding="utf-8"))


def embedded_json(content: Any) -> str:
    """Return JSON without the character <, so that no text in it can end the script element around it."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def content_policy(style: str, script: str, more_sources: str = "") -> str:
    """Return a Content-Security-Policy that allows a browser only this script and style, and to load nothing else.

    `more_sources` are directives for what else the page may load.
    """
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    directives = [
        "default-src 'none'",
        "img-src data: blob:",
        f"style-src 'sha256-{digests[0]}'",
        f"script-src 'sha256-{digests[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
        *filter(None, [more_sources]),
    ]
    return "; ".join(directives)


def picture_uri(image: Image) -> str:
    """Return the image as a small JPEG in a `data:` address."""
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def class_colours(class_names: Sequence[str]) -> list[list[str]]:
    """Return for each class its name, the colour of its boxes, and the colour of the text on it, as CSS writes them."""
    colours = map(class_colour, range(len(class_names)))
    return [[name, _hex(colour), _hex(text_colour(colour))] for name, colour in zip(class_names, colours, strict=True)]


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
