"""Images in the zip and tar archives of a data set, such as the shards of WebDataset.

An archive is listed once, by its headers alone. A worker then reads the members of its partition: of a tar archive
without compression only their bytes, of others from the beginning of the archive up to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from detection.errors import InputError
from detection.image import decode_image
from detection.sources.archives import Member, archive_damage, archive_members, check_member, is_image, read_member
from detection.sources.files import ZIP_SUFFIXES
from detection.sources.picture import Picture, encoded_picture, failed_picture
from detection.structures.arrays import Image
from tools.bulk.inputs.item import NO_PLACE, Item, printable
from tools.bulk.inputs.stores import REFUSALS, StoreError, describe, open_stored, read_range

PLAIN_TAR = ".tar"
"""The suffix of archives whose members lie in the file as they are, so that a part of the file is a member."""

PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
"""The first bytes of compressed files."""


def list_archive(source: str, name: str) -> Iterator[Item]:
    """Yield the images of an archive; one with an error comes last, if the archive cannot be read further.

    Args:
        source: the address of the archive.
        name: its path from the input, with which the keys of the members of a zip archive begin.

    Raises:
        StoreError: if the store of the archive does not answer.
    """
    try:
        with open_stored(source) as opened:
            _require_suffix(opened.read(6), source)
            opened.seek(0)
            for member in archive_members(opened, source):
                if is_image(member):
                    yield _item(member, source, name)
    except StoreError:
        raise
    except InputError as error:
        yield Item(name, source, NO_PLACE, error=error.line)
    except REFUSALS as error:
        yield Item(
            name, source, NO_PLACE, error=f"{source}: expected an archive that can be read, got: {describe(error)}"
        )
    except Exception as error:  # for a damaged archive, the readers raise nearly anything
        yield Item(name, source, NO_PLACE, error=archive_damage(source, error).line)


def _require_suffix(beginning: bytes, source: str) -> None:
    """Raise an `InputError` if an archive is compressed although its name ends in ".tar"."""
    if source.lower().endswith(PLAIN_TAR) and beginning.startswith(PACKED):
        raise InputError(f"{source}: expected a tar archive without compression, got a compressed one; rename it")


def _item(member: Member, source: str, name: str) -> Item:
    path = printable(member.name)
    is_zip = source.lower().endswith(ZIP_SUFFIXES)
    key = f"{name}/{path}" if is_zip else str(PurePosixPath(path).with_suffix(""))
    try:
        check_member(member, f"{source}/{path}")
    except InputError as error:
        return Item(key, source, member.place, member.size, error.line)
    return Item(key, source, member.place, member.size)


def archive_pictures(source: str, items: Sequence[Item]) -> Iterator[Picture]:
    """Yield the pictures of some members of an archive, in its order.

    Those of a tar archive without compression are read when they are needed, and by several threads.
    """
    if source.lower().endswith(PLAIN_TAR):
        return (Picture(item.key, partial(_read_in_tar, item), stem="") for item in items)
    return _members_in_turn(source, items)


def _read_in_tar(item: Item) -> Image:
    if item.error:
        raise InputError(item.error)
    name = f"{item.source}/{item.key}"
    content = read_range(item.source, item.place, item.place + item.size)
    if len(content) != item.size:
        raise InputError(f"{name}: expected a whole file, got: {len(content)} of {item.size} bytes")
    return decode_image(content, name=name)


def _members_in_turn(source: str, items: Sequence[Item]) -> Iterator[Picture]:
    wanted = {item.place: item for item in items}
    reason = f"{source}: expected the member of the list, got an archive without it"
    try:
        with open_stored(source) as opened:
            for member in archive_members(opened, source):
                if (item := wanted.pop(member.place, None)) is not None:
                    yield _picture(item, member)
                if not wanted:
                    return
    except StoreError:
        raise
    except Exception as error:  # for a damaged archive, the readers raise nearly anything
        reason = archive_damage(source, error).line
    for item in wanted.values():
        yield failed_picture(item.key, InputError(item.error or reason))


def _picture(item: Item, member: Member) -> Picture:
    """Return the picture of a member, whose content is read now."""
    if item.error:
        return failed_picture(item.key, InputError(item.error))
    name = f"{item.source}/{printable(member.name)}"
    try:
        return encoded_picture(name, read_member(member, name), stem="")
    except InputError as error:
        return failed_picture(item.key, error)
