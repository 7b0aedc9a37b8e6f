"""What is checked of every notebook without running it. Running them is nbval's part, in the same pytest command."""

import base64
import importlib
import io
import json
import re
from pathlib import Path

import nbformat
import pytest
import soundfile
import torch

from moshi_ref.lab.course import CHAPTERS
from moshi_ref.lab.fingerprint import fingerprint, stored_fingerprint
from moshi_ref.lab.profile import repository
from moshi_ref.lab.run import all_notebooks

LARGEST = 2 * 2**20
HEADINGS = (
    "Goals", "Prerequisites", "In the paper", "Broken on purpose", "Exercises", "Tiny against real",
    "In the official code", "Where to go next",
)  # fmt: skip
FETCHES = re.compile(r"https?://|urllib|requests\.|wget|curl |huggingface_hub|torch\.hub|pip install")
FOLDERS = re.compile(r"(?<![\w./~])/(?:home|root|Users|tmp|usr|opt|mnt|content)/|" + re.escape(str(repository())))
REMOTE_IMAGE = re.compile(r"!\[[^]]*\]\(https?:|<(?:img|audio|video|iframe|script)[^>]+src=.?https?:", re.IGNORECASE)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")

NOTEBOOKS = all_notebooks()
CHAPTER_FILES = [path for path in NOTEBOOKS if path.parent.name != "solutions"]


def name(path: Path) -> str:
    return path.relative_to(repository() / "notebooks").as_posix()


every = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
chapter = pytest.mark.parametrize("path", CHAPTER_FILES, ids=name)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def shown(output) -> str:
    """All text of an output, without the sounds and pictures inside it."""
    data = output.get("data", {})
    texts = [output.get("text", "")] + [data[kind] for kind in data if kind.startswith("text/")]
    return re.sub(r"base64,[^\"']+", "", "\n".join(texts))


@every
def test_it_is_a_valid_notebook(path):
    raw = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(raw)
    ids = [cell["id"] for cell in raw["cells"]]
    assert len(set(ids)) == len(ids)
    assert raw["metadata"]["kernelspec"]["name"] == "python3"
    assert path.stat().st_size < LARGEST


@every
def test_it_is_fresh(path):
    told = f"{name(path)} is stale: run python -m moshi_ref.lab.run notebooks/{name(path)}"
    assert stored_fingerprint(path) == fingerprint(path), told


@every
def test_it_was_executed_in_order_without_errors(path):
    notebook = read(path)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run python -m moshi_ref.lab.run"
    for output in outputs(notebook):
        assert output.output_type != "error" and output.get("name") != "stderr"
    told = notebook.metadata["moshi_ref"]
    assert told["seconds"] > 0 and told["profile"] in ("cpu", "gpu")


@every
def test_it_needs_no_network_and_knows_no_machine(path):
    notebook = read(path)
    for cell in notebook.cells:
        assert not FOLDERS.search(cell.source) and not REMOTE_IMAGE.search(cell.source)
        if cell.cell_type == "code":
            assert not FETCHES.search(cell.source)
    for output in outputs(notebook):
        assert not FOLDERS.search(shown(output)) and not REMOTE_IMAGE.search(shown(output))


@every
def test_its_sounds_can_be_heard(path):
    for output in outputs(read(path)):
        for sound in re.findall(r'data:audio/mpeg;base64,([^"]+)"', output.get("data", {}).get("text/html", "")):
            wav, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
            assert rate == 24_000 and len(wav) < 12 * rate
            assert abs(wav).max() > 0.01 and (abs(wav) > 0.999).mean() < 1e-3, "silent or clipped"


@every
def test_its_local_links_lead_somewhere(path):
    notebook = read(path)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for link in LINK.findall("\n".join(texts + [shown(output) for output in outputs(notebook)])):
        assert (path.parent / link.split("#")[0]).exists(), link


@chapter
def test_it_has_its_parts(path):
    notebook, number = read(path), int(path.name[:2])
    assert notebook.cells[0].source.startswith(f"# {number:02d}. {CHAPTERS[number].title}\n")
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^##+ (.+)$", texts, re.MULTILINE)
    missing = [part for part in HEADINGS if not any(heading.startswith(part) for heading in headings)]
    assert not missing
    sources = "\n".join(cell.source for cell in code_cells(notebook))
    assert f"system_map({number})" in sources and "show_source(" in sources
    assert texts.count("Predict before you run") >= 3
    assert 40 <= len(notebook.cells) <= 80
    assert 1 <= (len(notebook.cells) - len(code_cells(notebook))) / len(code_cells(notebook)) <= 2
    measured = [cell for cell in notebook.cells if "measured" in cell.metadata.get("tags", ())]
    assert len(measured) == 1 and re.search(r"^\| (cpu|gpu) \|", measured[0].source, re.MULTILINE)


@chapter
def test_the_first_notebook_links_to_it(path):
    first, number = read(CHAPTER_FILES[0]), int(path.name[:2])
    texts = "".join(shown(output) for output in outputs(first))
    told = f"run python -m moshi_ref.lab.run notebooks/{CHAPTER_FILES[0].name}"
    assert number == 0 or f"]({path.name})" in texts, told


def written(path: Path) -> dict:
    """The functions that the cells tagged "exercise" define, without what the cells do with them."""
    found = {}
    for cell in code_cells(read(path)):
        if "exercise" in cell.metadata.get("tags", ()):
            definition = re.search(r"^def (\w+)\(.*?(?=^\S)", cell.source, re.MULTILINE | re.DOTALL)
            space = {"torch": torch}
            exec(definition.group(0), space)
            found[definition.group(1)] = space[definition.group(1)]
    return found


@chapter
def test_exercises_can_be_failed_and_solved(path):
    checks = importlib.import_module(f"moshi_ref.lab.exercises_{path.name[:2]}")
    names = {key.removeprefix("check_") for key in vars(checks) if key.startswith("check_")}
    stubs, solutions = written(path), written(path.parent / "solutions" / path.name)
    assert len(names) >= 3 and set(stubs) == set(solutions) == names
    for key in names:
        check = getattr(checks, f"check_{key}")
        verdict = check(stubs[key])
        assert not verdict and "still the stub" in verdict.message and len(verdict.hints) == 3
        assert check(solutions[key]), check(solutions[key]).message
