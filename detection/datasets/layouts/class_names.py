"""One list of classes for all splits of a folder, in which names that differ only in case or spaces are one class."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple


class ClassList(NamedTuple):
    """The classes of a folder, and how the files spell them.

    `names`: the classes. `name_of`: maps each spelling in the files to its class. `remarks`: a line for each class that
    was merged or left out.
    """

    names: tuple[str, ...]
    name_of: Mapping[str, str]
    remarks: list[str]


def spelling_key(name: str) -> str:
    """Return the text that names have in common if they differ only in case or spaces.

    Names of a single letter are kept apart, since "a" and "A" may be two classes.
    """
    compact = "".join(name.split())
    return compact.casefold() if len(compact) > 1 else compact


def build_class_list(box_counts: Mapping[str, int]) -> ClassList:
    """Return the classes that have boxes, in the order of `box_counts`, the number of boxes of each name in the files.

    If several spellings have the same key, the one with the most boxes is used.
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in box_counts:
        spellings[spelling_key(name)].append(name)
    name_of: dict[str, str] = {}
    remarks = []
    for names in spellings.values():
        counts = Counter({name: box_counts[name] for name in names})
        best = counts.most_common(1)[0][0]
        kept = " ".join(best.split()) or best
        name_of |= dict.fromkeys(names, kept)
        if used := [f"'{name}' ({count} boxes)" for name, count in counts.items() if count]:
            if len(used) > 1:
                remarks.append(f"classes {', '.join(used)} differ only in case or spaces: merged into '{kept}'")
        else:
            remarks.append(f"class '{kept}' has no boxes: it is left out")
    with_boxes = {name_of[name] for name, count in box_counts.items() if count}
    return ClassList(tuple(name for name in dict.fromkeys(name_of.values()) if name in with_boxes), name_of, remarks)
