"""Finds a font that has the letters of a class name.

Pillow brings a font with the letters of ASCII. For other letters a font of the computer is taken: one with a well-known
name, or any that fontconfig lists. Pillow shapes and orders the letters of scripts such as Arabic.
"""

import logging
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

logger = logging.getLogger(__name__)

FILES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc"),  # Linux
    *("Arial Unicode.ttf", "PingFang.ttc", "AppleSDGothicNeo.ttc"),  # macOS
    *("arial.ttf", "msyh.ttc", "malgun.ttf", "YuGothM.ttc", "LeelawUI.ttf", "Nirmala.ttf", "Nirmala.ttc"),  # Windows
)
"""Names of font files, the widest first. Pillow looks for them in the font folders of the operating system."""

SCORE_LETTERS = "0123456789.…"
"""The characters that a label has besides the name of the class."""

CHECK_SIZE = 20
"""The size in pixels at which letters are drawn to find out whether a font has them."""

NOT_IN_FONTS = "\uffff"
"""A code that Unicode gives to no letter. A font draws it like each letter that the font does not have."""


@lru_cache(1024)
def drawable_name(name: str, label: int) -> tuple[str, str | None]:
    """Return the text to draw for a class, and the file of a font for it; None stands for the font of Pillow.

    If the computer has no font for the name, accents are dropped. If that is not enough, the text is the number of the
    class, `label`, and a warning says so once.
    """
    text = printable(name)
    if text.isascii():
        return text, None
    if file := find_font_file(text):
        return text, file
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    if plain.isascii():
        return plain, None
    logger.warning(
        f"no font of this computer has the letters of the class '{text}', so 'class {label}' is drawn in its place; "
        "install a font for them, such as one of the Noto fonts"
    )
    return f"class {label}", None


def load_font(file: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of `size` pixels; the font of Pillow if `file` is None."""
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def printable(name: str) -> str:
    """Return a name in one line, without codes that are no letters, such as control characters."""
    letters = (letter if unicodedata.category(letter) not in ("Cc", "Cs", "Cn") else " " for letter in name)
    return " ".join(unicodedata.normalize("NFC", "".join(letters)).split())


def find_font_file(text: str) -> str | None:
    """Return the file of a font of this computer that has all letters of a text and of scores, or None."""
    letters = {letter for letter in text + SCORE_LETTERS if _is_visible(letter)}
    return next((file for file in _candidates(letters) if has_letters(file, letters)), None)


def has_letters(file: str, letters: set[str]) -> bool:
    """Return True if a font file can be read and has all of the letters."""
    try:
        font = ImageFont.truetype(file, CHECK_SIZE)
        missing = _drawn(font, NOT_IN_FONTS)
        return all(_drawn(font, letter) != missing for letter in letters)
    except OSError:  # there is no such file, or it has pictures of a fixed size, as those of emoji have
        return False


def _candidates(letters: set[str]) -> Iterator[str]:
    yield from FILES
    if (matplotlib := find_spec("matplotlib")) and matplotlib.origin:
        yield str(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    yield from _listed_fonts(letters)


def _listed_fonts(letters: set[str]) -> list[str]:
    """Return the font files that fontconfig lists for some letters: upright and without serifs first."""
    command = shutil.which("fc-list")
    if command is None:
        return []
    pattern = ":charset=" + " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    try:
        output = subprocess.run([command, pattern, "file"], capture_output=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    files = [line.rstrip(": ") for line in output.decode(errors="replace").splitlines()]

    def rank(file: str) -> tuple[bool, bool, str]:
        name = Path(file).stem
        return any(style in name for style in ("Bold", "Italic", "Oblique", "Mono")), "Sans" not in name, name

    return sorted(files, key=rank)


def _is_visible(letter: str) -> bool:
    """Return True for letters with a picture of their own, unlike spaces, combining accents and marks of direction."""
    return not letter.isspace() and unicodedata.category(letter) not in ("Mn", "Me", "Cf")


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
