"""The races: rates from samples made by hand, the rows that contestants get, and contestants in processes of their own."""

from argparse import Namespace
from dataclasses import replace

import pytest
from support import example_rows, write_csv

from tools.race import __main__ as race
from tools.race.contest import Job


def test_the_steady_rate_leaves_out_what_comes_once():
    """30 s to start and 100 rows a second; the probe is no step."""
    times = {"fit_seconds": 33.2, "probe_seconds": 0.0}, {"fit_seconds": 112.92, "probe_seconds": 1.0}
    shares = {"gflop": 0.0, "ceiling_gflop_per_second": 200.0, "share_by_operation": {"all": 1.0}}
    samples = [{"rows": rows, **shares, **each} for rows, each in zip((320, 8192), times, strict=True)] * 3
    found = race.summary("float32", samples)
    assert found["steady_rows_per_second"] == pytest.approx(100.0) and len(found["steady_by_repeat"]) == 3
    assert found["job_seconds"] == 112.92 and found["products_gflop_per_second"] == 0.0
    assert race.summary("ktrain", samples)["job_seconds"] is None  # its long job is not the race's


def test_a_file_named_for_both_is_cut_in_two(tmp_path):
    rows = example_rows(40)
    write_csv(tmp_path / "x.csv", [*rows, ("", "animal"), ("text", "")])
    short = replace(race.RACES[0], train="x.csv", test="x.csv", columns=("text", "label"))
    job = race.job(short, race.FITTING["float32"], 30, 64, Namespace(data=tmp_path, threads=1))
    assert (len(job.texts), len(job.test_texts)) == (30, 10)
    both = zip([*job.texts, *job.test_texts], [*job.labels, *job.test_labels], strict=True)
    assert sorted(both) == sorted(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ktrain", "float32"])
def test_contestants_that_fit(name, tiny_bert):
    rows = example_rows(64)
    parts = {"texts": (rows[:48], 0), "labels": (rows[:48], 1), "test_texts": (rows[48:], 0), "test_labels": (rows[48:], 1)}
    parts = {name: [row[column] for row in part] for name, (part, column) in parts.items()}
    job = Job(checkpoint=str(tiny_bert), **parts, maxlen=16, batch_size=16, threads=1)
    figures = race.start(race.FITTING[name], job, Namespace())
    assert figures["fit_seconds"] > 0 and figures["predict_rows_per_second"] > 0 and 0 <= figures["accuracy"] <= 1
    assert 0 < figures["single_p50_ms"] <= figures["single_p95_ms"]
    assert (name == "ktrain") != (sum(figures.get("share_by_operation", {}).values()) == pytest.approx(1.0))
