"""A run that is killed at any moment resumes, and its output is that of a run that was never interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import tiny_predictors
from support import ROOT, example_rows, script_environment
from table_files import write_table

from halfbert.prediction import journal

# Runs the command in small groups, and kills itself: after the third record of the journal, in the middle of the fourth, when
# the output is to get its name, or when the journal is to be removed.
RUN = """
import os, signal, sys
from pathlib import Path
from halfbert.cli import command
from halfbert.prediction import answering, blocks, journal, parquet, workbook
for module in (blocks, parquet, workbook):
    module.ROWS = 3
answering.NEW_TEXTS = 5
moment, seen = sys.argv[1], []
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
append, unlink = journal.Journal._append, Path.unlink
def watched(self, record):
    if moment == "torn" and len(seen) == 3:
        self._stream.write(journal.SIZE.pack(len(record)) + journal.digest(record) + record[:20])
        self._stream.flush()
        kill()
    append(self, record)
    seen.append(record)
    if moment == "record" and len(seen) == 3:
        kill()
journal.Journal._append = watched
if moment == "named":
    os.replace = kill
if moment == "done":
    Path.unlink = lambda self, *a, **k: kill() if self.name.endswith(".answers") else unlink(self, *a, **k)
sys.exit(command.main(["predict", *sys.argv[2:]]))
"""


def run(moment, *arguments, code=RUN):
    command = [sys.executable, "-c", code, moment, *map(str, arguments), "--engine", "onnx", "--threads", "1"]
    environment = script_environment(PYTHONPATH=str(ROOT))
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("suffix", "moments"),
    [
        (".csv", ("record", "torn", "named", "done")),
        (".parquet", ("record", "done")),
        (".xlsx", ("named",)),
        (".jsonl", ("torn",)),
    ],
)
def test_a_killed_run_goes_on(things, tmp_path, suffix, moments):
    rows = [[text, number] for number, (text, _) in enumerate(example_rows(40))]
    rows[7][0], rows[30][0] = "", rows[2][0]
    source = write_table(tmp_path / f"in{suffix}", rows, ["text", "number"])
    (tmp_path / "whole").mkdir()
    whole, output = tmp_path / "whole" / f"out{suffix}", tmp_path / f"out{suffix}"
    assert run("never", things.folder, source, "--output", whole).returncode == 0
    for moment in moments:
        done = run(moment, things.folder, source, "--output", output)
        assert done.returncode == -signal.SIGKILL
        assert output.exists() == (moment == "done") and journal.file_of(output).exists()
        done = run("never", things.folder, source, "--output", output)
        assert done.returncode == 0, done.stderr
        assert "resumed: " in done.stdout and output.read_bytes() == whole.read_bytes()
        assert sorted(file.name for file in tmp_path.iterdir()) == sorted([source.name, "whole", output.name])
        output.unlink()


def test_answers_of_another_run_are_not_used(things, tags, tmp_path):
    rows = [[text] for text, _ in example_rows(40)]
    source, output = write_table(tmp_path / "in.csv", rows, ["text"]), tmp_path / "out.csv"
    assert run("record", things.folder, source, "--output", output).returncode == -signal.SIGKILL
    done = run("never", things.folder, source, "--output", output, "--probabilities")
    assert done.returncode == 0 and "answers of another predictor or other options are there; they are removed" in done.stdout
    assert "resumed: " not in done.stdout and "probability_animal" in output.read_text()
    output.unlink()
    # The texts have changed: what stands before the change is used, and nothing of what follows.
    assert run("named", things.folder, source, "--output", output).returncode == -signal.SIGKILL
    rows[20] = ["my old saw is here"]
    write_table(source, rows, ["text"])
    done = run("never", things.folder, source, "--output", output)
    assert "the texts have changed since the earlier run" in done.stdout
    assert "resumed: 18 texts had been answered" in done.stdout
    labels = [line.split(",")[1] for line in output.read_text().splitlines()[1:]]
    assert labels == things.classifier.predict([row[0] for row in rows])


def test_answers_by_another_rule_or_calibration_are_not_used(things, tmp_path):
    folder = shutil.copytree(things.folder, tmp_path / "things")
    source, output = write_table(tmp_path / "in.csv", [[text] for text, _ in example_rows(40)], ["text"]), tmp_path / "out.csv"
    wholes = {}
    for share in ("0.3", "0.6"):
        assert run("never", folder, source, "--output", tmp_path / f"{share}.csv", "--max-review", share).returncode == 0
        wholes[share] = (tmp_path / f"{share}.csv").read_bytes()
    assert wholes["0.3"] != wholes["0.6"]
    for share in wholes:  # the run before had 0.3
        assert run("record", folder, source, "--output", output, "--max-review", "0.3").returncode == -signal.SIGKILL
        done = run("never", folder, source, "--output", output, "--max-review", share)
        assert output.read_bytes() == wholes[share]
        assert ("resumed: " in done.stdout) == (share == "0.3")
        assert ("answers of another predictor or other options are there" in done.stdout) == (share != "0.3")
        output.unlink()
    assert run("record", folder, source, "--output", output).returncode == -signal.SIGKILL
    calibration = {**json.loads((folder / tiny_predictors.MANIFEST).read_text())["calibration"], "temperature": 3.0}
    tiny_predictors.change_manifest(folder, calibration=calibration)
    done = run("never", folder, source, "--output", output)
    assert done.returncode == 0 and "resumed: " not in done.stdout


def test_an_output_that_another_run_wrote_is_not_replaced(things, tmp_path):
    source = write_table(tmp_path / "in.csv", [[text] for text, _ in example_rows(40)], ["text"])
    output = tmp_path / "out.csv"
    assert run("done", things.folder, source, "--output", output).returncode == -signal.SIGKILL
    output.write_text("somebody's own\n")
    done = run("never", things.folder, source, "--output", output)
    assert done.returncode == 2 and "already exists; --overwrite replaces it" in done.stderr
    assert output.read_text() == "somebody's own\n"


def test_a_folder_of_tables(things, tmp_path):
    for name in ("b.csv", "a.csv"):
        write_table(tmp_path / name, [[text] for text, _ in example_rows(20, seed=ord(name[0]))], ["text"])
    arguments = (things.folder, tmp_path / "*.csv", "--output")
    assert run("never", *arguments, tmp_path / "whole").returncode == 0
    assert run("record", *arguments, tmp_path / "out").returncode == -signal.SIGKILL and not (tmp_path / "out").exists()
    done = run("never", *arguments, tmp_path / "out")
    assert done.returncode == 0 and "resumed: 12 texts had been answered" in done.stdout
    for name in ("a.csv", "b.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run("done", *arguments, tmp_path / "out", "--overwrite").returncode == -signal.SIGKILL
    assert run("never", *arguments, tmp_path / "out").returncode == 0


def test_a_stopped_run_leaves_no_part_of_an_output(things, tmp_path):
    source = write_table(tmp_path / "in.csv", [[text] for text, _ in example_rows(40)], ["text"])
    code = RUN.replace("signal.SIGKILL", "signal.SIGTERM")
    command = [
        sys.executable,
        "-c",
        code,
        "record",
        things.folder,
        source,
        "--output",
        tmp_path / "out.csv",
        "--engine",
        "onnx",
    ]
    done = subprocess.run(command, env=script_environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (143, "stopped by SIGTERM\n")
    assert sorted(os.listdir(tmp_path)) == [".out.csv.answers", "in.csv"]
