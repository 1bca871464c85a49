"""compare.py through its real arguments: killed, gone on with, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from support import ROOT, end_here, example_rows, script_environment, write_csv


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--text-column", "Reviews"], "has no column 'Reviews'"),
        (["--contestants", "bert"], "give at least two"),
        (["--work", "results/compare"], "one inside the other"),
        (["--contestants", "bert=nowhere/at-all,tfidf"], "nowhere/at-all"),
    ],
)
def test_mistakes_are_told_before_anything_is_fitted(here, capfd, arguments, says):
    table = write_csv(here / "things.csv", example_rows(60))
    assert end_here("--train", table, *arguments, script="compare") in (2, 4)
    out, err = capfd.readouterr()
    assert says in err and err.count("\n") == 1 and "running" not in out
    assert not (here / "results").exists()


@pytest.mark.slow
def test_a_stopped_or_killed_comparison_goes_on_where_it_was(here, capfd, tiny_bert, tiny_distilbert):
    # Made-up labels on every fourth test row, so that nobody is right everywhere.
    rows = [(text, "tool" if n >= 120 and n % 4 == 0 else label) for n, (text, label) in enumerate(example_rows(160))]
    write_csv(here / "things.csv", rows[:120])
    write_csv(here / "held_out.csv", rows[120:])
    weights = f"tfidf,distilbert={tiny_distilbert},bert={tiny_bert}"
    arguments = ["--train", "things.csv", "--test", "held_out.csv", "--contestants", weights, "--epochs", "1", "--seeds", "1"]
    arguments += ["--lr", "0.003", "--threads", "1", "--distill"]

    def start():
        command, of_child = [sys.executable, str(ROOT / "compare.py"), *arguments], {"text": True, "start_new_session": True}
        return subprocess.Popen(command, cwd=here, env=script_environment(), stdout=subprocess.PIPE, **of_child)

    def said(process, until):
        """The lines up to one that contains these words."""
        lines = []
        while not lines or until not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        return "".join(lines)

    folder = here / "results/compare/things"
    with start() as process:  # Ctrl-C: what is finished is reported
        assert "TF-IDF, DistilBERT, BERT, student on 108 rows, 1 epoch, 1 seed" in said(process, "DistilBERT: macro F1")
        said(process, "BERT, seed 0 | ")
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert process.wait() == 130
    assert "not finished: the distilled student, BERT" in out and "give the same command again" in out
    record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert record["stopped"] == "SIGINT" and record["unfinished"] == ["student", "bert"]
    assert [each["name"] for each in record["contestants"]] == ["tfidf", "distilbert"] and record["verdict"]
    assert "Not finished" in (folder / "verdict.md").read_text(encoding="utf-8")

    before = (folder / "comparison.json").read_bytes()
    with start() as process:  # twice: at once
        assert "DistilBERT, seed 0: finished earlier, reused" in said(process, "BERT, seed 0 | ")
        process.send_signal(signal.SIGINT)
        said(process, "stopping where nothing is lost")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert (folder / "comparison.json").read_bytes() == before
    assert not [file for file in folder.parent.iterdir() if file != folder]  # nor a lock, nor anything half-written

    with start() as process:
        said(process, "The distilled student, seed 0: running")
        os.kill(process.pid, signal.SIGKILL)
    assert (folder / "comparison.json").read_bytes() == before

    assert end_here(*arguments, script="compare") == 0
    out = capfd.readouterr().out
    assert all(f"{name}, seed 0: finished earlier, reused" in out for name in ("TF-IDF", "DistilBERT", "BERT"))
    assert "The distilled student, seed 0 | epoch 1/1" in out and "use it:" not in out
    names = {"verdict.md", "report.html", "comparison.json", "comparison.xlsx", "disagreements.csv"}
    assert names <= {file.name for file in folder.iterdir()}
    record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    for contestant in record["contestants"]:  # their own records say the same, and every speed was measured
        (part,) = contestant["parts"]
        own = json.loads((here / "predictors/compare/things/results" / part / "record.json").read_text())
        for key in ("macro_f1", "accuracy"):
            assert contestant["scores"][key]["score"] == pytest.approx(own["test"][key])
        (timed,) = contestant["speeds"]
        assert timed["engine"] == contestant["best_engine"]
        assert (timed["engine"] == "scikit-learn") == (contestant["name"] == "tfidf")
        assert all(np.isfinite(value) and value > 0 for value in timed.values() if isinstance(value, float))
    assert [c["small"] for c in record["comparisons"]] == [*["tfidf"] * 3, *["student"] * 2, "distilbert"]
    assert record["teaching"]["small"] == "student" and record["verdict"]["ship"] in weights
    assert any("cleanlab" in note for note in record["notes"]) or record["label_errors"]
    assert str(here) not in (folder / "comparison.json").read_text() + (folder / "report.html").read_text()

    assert end_here(*arguments, script="compare") == 2  # a finished report is not replaced unasked
    assert "already exists; --overwrite" in capfd.readouterr().err
    assert end_here(*arguments, "--overwrite", "--margin", "0.9", script="compare") == 0
    out = capfd.readouterr().out
    assert out.count("finished earlier, reused") == 5 and "running" not in out
    assert json.loads((folder / "comparison.json").read_text())["verdict"]["ship"] == "tfidf"
