"""Does a notebook's stored output still belong to its cells, and to the package that they import?

The fingerprint is a hash of the cells' sources, of the files of `moshi_ref` that the code imports (and that
those import in turn), and of the data files that it names. The runner writes it into the notebook, and a test
compares.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from .source import PACKAGE

MEASURED = "measured"  # tag of the cell that the runner itself writes
SECTION = "moshi_ref"  # of the notebook's metadata
DATA = re.compile(r"data/[\w/.-]*[\w-]")


def fingerprint(path: str | Path, package: Path = PACKAGE) -> str:
    """The hash that belongs to the notebook at `path` as it is now."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    cells = [cell for cell in cells if MEASURED not in cell["metadata"].get("tags", ())]
    sources = ["".join(cell["source"]) for cell in cells]
    code = "\n".join(s for s, cell in zip(sources, cells, strict=True) if cell["cell_type"] == "code")
    digest = hashlib.sha256(json.dumps(sources).encode())
    for file in sorted(imported(code, package)) + sorted(data_files(code, package.parent)):
        digest.update(file.relative_to(package.parent).as_posix().encode())
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def stored_fingerprint(path: str | Path) -> str | None:
    """The hash that was written when the notebook was executed; None if it never was."""
    notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    return notebook["metadata"].get(SECTION, {}).get("fingerprint")


def imported(code: str, package: Path) -> set[Path]:
    """The files of the package that are read when `code` runs its imports, found without running it."""
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines())
    todo, found = list(_modules(plain, (), package)), set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            inside = file.parent.relative_to(package.parent).parts
            todo += _modules(file.read_text(encoding="utf-8"), inside, package)
    return found


def _modules(code: str, inside: tuple[str, ...], package: Path) -> Iterator[Path]:
    """The package's files that the import statements in `code` name; `inside` is the package it is in."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            names = [base, *((*base, alias.name) for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _files(name, package)


def _files(name: tuple[str, ...], package: Path) -> Iterator[Path]:
    """The file of module `name`, and the __init__ of every package above it."""
    if not name or name[0] != package.name:
        return
    for length in range(1, len(name) + 1):
        place = package.parent.joinpath(*name[:length])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def data_files(code: str, root: Path) -> set[Path]:
    """The files below data/ that strings in the code name, directly or by their folder. In a folder the model's card
    does not count: it tells people of the weights, and has to be named by whoever reads it."""
    found = set()
    for name in DATA.findall(code):
        place = root / name
        inside = {file for file in place.rglob("*") if file.is_file() and file.suffix != ".md"}
        found |= {place} if place.is_file() else inside
    return found
