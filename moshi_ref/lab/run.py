"""Execute notebooks and keep their outputs: `python -m moshi_ref.lab.run [--profile NAME] [notebooks ...]`.

Each notebook runs from the top in a fresh kernel. If every cell succeeds, the outputs are cleaned of what
belongs to this machine, time and memory are written into its table and its metadata, and the file is replaced in
one step. If a cell fails, nothing is written, and the exit code is 1.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from ..audio import writing
from .fingerprint import MEASURED, SECTION, fingerprint
from .profile import NAMES, VARIABLE, repository

WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Runs in the notebook's kernel after its last cell.
PROBE = """
import json as _json, sys as _sys, torch as _torch
try:
    import resource as _resource
    _peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss
    _peak = round(_peak / (2**20 if _sys.platform == "darwin" else 2**10))
except ImportError:
    _peak = None
_cuda = _torch.cuda.is_available() and _torch.cuda.max_memory_allocated()
print(_json.dumps({
    "device": _torch.cuda.get_device_name() if _cuda else f"CPU, threads: {_torch.get_num_threads()}",
    "peak_memory_mib": _peak, "gpu_memory_mib": round(_cuda / 2**20), "torch": _torch.__version__,
}))
"""


class Failed(Exception):
    """A cell that did not run to its end; the message names it and shows the error."""


def execute(path: Path, profile: str | None, timeout: int = 900) -> tuple[NotebookNode, dict]:
    """Run every cell of the notebook. Returns it with outputs, and what the run took. Raises Failed."""
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "PYTHONHASHSEED": "0", **({VARIABLE: profile} if profile else {})}
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    began = time.perf_counter()
    with client.setup_kernel(env=environment):
        count = 0
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                count += 1
                print(f"\r{path.name}: cell {index + 1} of {len(notebook.cells)} ", end="", file=sys.stderr)
                try:
                    client.execute_cell(cell, index, execution_count=count)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                    plain = COLOUR.sub("", str(error))
                    raise Failed(f"\n{path.name}, cell {index + 1} (code cell {count}): {plain}") from error
        seconds = time.perf_counter() - began
        measured = _probe(client)
    print(f"{seconds:.1f} s", file=sys.stderr)
    return notebook, {"seconds": round(seconds, 1), **measured}


def _probe(client: NotebookClient) -> dict:
    cell = nbformat.v4.new_code_cell(PROBE)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1)
    client.nb.cells.pop()
    return json.loads(cell.outputs[0].text)


def clean(notebook: NotebookNode) -> None:
    """Remove what belongs to this machine or this moment: stderr, widget state, paths, addresses, times."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        for lost in (o for o in cell.outputs if o.get("name") == "stderr"):
            print(f"dropped from standard error: {lost.text.strip()[:300]}", file=sys.stderr)
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if "text" in output:
                output.text = portable(output.text)
            data = output.get("data", {})
            if len(data) > 1:  # the widget needs a kernel; what stands beside it does not
                data.pop(WIDGET, None)
            for kind in ("text/plain", "text/html", "text/markdown"):
                if kind in data and "base64," not in data[kind]:
                    data[kind] = portable(data[kind])


def portable(text: str) -> str:
    """The text without this machine's folders and memory addresses."""
    for folder, name in ((repository(), "."), (Path.home(), "~"), (Path(tempfile.gettempdir()), "TMP")):
        if len(folder.parts) > 1:
            text = text.replace(str(folder), name)
    return ADDRESS.sub(" at 0x...", text)


def stamp(notebook: NotebookNode, profile: str, measured: dict, old: dict) -> None:
    """Write what the run took into the metadata, and the table of all runs into the cell tagged for it."""
    runs = {**old.get("runs", {}), profile: measured}
    notebook.metadata[SECTION] = {"profile": profile, **measured, "runs": runs}
    rows = ["| profile | machine | run time | peak memory |", "| --- | --- | --- | --- |"]
    for name in NAMES:
        if name in runs:
            run = runs[name]
            memory = f"{run['peak_memory_mib']} MiB" if run["peak_memory_mib"] else "not measured"
            memory += f" + {run['gpu_memory_mib']} MiB on the GPU" if run["gpu_memory_mib"] else ""
            rows.append(f"| {name} | {run['device']} | {run['seconds']:.0f} s | {memory} |")
    for cell in notebook.cells:
        if MEASURED in cell.metadata.get("tags", ()):
            cell.source = "Measured by `python -m moshi_ref.lab.run`:\n\n" + "\n".join(rows)


def run(path: Path, profile: str | None = None, keep_outputs: bool = False, timeout: int = 900) -> dict:
    """Execute one notebook and write it back; with `keep_outputs`, only the measurement. Returns the
    metadata."""
    old = nbformat.read(path, as_version=4)
    notebook, measured = execute(path, profile, timeout)
    used = profile or os.environ.get(VARIABLE) or ("cpu" if measured["device"].startswith("CPU") else "gpu")
    before = old.metadata.get(SECTION, {})
    if keep_outputs:
        stamp(old, used, measured, before)
        old.metadata[SECTION] = {**old.metadata[SECTION], **{k: v for k, v in before.items() if k != "runs"}}
        notebook = old
    else:
        clean(notebook)
        stamp(notebook, used, measured, before)
        notebook.metadata[SECTION]["fingerprint"] = fingerprint(path)
    with writing(path) as part:
        nbformat.write(notebook, part)
    return dict(notebook.metadata[SECTION])


def all_notebooks() -> list[Path]:
    """Every notebook of the repository, solutions included."""
    folder = repository() / "notebooks"
    return sorted([*folder.glob("[0-9][0-9]_*.ipynb"), *folder.glob("solutions/[0-9][0-9]_*.ipynb")])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.lab.run", description=__doc__.split("\n\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of them, solutions included")
    parser.add_argument("--profile", choices=NAMES, help="default: MOSHI_REF_PROFILE, or by device")
    parser.add_argument("--keep-outputs", action="store_true", help="only measure; leave the stored outputs")
    parser.add_argument("--timeout", type=int, default=900, help="seconds that one cell may take")
    options = parser.parse_args(arguments)
    paths = options.notebooks or all_notebooks()
    for path in paths:
        if not path.is_file():
            print(f"no notebook {path}", file=sys.stderr)
            return 2
        try:
            run(path.resolve(), options.profile, options.keep_outputs, options.timeout)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
