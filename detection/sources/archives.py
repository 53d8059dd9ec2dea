"""Images in zip and tar archives, read one by one from the archive; nothing is written to the disk.

An archive of a stranger may be made to fill the memory, to take forever, or to name files elsewhere. The limits below
bound the first two, and a member with such a name is refused, although its name leads nowhere here.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from detection.errors import InputError, reason_of
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES, OTHER_SUFFIXES, ZIP_SUFFIXES, describe_kinds
from detection.sources.limited_file import LimitedFile
from detection.sources.picture import Picture, encoded_picture, failed_picture

MAX_MEMBERS = 100_000
"""The largest number of entries of an archive, folders and other files included."""

MAX_MEMBER_BYTES = 1 << 29
"""The largest unpacked size of an image in an archive."""

MAX_RATIO = 200
"""The largest ratio of the unpacked to the packed size of a member. Members below `FREE_BYTES` may have any ratio."""

FREE_BYTES = 1 << 26
"""The unpacked size up to which any ratio is accepted: an image of one colour without compression of its own shrinks to
a thousandth."""

MAX_UNPACKED_BYTES = 1 << 36
"""The largest unpacked size of all images of an archive together."""

MAX_LIST_BYTES = 1 << 24
"""The largest list of files, or header of a file, that an archive may have."""

_UNPACK: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""The function that opens a compressed file, by the first bytes of the file."""


class Member(NamedTuple):
    """An entry of an archive that is no folder.

    Attributes:
        name: the name in the archive.
        place: in a zip archive, the position of the entry in the list of entries; in a tar archive, the position of the
            first byte of the content in the unpacked archive.
        size: the size in bytes when it is unpacked.
        packed: its size in bytes in the archive; None if it is not packed by itself.
        kind: the kind of an entry that cannot be read as a file, such as "a link"; "" for a file.
        read: returns its content.
    """

    name: str
    place: int
    size: int
    packed: int | None
    kind: str
    read: Callable[[], bytes]


def archive_pictures(path: Path) -> Iterator[Picture]:
    """Yield the images of a zip or tar archive, in the order of the archive.

    As in a folder, images are known by their suffix, and hidden files and annotated pictures of `detect` are passed
    over. The content of a member is read when its turn comes. A picture whose `read` raises an `InputError` stands for
    a member that is refused or damaged. One that names the archive comes last, if the archive cannot be read further or
    has no images.
    """
    names: Counter[str] = Counter()
    others: Counter[str] = Counter()
    try:
        with path.open("rb") as file:
            for member in archive_members(file, str(path)):
                name = PurePosixPath(member.name)
                if is_image(member):
                    names[str(name)] += 1
                    again = f" ({names[str(name)]})" if names[str(name)] > 1 else ""
                    yield _picture(path, member, f"{path}/{name}{again}")
                elif name.suffix.lower() in OTHER_SUFFIXES:
                    others[name.suffix.lower()] += 1
        if not names:
            actual = f"only {describe_kinds(others)}" if others else "none"
            raise InputError(f"{path}: expected an archive with images ({' '.join(IMAGE_SUFFIXES)}), got {actual}")
    except InputError as error:
        yield failed_picture(str(path), error)
    except Exception as error:  # for a damaged archive, the readers raise nearly anything
        yield failed_picture(str(path), archive_damage(str(path), error))


def is_image(member: Member) -> bool:
    """Return True for an image by its suffix that is not passed over, and for a member whose name is refused."""
    name = PurePosixPath(member.name)
    return _is_unsafe(member.name) or (name.suffix.lower() in IMAGE_SUFFIXES and not _is_passed_over(name))


def read_member(member: Member, name: str) -> bytes:
    """Return the content of a member of an archive that is still open.

    Raises:
        InputError: beginning with `name`, if the member is refused or damaged.
    """
    check_member(member, name)
    try:
        content = member.read()
        if len(content) != member.size:
            raise EOFError(f"{len(content)} of {member.size} bytes")
    except Exception as error:  # for a damaged archive, the readers raise nearly anything
        raise _damage(name, "a whole file", error) from None
    return content


def archive_damage(name: str, error: Exception) -> InputError:
    """Return the error that names an archive which cannot be read further, and says why."""
    return _damage(name, "a whole zip or tar archive", error)


def _picture(path: Path, member: Member, name: str) -> Picture:
    """Return the picture of a member, whose content is read now."""
    try:
        content = read_member(member, name)
    except InputError as error:
        return failed_picture(name, error)
    stem = f"{path.name.partition('.')[0]}_{PurePosixPath(member.name).stem}"
    return encoded_picture(name, content, stem=stem, folder=path.parent)


