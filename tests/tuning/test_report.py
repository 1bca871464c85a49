"""What the report of a search says, and what its files hold, from made-up records."""

import csv
from dataclasses import replace

import pytest

from halfbert.output.record import DataSummary, Leaks, RowCounts
from halfbert.scoring.intervals import Difference, Interval
from halfbert.scoring.selection import Lead
from halfbert.system import machine
from halfbert.system.errors import ArtefactError
from halfbert.tuning import record as records
from halfbert.tuning import report
from halfbert.tuning.record import Fit, Record, TrialRow

SETTING = {
    "checkpoint": "distilbert=mini",
    "lr": 2e-4,
    "epochs": 5,
    "batch_size": 16,
    "maxlen": None,
    "long": "cut",
    "keep": None,
    "head": "probed",
}
OTHER = {**SETTING, "lr": 4e-4, "epochs": 1, "maxlen": 50, "keep": 1}
INTERVAL = Interval(0.81, 0.75, 0.86)
DIFFERENCE = Difference(0.83, 0.81, 0.02, -0.01, 0.05, 0.95, 200, 1, 2000)
WINS, LOSES = Lead(1, 0.04, 0.03, 0.01, 2, 900), Lead(1, 0.04, 0.06, 0.4, 2, 900)


def made_up(lead, winner=1):
    default, other = Fit(0, SETTING, {"accuracy": INTERVAL}, 60.0), Fit(1, OTHER, {"accuracy": INTERVAL}, 20.0)
    failed = TrialRow(3, "failed", OTHER, 3.0, 0, None, "out of memory")
    return Record(
        task="multiclass",
        options={},
        data=DataSummary([], RowCounts(900, 100, 200), ["a", "b"], 0, Leaks()),
        split_seed=0,
        score="val_macro_f1",
        space={"lr": [1e-4, 1e-3], "batch_size": [8, 16]},
        minutes=10.0,
        seconds=400.0,
        trials=[
            TrialRow(0, "finished", SETTING, 60.0, 5, 0.80),
            TrialRow(1, "finished", OTHER, 20.0, 1, 0.84),
            TrialRow(2, "pruned", OTHER, 9.0, 2, 0.3, "worse than the median of the others at this point"),
            failed,
        ],
        lead=lead,
        default=default if lead else None,
        winner=(default, other)[winner],
        differences={"accuracy": DIFFERENCE} if lead and winner else None,
        importance={"lr": 0.7, "batch_size": 0.3},
        environment=machine.describe("cpu", 1, "float32", 0),
    )


def test_a_winner_stands_beside_the_default():
    said = report.text(made_up(WINS))
    assert "4 trials in 6.7 minutes (2 finished, 1 pruned, 1 failed)" in said
    assert "chosen: distilbert=mini, rate 0.0004, 1 epoch, batches of 16, maxlen 50 (cut), 1 layer, probed head" in said
    assert "This is beyond luck: the best of 2 trials leads the default by 0.0400 in macro F1 on 900 validation rows" in said
    assert "200 test rows  winner" in said and "0.8100 (0.750 to 0.860)" in said
    assert "winner less default on the test rows: accuracy +0.020, 95 % interval −0.010 to +0.050" in said
    assert "lr 70%, batch size 30%" in said


def test_a_lucky_trial_does_not_win():
    said = report.text(made_up(LOSES, winner=0))
    assert "the default is kept: no setting was better beyond noise" in said and "up to 0.0600 in 19 of 20" in said
    assert "200 test rows  default\n" in said and "winner" not in said


def test_a_default_without_an_end_is_said():
    assert "The default settings came to no end" in report.text(made_up(None))


def test_what_is_written(tmp_path):
    record = made_up(WINS)
    report.write(record, tmp_path)
    records.write(record, tmp_path)
    assert records.read(tmp_path) == record and record.test == {"accuracy": 0.81}
    assert {file.name for file in tmp_path.iterdir()} == {
        "tuning.json",
        "report.txt",
        "trials.csv",
        "trials.png",
        "importance.png",
    }
    with open(tmp_path / "trials.csv", encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["outcome"] for row in rows] == ["finished", "finished", "pruned", "failed"]
    assert rows[3]["reason"] == "out of memory" and rows[1]["val_macro_f1"] == "0.84" and rows[1]["lr"] == "0.0004"
    report.write(replace(made_up(None), importance=None), tmp_path)
    (tmp_path / records.RECORD).write_text("{}")
    with pytest.raises(ArtefactError, match="no record of a search"):
        records.read(tmp_path)
