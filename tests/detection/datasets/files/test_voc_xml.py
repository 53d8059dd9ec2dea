from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.datasets.files.faults import Faults
from detection.datasets.files.voc_xml import read_voc_xml
from detection.errors import InputError

LABELS = {"cat": 0, "dog": 1}


def test_corners_become_half_open(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    # Pixels 1 to 200 inclusive are all of 200 columns: 0 to 200, half-open. One pixel, 48, is 47 to 48.
    objects = [("dog", (1, 1, 200, 100)), ("cat", (48, 3, 48, 3)), ("cat", (45.5, 3, 60.25, 8))]
    size, (boxes, labels, difficult) = read_voc_xml(write_xml(tmp_path / "a.xml", objects), LABELS, Faults())
    assert size == (100, 200)
    assert boxes.tolist() == [[0, 0, 200, 100], [47, 2, 48, 3], [44.5, 2, 60.25, 8]]
    assert labels.tolist() == [1, 0, 0]
    assert difficult.tolist() == [False] * 3
    assert [array.dtype for array in (boxes, labels, difficult)] == [np.float32, np.int64, np.bool_]


def test_corners_of_tools_that_count_from_0(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    path = write_xml(tmp_path / "a.xml", [("dog", (0, 0, 199, 99))])
    assert read_voc_xml(path, LABELS, Faults())[1][0].tolist() == [[0, 0, 199, 99]]


def test_no_objects(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    _, arrays = read_voc_xml(write_xml(tmp_path / "a.xml"), LABELS, Faults())
    assert [array.shape for array in arrays] == [(0, 4), (0,), (0,)]


def test_difficult_and_parts(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>1</xmax><ymax>1</ymax></bndbox></part>"
    objects = [
        ("dog", (1, 1, 5, 5), "<difficult>1</difficult>" + part),
        ("dog", (1, 1, 6, 6), "<difficult>0</difficult><object/>"),
    ]
    _, (boxes, _, difficult) = read_voc_xml(write_xml(tmp_path / "a.xml", objects), LABELS, Faults())
    assert boxes.tolist() == [[0, 0, 5, 5], [0, 0, 6, 6]]
    assert difficult.tolist() == [True, False]


UNUSABLE = [
    (("cow", (1, 1, 5, 5)), "expected a class of the data set, got 'cow'"),
    (("dog", (5, 1, 3, 5)), "expected a box with a width and height above 0, got xmin=5 ymin=1 xmax=3 ymax=5"),
    (("dog", (5, 1, 4, 5)), "expected a box with a width and height above 0, got xmin=5 ymin=1 xmax=4 ymax=5"),
    (("dog", (1, "nan", 3, 5)), "expected finite numbers, got xmin=1 ymin=nan xmax=3 ymax=5"),
    (("dog", (1, 1, 202, 5)), "expected a box within the image of 200x100 px, got xmin=1 ymin=1 xmax=202 ymax=5"),
    (("dog", (1, "", 3, 5)), "expected four numbers, got xmin=1 ymin= xmax=3 ymax=5"),
    (("dog", (1, 1, 5, 5), "<difficult>yes</difficult>"), "expected 0 or 1 for difficult, got 'yes'"),
]


@pytest.mark.parametrize(("faulty", "message"), UNUSABLE)
def test_unusable_object_is_named_with_its_line(
    tmp_path: Path, write_xml: Callable[..., Path], faulty: tuple[object, ...], message: str
) -> None:
    path = write_xml(tmp_path / "a.xml", [("cat", (1, 1, 5, 5)), faulty])
    with pytest.raises(InputError) as caught:
        read_voc_xml(path, LABELS, Faults())
    assert str(caught.value) == f"{path}:8: {message}"  # 3 lines of header, 4 of the first object


def test_all_faults_at_once_leave_the_usable_objects(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    faulty = [item for item, _ in UNUSABLE]
    path = write_xml(tmp_path / "a.xml", [*faulty, ("cat", (1, 1, 5, 5))])
    faults = Faults(keep=True)
    _, (_, labels, _) = read_voc_xml(path, LABELS, faults)
    assert labels.tolist() == [0]
    places = [f"{path}:{4 + 4 * index}" for index in range(len(UNUSABLE))]
    assert [str(fault) for fault in faults.errors] == [
        f"{place}: {message}" for place, (_, message) in zip(places, UNUSABLE, strict=True)
    ]


def test_object_without_a_box(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    size = "<size><width>9</width><height>9</height></size>"
    path.write_text(f"<annotation>{size}\n<!-- <object> -->\n<object><name>dog</name></object></annotation>")
    with pytest.raises(InputError, match=r"a\.xml:3: expected four numbers, got xmin= ymin= xmax= ymax="):
        read_voc_xml(path, LABELS, Faults())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<annotation>\n<size></annotation>", ":2: expected XML: mismatched tag: line 2, column 8"),
        (b"", ":1: expected XML: no element found: line 1, column 0"),
        (b"<annotation/>", ": expected the size of the image in pixels, got width '' and height ''"),
        (
            b"<annotation><size><width>0</width><height>-5</height></size></annotation>",
            ": expected the size of the image in pixels, got width '0' and height '-5'",
        ),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_voc_xml(path, LABELS, Faults())
    assert str(caught.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        *(("gb2312", "gbk"), ("GBK", "gbk"), ("GB18030", "gb18030"), ("big5", "big5"), ("Shift_JIS", "cp932")),
        *(("UTF-16", "utf-16"), ("UTF-16LE", "utf-16-le"), ("utf-8", "utf-8-sig")),
        *(("utf-16", "utf-8"), ("ANSI", "utf-8"), ("base64", "utf-8"), ("idna", "utf-8")),  # false or unknown names
    ],
)
def test_declared_encodings(tmp_path: Path, write_xml: Callable[..., Path], declared: str, encoding: str) -> None:
    path = write_xml(tmp_path / "a.xml", [("人体", (1, 1, 5, 5)), ("cow", (1, 1, 5, 5))])
    text = path.read_text(encoding="utf-8")
    path.write_bytes(f"<?xml version='1.0' encoding='{declared}'?>{text}".encode(encoding))
    faults = Faults(keep=True)
    _, (boxes, labels, _) = read_voc_xml(path, {"人体": 7}, faults)
    assert (boxes.tolist(), labels.tolist()) == ([[0, 0, 5, 5]], [7])
    assert list(map(str, faults.errors)) == [f"{path}:8: expected a class of the data set, got 'cow'"]


def test_wrong_encoding_is_named_with_its_line(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    path = write_xml(tmp_path / "a.xml", [("人体", (1, 1, 5, 5))])
    path.write_bytes(path.read_text(encoding="utf-8").encode("gbk"))
    with pytest.raises(
        InputError, match=r"a\.xml:5: expected an annotation in the XML of PASCAL VOC in utf-8: invalid"
    ):
        read_voc_xml(path, LABELS, Faults(keep=True))


@pytest.mark.parametrize("digits", [400, 5000])
def test_numbers_of_many_digits(tmp_path: Path, write_xml: Callable[..., Path], digits: int) -> None:
    path = write_xml(tmp_path / "a.xml", [("dog", (1, 1, "9" * digits, 5))])
    with pytest.raises(InputError, match=r"a\.xml:4: expected (finite numbers|a box within the image)") as caught:
        read_voc_xml(path, LABELS, Faults())
    assert len(str(caught.value)) < 300
    path.write_text(f"<annotation><size><width>{'9' * digits}</width><height>5</height></size></annotation>")
    with pytest.raises(
        InputError, match=r"a\.xml: expected the size of the image in pixels, got width '999\S+\.\.\. and"
    ):
        read_voc_xml(path, LABELS, Faults())


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.xml: expected an annotation in the XML of PASCAL VOC: No such file"):
        read_voc_xml(tmp_path / "a.xml", LABELS, Faults(keep=True))


LAUGHS = "\n".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
BILLION_LAUGHS = f"""<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "ha">
{LAUGHS}]>
<annotation><size><width>9</width><height>9</height></size><object><name>&j;</name></object></annotation>
"""


@pytest.mark.parametrize(
    "content", [BILLION_LAUGHS, '<a>\n</a>\n<!DOCTYPE a [\n<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>']
)
def test_entities_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a\.xml:[24]: expected XML without entities"):
        read_voc_xml(path, {"cat": 0}, Faults())


def test_a_type_without_entities_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<!DOCTYPE annotation><annotation><size><width>9</width><height>8</height></size></annotation>")
    assert read_voc_xml(path, {"cat": 0}, Faults())[0] == (8, 9)


def test_an_encoding_whose_name_has_a_null_character(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="utf\0-8"?><annotation></annotation>')
    with pytest.raises(InputError, match=r"a\.xml:1: expected XML: "):
        read_voc_xml(path, {"cat": 0}, Faults())