def check_member(member: Member, name: str) -> None:
    """Raise an `InputError` that begins with `name` if a member is not to be read."""
    if refusal := _refusal(member):
        raise InputError(f"{name}: expected {refusal}")


def _refusal(member: Member) -> str:
    """Return what was expected and found instead if a member is not to be read, or "" if it may be read."""
    if _is_unsafe(member.name):
        return "a name within the archive, got one that leads out of it"
    if member.kind:
        return f"a file, got {member.kind}"
    if member.size > MAX_MEMBER_BYTES:
        return f"at most {MAX_MEMBER_BYTES} bytes when unpacked, got {member.size}"
    if member.packed is not None and member.size > max(FREE_BYTES, MAX_RATIO * member.packed):
        return f"at most {MAX_RATIO} times its packed size of {member.packed} bytes, got {member.size} bytes"
    return ""


def _is_unsafe(name: str) -> bool:
    """Return True if a name leads out of the folder into which a program would unpack it, on Linux or on Windows."""
    return re.match(r"[/\\]|[A-Za-z]:", name) is not None or ".." in re.split(r"[/\\]", name)


def _is_passed_over(name: PurePosixPath) -> bool:
    """Return True for hidden files, such as those that macOS adds, and for annotated pictures of `detect`."""
    return any(part.startswith((".", "__MACOSX")) for part in name.parts) or name.name.endswith(ANNOTATED_SUFFIX)


def _damage(name: str, expected: str, error: Exception) -> InputError:
    return InputError(f"{name}: expected {expected}, got: {reason_of(error)}")


def archive_members(file: BinaryIO, name: str) -> Iterator[Member]:
    """Yield the members of an archive that are no folders, within the limits of their number and unpacked size.

    Args:
        file: the archive, from its beginning; it has to be open while a member is read.
        name: the name of the archive, whose suffix tells its kind.

    Raises:
        InputError: naming the archive, if it exceeds a limit.
        Exception: of nearly any type, if the archive is damaged; `archive_damage` puts it into words.
    """
    unpacked_bytes = 0
    members = _zip_members(file) if name.lower().endswith(ZIP_SUFFIXES) else _tar_members(file)
    for number, member in enumerate(members, start=1):
        unpacked_bytes += member.size
        if number > MAX_MEMBERS:
            raise InputError(f"{name}: expected at most {MAX_MEMBERS} files in an archive, got more")
        if unpacked_bytes > MAX_UNPACKED_BYTES:
            raise InputError(f"{name}: expected at most {MAX_UNPACKED_BYTES} bytes when unpacked, got more")
        yield member


def _zip_members(file: BinaryIO) -> Iterator[Member]:
    limited = LimitedFile(file, at_once=MAX_LIST_BYTES)
    with zipfile.ZipFile(limited) as archive:
        limited.at_once = MAX_MEMBER_BYTES
        for place, info in enumerate(archive.infolist()):
            if not info.is_dir():
                kind = "an encrypted file" if info.flag_bits & 1 else ""
                kind = "a link" if stat.S_ISLNK(info.external_attr >> 16) else kind
                read = partial(archive.read, info)
                yield Member(info.filename, place, info.file_size, info.compress_size, kind, read)


@contextmanager
def unpacked_tar(file: BinaryIO) -> Iterator[LimitedFile]:
    """Yield the content of a tar archive without its compression, if it has one, within the limits above."""
    beginning = file.read(6)
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    unpack = next((function for start, function in _UNPACK.items() if beginning.startswith(start)), None)
    limit = max(FREE_BYTES, MAX_RATIO * length) if unpack else None
    with unpack(file) if unpack else nullcontext(file) as unpacked:
        yield LimitedFile(unpacked, at_once=MAX_LIST_BYTES, length=limit)


def _tar_members(file: BinaryIO) -> Iterator[Member]:
    with unpacked_tar(file) as limited, tarfile.open(fileobj=limited, mode="r:") as archive:
        while (info := archive.next()) is not None:
            cast(Any, archive).members = []  # otherwise it remembers all of them
            if not info.isdir():
                read = partial(read_at, limited, info.offset_data, info.size)
                yield Member(info.name, info.offset_data, info.size, None, _tar_kind(info), read)
        limited.seek(archive.offset)
        if limited.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise EOFError("a damaged header of a file")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link"
    return "" if info.isreg() and not info.issparse() else "a special file"


def read_at(file: LimitedFile, offset: int, size: int) -> bytes:
    """Return the content of a member, of which `tarfile` itself would read small parts."""
    file.at_once = MAX_MEMBER_BYTES
    try:
        file.seek(offset)
        return file.read(size)
    finally:
        file.at_once = MAX_LIST_BYTES
