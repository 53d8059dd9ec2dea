"""Reader of annotations in the XML of PASCAL VOC, which ILSVRC also uses."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from detection.datasets.files.annotated_objects import CORNERS, AnnotatedObject, object_arrays, read_inclusive_box
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_text, whole_number
from detection.errors import InputError, short_repr
from detection.image import read_image_size
from detection.structures.arrays import BoolArray, FloatArray, IntArray

DECLARED_ENCODING = r"""\s*<\?xml[^>]*?encoding\s*=\s*["']([^"'>]+)"""

ENTITY = "<!ENTITY"
"""The beginning of the declaration of an entity, which no annotation needs."""


def read_voc_xml(
    path: Path, labels: Mapping[str, int], faults: Faults, *, image: Path | None = None
) -> tuple[tuple[int, int], tuple[FloatArray, IntArray, BoolArray]]:
    """Return the size (height, width) of the image, and the boxes [M, 4], labels [M] and `difficult` flags [M].

    Corners in the file are counted from 1, include the last pixel and may have fractions; the boxes are half-open. A
    corner at 0, which tools write that count from 0, is clipped to the border. Parts of objects, poses and the file
    name in the file are not read: in ILSVRC the name is no path and has no suffix.

    Args:
        path: the file.
        labels: the label of each class, by the name that the file uses.
        faults: receives errors in single objects, with the line at which the object begins.
        image: the image, whose size is read if the file states none or 0, as some tools write.

    Raises:
        InputError: naming the file, if it is missing, not XML, or does not state the size of the image.
    """
    root = _parse(path)
    with Faults().at(str(path)):
        size = _size(root) if image is None or _states_size(root) else read_image_size(image)
    objects = []
    for index, element in enumerate(root.findall("object")):
        with faults.at(partial(_place_of_object, path, index)):
            objects.append(_read_object(element, labels, size))
    return size, object_arrays(objects)


def read_voc_names(path: Path) -> set[str]:
    """Return the names of the classes in a file; none if it cannot be read, which `read_voc_xml` reports."""
    try:
        names = (element.findtext("name", "").strip() for element in _parse(path).findall("object"))
    except InputError:
        return set()
    return set(filter(None, names))


def _parse(path: Path) -> ElementTree.Element:
    text = _read_xml(path)
    if ENTITY in text:  # entities may repeat each other until they fill the memory, or name other files
        raise InputError(f"{path}:{text.count(chr(10), 0, text.index(ENTITY)) + 1}: expected XML without entities")
    try:
        return ElementTree.fromstring(text)  # it ignores the declared encoding of a decoded text
    except ElementTree.ParseError as error:
        raise InputError(f"{path}:{error.position[0]}: expected XML: {error}") from None


def _states_size(root: ElementTree.Element) -> bool:
    return all(root.findtext(f"size/{side}", "").strip() not in ("", "0") for side in ("width", "height"))


def _read_xml(path: Path) -> str:
    return read_text(path, expected="an annotation in the XML of PASCAL VOC", declared=DECLARED_ENCODING)


def _size(root: ElementTree.Element) -> tuple[int, int]:
    texts = [root.findtext(f"size/{side}", "").strip() for side in ("width", "height")]
    width, height = (whole_number(text) or 0 for text in texts)
    if width <= 0 or height <= 0:
        expected = "expected the size of the image in pixels"
        raise InputError(f"{expected}, got width {short_repr(texts[0])} and height {short_repr(texts[1])}")
    return height, width


def _read_object(element: ElementTree.Element, labels: Mapping[str, int], size: tuple[int, int]) -> AnnotatedObject:
    name = element.findtext("name", "").strip()
    if name not in labels:
        raise InputError(f"expected a class of the data set, got {short_repr(name)}")
    texts = [element.findtext(f"bndbox/{corner}", "").strip() for corner in CORNERS]
    box = read_inclusive_box(texts, size)
    difficult = element.findtext("difficult", "0").strip()
    if difficult not in ("0", "1"):
        raise InputError(f"expected 0 or 1 for difficult, got {short_repr(difficult)}")
    return AnnotatedObject(box, labels[name], ignored=difficult == "1")


def _place_of_object(path: Path, index: int) -> str:
    """Return the file and line of an object. The file is parsed again, as ElementTree does not keep line numbers."""
    lines: list[int] = []
    open_elements: list[str] = []
    parser = expat.ParserCreate()

    def start(name: str, _: object) -> None:
        if name == "object" and len(open_elements) == 1:
            lines.append(parser.CurrentLineNumber)
        open_elements.append(name)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop()
    parser.Parse(_read_xml(path), True)
    return f"{path}:{lines[index]}"
