"""The stored notebooks: fresh, without a fault in their outputs, and executable; what the first cell says of a device."""

import copy
import json
import re
import subprocess
from types import SimpleNamespace

import pytest
from support import ROOT

from tools import notebooks

FILES = sorted(notebooks.NOTEBOOKS.glob("*.ipynb"))
COLAB = notebooks.NOTEBOOKS / "halfbert_colab.ipynb"
LARGEST = 1_000_000


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def sources(file, kind):
    return ["".join(cell["source"]) for cell in read(file)["cells"] if cell["cell_type"] == kind]


by_name = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@by_name
def test_stored_outputs_are_of_the_sources_and_have_no_fault(file):
    assert not notebooks.faults(read(file))
    assert notebooks.pictures(read(file)) and file.stat().st_size <= LARGEST


@by_name
def test_links_lead_somewhere(file):
    for text in sources(file, "markdown"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (file.parent / target).exists(), target


def executed_well(file, folder):
    executed = notebooks.execute(file, folder)
    assert not notebooks.faults(executed)
    assert notebooks.pictures(executed) == notebooks.pictures(read(file))


@pytest.mark.slow
def test_the_colab_notebook_leaves_a_labelled_spreadsheet(tmp_path):
    import openpyxl

    executed_well(COLAB, tmp_path)
    header, *rows = openpyxl.load_workbook(tmp_path / "labelled.xlsx").active.values
    assert {"text", "label", "confidence"} < set(header) and len(rows) == 232


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in FILES if file != COLAB], ids=lambda file: file.stem)
def test_it_runs(file, tmp_path):
    executed_well(file, tmp_path)


def spoilt(**output):
    """A notebook as stored, its first cell with an output of its own."""
    notebook = copy.deepcopy(read(COLAB))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    first["outputs"] = [output]
    return notebook


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"output_type": "error", "ename": "E", "evalue": "no such thing", "traceback": []}, "cell 1 failed: no such thing"),
        ({"output_type": "stream", "name": "stderr", "text": ["hm"]}, "cell 1 wrote to standard error: 'hm'"),
        ({"output_type": "stream", "name": "stdout", "text": ["in /tmp/x"]}, "cell 1 shows a path of a machine"),
        ({"output_type": "display_data", "data": {"text/html": ["<b>/home/me</b>"]}}, "cell 1 shows a path of a machine"),
        ({"output_type": "stream", "name": "stdout", "text": ["FutureWarning: old"]}, "cell 1 shows a warning"),
    ],
)
def test_faults_of_outputs_are_found(output, says):
    assert [fault for fault in notebooks.faults(spoilt(**output)) if fault.startswith(says)]


def test_changed_sources_and_cells_left_out_are_found():
    notebook = read(COLAB)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    cells[1]["execution_count"] = None
    assert notebooks.faults(notebook) == ["cell 2 was not executed in order"]
    cells[0]["source"] = ["x = 1"]
    assert notebooks.faults(notebook)[0].startswith("its outputs are from other sources")


def test_a_notebook_is_stored_with_its_outputs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "print(6 * 7)"}
    file = tmp_path / "small.ipynb"
    file.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert notebooks.main([]) == 0
    stored = read(file)
    assert stored["cells"][0]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": "42\n"}]
    file.write_text(json.dumps({**stored, "cells": [{**cell, "source": "import sys; print('hm', file=sys.stderr)"}]}))
    assert notebooks.main(["small.ipynb"]) == 1
    assert capsys.readouterr().out == "small.ipynb: cell 1 wrote to standard error: 'hm'\n"


def first_cell(monkeypatch, device, **environment):
    """What the Colab notebook's first cell defines when a reader has set this device, where no GPU is."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    for name in ("COLAB_TPU_1VM", "TPU_ACCELERATOR_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    source = sources(COLAB, "code")[0]
    found: dict = {}
    exec(source.replace('DEVICE = "auto"', f"DEVICE = {device!r}"), found)
    return found


@pytest.mark.parametrize(("device", "says"), [("gpu", "this runtime has none"), ("tpu", "choose 'auto', 'cpu' or 'gpu'")])
def test_a_device_that_is_absent_ends_the_first_cell_with_one_line(monkeypatch, device, says):
    with pytest.raises(Exception, match=says) as caught:
        first_cell(monkeypatch, device, COLAB_TPU_1VM="1")
    line = caught.value._render_traceback_()
    assert len(line) == 1 and line[0].startswith("error: DEVICE = ") and "\n" not in line[0] and "(exit code 4)" in line[0]


def test_the_first_cell_takes_the_cpu_beside_a_tpu_and_the_gpu_where_there_is_one(monkeypatch, capsys):
    assert first_cell(monkeypatch, "auto", TPU_ACCELERATOR_TYPE="v5e-1")["device"] == "cpu"
    assert "TensorFlow cannot use" in capsys.readouterr().out
    assert first_cell(monkeypatch, "auto")["device"] == "cpu"
    assert "TPU" not in capsys.readouterr().out
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    choose = first_cell(monkeypatch, "auto")["choose"]
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert (choose("auto"), choose("gpu"), choose("cpu")) == ("gpu", "gpu", "cpu")


def test_the_readme_opens_the_notebook_in_colab():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "colab.research.google.com/github" in readme and "(notebooks/halfbert_colab.ipynb)" in readme
