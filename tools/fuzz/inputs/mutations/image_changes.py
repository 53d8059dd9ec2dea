"""Random changes of image files: of the parts that their formats consist of, with lengths and checksums that fit again.

A reader refuses a file with a wrong checksum before it looks further, so changes of single bytes would test little of
it.
"""

import struct
import zlib
from collections.abc import Callable

from numpy.random import Generator

from tools.fuzz.inputs.mutations.byte_changes import EDGES, change_bytes, pick

PNG_START = b"\x89PNG\r\n\x1a\n"
SMALL = (0, 1, 2, 3, 4, 8, 16, 32, 63, 64, 65, 255, 256, 1000, 4000)
"""Numbers for fields of images. Larger sides would make most of the time go into the decoding of pixels."""

Parts = list[tuple[bytes, bytes]]
"""The names and contents of the parts of a file."""


def change_image(content: bytes, random: Generator) -> bytes:
    """Return the file of an image after random changes, three quarters of which keep the structure of its format."""
    if random.random() < 0.25:
        return change_bytes(content, random)
    for start, change in FORMATS.items():
        if content.startswith(start):
            try:
                return change(content, random)
            except (struct.error, IndexError, zlib.error):  # the file was not what its first bytes say
                break
    return change_bytes(content, random)


def _change_png(content: bytes, random: Generator) -> bytes:
    parts: Parts = []
    position = len(PNG_START)
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        parts.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += length + 12
    if random.random() < 0.3:
        place = next(index for index, (name, _) in enumerate(parts) if name == b"IDAT")
        rows = change_bytes(zlib.decompress(b"".join(data for name, data in parts if name == b"IDAT")), random)
        parts = [part for part in parts if part[0] != b"IDAT"]
        parts.insert(place, (b"IDAT", zlib.compress(rows)))
    else:
        parts = _change_parts(parts, random, (b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"gAMA", b"IDAT"))
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return PNG_START + b"".join(chunks)


def _change_jpeg(content: bytes, random: Generator) -> bytes:
    parts: Parts = []
    position = 2
    while position < len(content) and content[position + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, position + 2)
        parts.append((content[position : position + 2], content[position + 4 : position + 2 + length]))
        position += length + 2
    scan = content[position:]
    if random.random() < 0.3:
        scan = change_bytes(scan, random) if random.random() < 0.7 else scan * int(random.integers(1, 6))
    names = tuple(
        bytes([0xFF, marker]) for marker in (0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE)
    )
    parts = _change_parts(parts, random, names)
    segments = [name + struct.pack(">H", (len(data) + 2) % 65536) + data for name, data in parts]
    return content[:2] + b"".join(segments) + scan


def _change_webp(content: bytes, random: Generator) -> bytes:
    parts: Parts = []
    position = 12
    while position < len(content):
        (length,) = struct.unpack_from("<I", content, position + 4)
        parts.append((content[position : position + 4], content[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    parts = _change_parts(parts, random, (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP"))
    chunks = [name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in parts]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _change_parts(parts: Parts, random: Generator, names: tuple[bytes, ...]) -> Parts:
    """Return the parts after one to three changes: of their contents, names, order and number."""
    parts = list(parts)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(len(parts)))
        name, data = parts[place]
        match random.integers(8):
            case 0 if len(parts) > 1:
                del parts[place]
            case 1:
                parts[place:place] = [(name, data)] * int(random.integers(1, 20))
            case 2:
                parts[place] = (pick(names, random), data)
            case 3:
                other = int(random.integers(len(parts)))
                parts[place], parts[other] = parts[other], parts[place]
            case 4:
                parts.insert(place, (pick(names, random), random.bytes(int(random.integers(40)))))
            case _:
                parts[place] = (name, change_bytes(data, random, most=2))
    return parts


def _change_bmp(content: bytes, random: Generator) -> bytes:
    """Set one to three fields of the header: sizes, planes, bits, compression, colours and offsets."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        place, form = pick(((2, "I"), (10, "I"), (14, "I"), (18, "i"), (22, "i"), (26, "H"), (28, "H"), (30, "I"),
                            (34, "I"), (46, "I"), (50, "I")), random)  # fmt: skip
        number = pick(SMALL if form == "H" or random.random() < 0.8 else EDGES[:14], random)
        struct.pack_into(f"<{form}", changed, place, -number if form == "i" and random.random() < 0.3 else number)
    return change_bytes(bytes(changed), random, most=1) if random.random() < 0.3 else bytes(changed)


def _change_tiff(content: bytes, random: Generator) -> bytes:
    """Change the tags, types, counts and values of the first directory."""
    order = "<" if content.startswith(b"II") else ">"
    changed = bytearray(content)
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    for _ in range(random.integers(1, 4)):
        entry = start + 2 + 12 * int(random.integers(count))
        _, kind, length = struct.unpack_from(f"{order}HHI", changed, entry)
        match random.integers(5):
            case 0:
                struct.pack_into(f"{order}H", changed, entry, pick(TIFF_TAGS, random))
            case 1:
                struct.pack_into(f"{order}H", changed, entry + 2, int(random.integers(0, 20)))
            case 2:
                struct.pack_into(f"{order}I", changed, entry + 4, pick(SMALL, random))
            case _:
                is_short = kind == 3 and length == 1
                number = pick(SMALL, random) if random.random() < 0.8 else pick(EDGES[:21], random)
                struct.pack_into(
                    f"{order}{'H' if is_short else 'I'}", changed, entry + 8, number % (65536 if is_short else 2**32)
                )
    return change_bytes(bytes(changed), random, most=1) if random.random() < 0.2 else bytes(changed)


TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338,
             339, 347, 512, 513, 514, 529, 530, 700, 33432, 34665, 34675, 65000)  # fmt: skip

FORMATS: dict[bytes, Callable[[bytes, Generator], bytes]] = {
    PNG_START: _change_png,
    b"\xff\xd8": _change_jpeg,
    b"RIFF": _change_webp,
    b"BM": _change_bmp,
    b"II*": _change_tiff,
    b"MM\0*": _change_tiff,
}
