"""Which modules the Python files of our packages refer to, read from their source without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

DOTTED_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
BEGINNING_OF_PATH = re.compile(r"([A-Za-z_]\w*\.)+")


class SourceFile(NamedTuple):
    """A Python file and the name of its module; `package` is the one from which its relative imports count."""

    path: Path
    module: str
    package: str


class Reference(NamedTuple):
    """A place where a file refers to a module: by an import, or by a string that looks like the path of one.

    `names` are those of `from module import names`; each may be a module of its own.
    """

    line: int
    module: str
    names: tuple[str, ...] = ()

    @property
    def targets(self) -> list[str]:
        """All that may be modules: the module, and each name below it."""
        return [self.module, *(f"{self.module}.{name}" for name in self.names)]


def source_files(root: Path, packages: Iterable[str]) -> Iterator[SourceFile]:
    """Yield every Python file of the packages below `root`, sorted within each package."""
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            yield SourceFile(path, ".".join(parts[:-1] if is_package else parts), ".".join(parts[:-1]))


def find_imports(file: SourceFile) -> Iterator[Reference]:
    """Yield every import of a file: those of the module, those within functions, and `import_module("name")`."""
    for node in ast.walk(_parse(file)):
        match node:
            case ast.Import(names=names):
                yield from (Reference(node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, level=level, names=names):
                parents = file.package.split(".")[: 1 - level or None] if level else []
                whole = ".".join([*parents, module] if module else parents)
                yield Reference(node.lineno, whole, tuple(alias.name for alias in names))
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield Reference(node.lineno, module)


def find_dotted_strings(file: SourceFile) -> Iterator[Reference]:
    """Yield every string of a file that is nothing but a dotted path, such as "classifier.googlenet.GoogLeNet".

    The beginning of an f-string counts too: `f"classifier.{name}"` gives "classifier".
    """
    for node in ast.walk(_parse(file)):
        match node:
            case ast.Constant(value=str(text)) if DOTTED_PATH.fullmatch(text):
                yield Reference(node.lineno, text)
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]) if BEGINNING_OF_PATH.fullmatch(text):
                yield Reference(node.lineno, text.rstrip("."))


def import_graph(root: Path, packages: Iterable[str]) -> dict[str, set[str]]:
    """Return, for each module of the packages, the modules of the packages that it refers to.

    An import within a function counts like one at the top, and so does a string that names a module. A package stands
    for its `__init__.py`: `from package import name` refers to the module `package.name` if there is one, and to the
    package otherwise. Python also runs the `__init__.py` of every package around an imported module; that does not
    count, or no package could export what its modules define.
    """
    files = list(source_files(root, packages))
    modules = {file.module for file in files}
    graph: dict[str, set[str]] = {}
    for file in files:
        referred = {
            _longest_module(target, modules)
            for statement in find_imports(file)
            for target in statement.targets[-len(statement.names) :]
        }
        strings = (_longest_module(string.module, modules) for string in find_dotted_strings(file))
        referred |= {module for module in strings if "." in module}  # "detection" alone is a word, not a reference
        graph[file.module] = referred - {file.module, ""}
    return graph


def find_circles(graph: dict[str, set[str]]) -> list[str]:
    """Return a shortest circle through each module that can reach itself, as "a -> b -> a"; none is given twice."""
    circles: dict[frozenset[str], str] = {}
    for start in sorted(graph):
        if path := _way_back(graph, start):
            circles.setdefault(frozenset(path), " -> ".join(path))
    return list(circles.values())


def _way_back(graph: dict[str, set[str]], start: str) -> list[str]:
    """Return a shortest path from a module through others back to itself, or an empty list."""
    paths, reached = [[start]], {start}
    for path in paths:  # grows while it is read
        for target in sorted(graph[path[-1]]):
            if target == start:
                return [*path, start]
            if target not in reached:
                reached.add(target)
                paths.append([*path, target])
    return []


def _longest_module(dotted: str, modules: Collection[str]) -> str:
    """Return the longest beginning of a dotted path that is one of the modules, or an empty string."""
    parts = dotted.split(".")
    beginnings = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in beginnings if name in modules), "")


def _parse(file: SourceFile) -> ast.Module:
    return ast.parse(file.path.read_text(encoding="utf-8"), filename=str(file.path))
