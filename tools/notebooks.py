"""Execute the notebooks and store them with their outputs: `python -m tools.notebooks [NAME ...]`, by default all.

A stored notebook says in its metadata which sources its outputs are from, as a SHA-256, so that a test can tell when they no
longer are.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from halfbert.system import storage
from halfbert.system.machine import PROJECT

NOTEBOOKS = PROJECT / "notebooks"
EXECUTED = "executed_sources_sha256"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS = 1800  # of a cell, on a machine with other work
# A folder of the machine that executed the notebook; / alone, as in "rows/s" and in addresses, is none.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:content|home|opt|private|root|tmp|usr|var|work|Users)/|[A-Z]:\\\\")
WARNING = re.compile(r"\b(?:\w*Warning:|WARNING\b|Traceback \(most recent)")


def main(names: list[str]) -> int:
    """Execute and store the notebooks of these file names, or all; 0 if their outputs have no fault, else 1."""
    failed = False
    for file in [NOTEBOOKS / name for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory(prefix="halfbert-") as folder:
            notebook = execute(file, Path(folder))
        found = faults(notebook)
        for fault in found:
            print(f"{file.name}: {fault}")
        failed = failed or bool(found)
        storage.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", file)
    return int(failed)


def execute(file: Path, folder: Path) -> Any:
    """The notebook with the outputs of a run in the folder `folder`, by the Python and the checkout of this process.

    Raises nbclient's CellExecutionError where a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    path = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=SECONDS, record_timing=False, coalesce_streams=True, resources=where)
    environment = {**os.environ, "PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    environment.pop("MPLBACKEND", None)  # the kernel's own, which shows pictures
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata = {**METADATA, EXECUTED: digest(notebook)}
    return notebook


def digest(notebook: Any) -> str:
    """The SHA-256 of the sources of a notebook's code cells."""
    sources = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def faults(notebook: Any) -> list[str]:
    """What is wrong with a notebook's outputs, a line each: cells not executed, errors, warnings, paths, other sources."""
    found = []
    if notebook["metadata"].get(EXECUTED) != digest(notebook):
        found.append("its outputs are from other sources: python -m tools.notebooks")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        if cell["execution_count"] != number:
            found.append(f"cell {number} was not executed in order")
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {number} failed: {output['evalue']}")
            text = _text(output)
            if output.get("name") == "stderr":
                found.append(f"cell {number} wrote to standard error: {text.strip()[:80]!r}")
            for kind, pattern in (("a path of a machine", MACHINE_PATH), ("a warning", WARNING)):
                match = pattern.search(text)
                if match:
                    found.append(f"cell {number} shows {kind}: {text[max(0, match.start() - 20) :][:80]!r}")
    return found


def pictures(notebook: Any) -> int:
    """The number of pictures among the outputs."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def _text(output: Any) -> str:
    """All text of an output."""
    data = output.get("data", {})
    parts = [output.get("text", ""), *(data.get(kind, "") for kind in ("text/plain", "text/html", "text/markdown"))]
    return "\n".join("".join(part) for part in parts if part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
