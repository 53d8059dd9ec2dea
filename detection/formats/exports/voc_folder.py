"""Detections as a data set in the layout of PASCAL VOC: `Annotations/`, `JPEGImages/` and `ImageSets/Main/`."""

from dataclasses import dataclass, field
from xml.etree import ElementTree

from detection.datasets.files.annotated_objects import CORNERS
from detection.formats.exports.export import SPLIT, DetectedImage, FolderExport
from detection.formats.exports.inclusive_corners import inclusive_corners
from detection.formats.exports.picture_copies import UniqueNames, picture_file
from detection.runtime.output_file import made_by


@dataclass(eq=False, repr=False)
class VocFolder(FolderExport):
    """Writer of an XML file for each image, and of the list of all images, the split `train`.

    Corners count pixels from 1, include the last one, and may have fractions. The format has no place for scores.
    """

    _unique_names: UniqueNames = field(default_factory=UniqueNames, init=False)
    _names: list[str] = field(default_factory=list, init=False)

    def add(self, item: DetectedImage) -> None:
        stem = self._unique_names.take(item.name)
        suffix, content = picture_file(item)
        annotation = _annotation(f"{stem}{suffix}", item)
        files = {f"Annotations/{stem}.xml": annotation, f"JPEGImages/{stem}{suffix}": content}
        self._write_files({self.target / name: content for name, content in files.items()})
        self._names.append(stem)

    def finish(self) -> None:
        if self._names:
            target = self.target / "ImageSets" / "Main" / f"{SPLIT}.txt"
            self._write_files({target: "".join(f"{name}\n" for name in self._names).encode()})


def _annotation(file_name: str, item: DetectedImage) -> bytes:
    """Return the content of the XML file of an image."""
    root = ElementTree.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", file_name)
    _add(ElementTree.SubElement(root, "source"), "annotation", made_by("detect"))
    height, width = item.size
    size = ElementTree.SubElement(root, "size")
    for side, pixels in (("width", width), ("height", height), ("depth", 3)):
        _add(size, side, pixels)
    detections = item.visible
    for name, corners in zip(detections.names, inclusive_corners(detections.boxes), strict=True):
        element = ElementTree.SubElement(root, "object")
        for tag, value in (("name", name), ("pose", "Unspecified"), ("truncated", 0), ("difficult", 0)):
            _add(element, tag, value)
        box = ElementTree.SubElement(element, "bndbox")
        for corner, number in zip(CORNERS, corners, strict=True):
            _add(box, corner, number)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add(parent: ElementTree.Element, tag: str, value: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)
