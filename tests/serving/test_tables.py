"""POST /v1/label: a table comes back as predict.py writes it."""

import time
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from http_server import Running, running
from support import example_rows, run_script, write_csv, write_workbook

from halfbert.serving import tables
from halfbert.serving.errors import Refusal
from halfbert.serving.tables import Tables

ROWS = [("", 1), *((text, number) for number, (text, _) in enumerate(example_rows(50)))]


def send(server: Running, file: Path, **options) -> dict:
    """Send a table, and wait until it is done or has failed; returns its last state."""
    query = "&".join(f"{name}={value}" for name, value in {"name": file.name, **options}.items())
    accepted = server.request("POST", f"/v1/label?{query}", file.read_bytes(), {"Content-Type": "application/octet-stream"})
    assert accepted.status == 202 and accepted.json["status"] == "waiting"
    place, end = accepted.headers["location"], time.monotonic() + 60
    while time.monotonic() < end:
        state = server.request("GET", place).json
        if state["status"] in ("done", "failed"):
            return state
    raise AssertionError(state)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_table_is_that_of_predict(server, things, tmp_path, suffix):
    file = tmp_path / f"the table{suffix}"
    if suffix == ".csv":
        write_csv(file, ROWS, ("text", "number"))
    else:
        write_workbook(file, {"first": [("text", "number"), *ROWS]})
    file = file.rename(tmp_path / f"table{suffix}")
    state = send(server, file, top=2)
    assert (state["status"], state["rows"], state["error"]) == ("done", 51, None)
    summary = state["summary"]
    assert summary["rows"] == 51 and sum(summary["labels"].values()) == 50 and summary["unanswered"] == {"no text": 1}
    found = server.request("GET", f"/v1/label/{state['id']}/table")
    assert found.status == 200 and f"table_labelled{suffix}" in found.headers["content-disposition"]
    mine, theirs = tmp_path / f"mine{suffix}", tmp_path / f"theirs{suffix}"
    mine.write_bytes(found.body)
    run_script(things, file, "--output", theirs, "--top=2", f"--engine={summary['engine']}", cwd=tmp_path, script="predict.py")
    if suffix == ".csv":
        one, other = pd.read_csv(mine), pd.read_csv(theirs)
    else:
        one, other = (pd.read_excel(each) for each in (mine, theirs))
        assert openpyxl.load_workbook(mine).sheetnames == ["first"]
    pd.testing.assert_frame_equal(one, other, atol=0.02)
    assert server.request("DELETE", f"/v1/label/{state['id']}").status == 204
    assert server.request("GET", f"/v1/label/{state['id']}").status == 404


def test_tables_that_cannot_be_labelled(server, things, tmp_path):
    file = write_csv(tmp_path / "table.csv", [("a", 1)], ("Text", "number"))
    state = send(server, file)
    assert state["status"] == "failed"
    assert state["error"].startswith("table.csv: has no column 'text'")
    assert "/" not in state["error"] and "--" not in state["error"]
    refused = server.request("GET", f"/v1/label/{state['id']}/table")
    assert (refused.status, refused.json["error"]["message"]) == (409, state["error"])
    assert send(server, file, text_column="Text")["status"] == "done"
    (tmp_path / "not.xlsx").write_bytes(b"no workbook")
    assert send(server, tmp_path / "not.xlsx")["error"].startswith("not.xlsx: ")
    for query, status in (
        ("name=a.pdf", 415),
        ("name=a.csv.gz", 415),
        ("name=..", 415),
        ("", 422),
        ("name=a.csv&top=0", 422),
        ("name=a.csv&max_error=2", 422),
        ("name=a.csv&predictor=none", 404),
    ):
        assert server.request("POST", f"/v1/label?{query}", b"text\na\n").status == status
    for number in ("none", "..", "a" * 22, "%2e%2e%2f" * 3):
        assert server.request("GET", f"/v1/label/{number}/table").status == 404
    with running(things, "--max-upload=1000", "--workers=2", "--threads=1") as small:
        refused = small.request("POST", "/v1/label?name=a.csv", b"x" * 1001)
        assert (refused.status, refused.code) == (413, "too_large") and "predict.py" in refused.json["error"]["message"]
        assert send(small, file, text_column="Text")["status"] == "done"  # whichever worker is asked


def test_jobs_are_bounded_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_JOBS", 2)
    jobs = Tables(tmp_path, 1000)
    first, file = jobs.begin("../../a b*.csv", "things")
    assert file == tmp_path / first.id / "a b_.csv"
    jobs.begin(".csv.csv", "things")
    with pytest.raises(Refusal) as full:
        jobs.begin("c.csv", "things")
    assert full.value.status == 429
    jobs.sweep()
    assert jobs.state(first.id) == first
    monkeypatch.setattr(tables, "KEPT_SECONDS", -1.0)
    jobs.sweep()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(tables.Removed):
        jobs.check(tmp_path / first.id, 1)
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "part").write_bytes(b"x" * 20_001)
    for rows, says in ((1, "unpacks to too much"), (1_000_001, "more than 1,000,000 rows")):
        with pytest.raises(Exception, match=says):
            jobs.check(folder, rows)
    jobs.close()
    with pytest.raises(tables.Removed):
        jobs.check(folder, 1)
