"""Tables and workbook of a benchmark, from records made by hand; the records that are published still read."""

import importlib.util
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import openpyxl
import pytest
from benchmark_records import PUBLISHED, case, contestant, of_cases, with_figures, without_accuracies, without_scores

from halfbert.benchmark import figures as benchmark_figures
from halfbert.benchmark import plots as benchmark_plots
from halfbert.benchmark import record as records
from halfbert.benchmark import report as benchmark_report
from halfbert.system.errors import ArtefactError, InputError, ResourceError

BESIDE = "Published, and measured here"
PLOTS = ("latency.png", "throughput.png", "speed_size_accuracy.png")


def rows_of(record, heading):
    """The cells of each line of a table of the report."""
    text = benchmark_report.markdown(record).split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("| ")]


def line(record, heading, *cells):
    """The rest of the one line of a table that begins with these cells."""
    (found,) = (row for row in rows_of(record, heading) if row[: len(cells)] == list(cells))
    return found[len(cells) :]


# Markdown.

SANH, HERE = "Sanh et al. 2019, arXiv:1910.01108, table", "large and small, this run"
ONE_PASS = "one pass over STS-B's development texts, one at a time, on a CPU"
LINES = [
    # 256 samples are enough for the 95th percentile, not for the 99th; 16 are enough for none.
    ("One text at a time", "large | keras | natural | end to end | 10.5 / 11 / 11 / –"),
    ("One text at a time", "large | keras | 128 tokens | model | – / – / – / –"),
    ("Many texts", "predictor | engine | lengths | measured | cpu, 2 threads, batch 8 | cpu, 2 threads, batch 32"),
    ("Many texts", "small | onnx | natural | model | 955 ± 45.5 | 955 ± 45.5"),
    ("Not measured", "small | torch | cpu, 2 threads | PyTorch is not installed: pip install torch"),
    # Seconds, ratio and share of time saved: never "faster" by a bare share.
    (
        "Pairs",
        "large, keras | small, keras | cpu, 2 threads | one text | 10 | 5 | 2.00 | 1.80–2.20 | ×/÷ 1.07 | 50.0% | B takes less",
    ),
    (
        "Pairs",
        "large, onnx | small, onnx | cpu, 2 threads | one text | 10 | 9.9 | 1.01 | 0.91–1.11 | ×/÷ 1.07 | – | inconclusive",
    ),
    (BESIDE, f"{ONE_PASS} | 668 s | 410 s | 1.63 | 38.6% | 61.4% | {SANH} 3"),
    (BESIDE, f"parameters | 110.0 M | 66.0 M | 1.67 | 40.0% | 60.0% | {SANH} 3"),
    (BESIDE, f"score (GLUE) | 79.5 points | 77 points | 1.03 | 3.1% | 96.9% | {SANH} 1"),
    (
        BESIDE,
        f"one pass over the texts, one at a time: keras, cpu, 2 threads | 0.672 s | 0.336 s | 2.00 | 50.0% | 50.0% | {HERE}",
    ),
    (BESIDE, f"parameters | 22.0 M | 11.0 M | 2.00 | 50.0% | 50.0% | {HERE}"),
    (BESIDE, f"score (accuracy on the runs' test rows) | 80 points | 76 points | 1.05 | 5.0% | 95.0% | {HERE}"),
]


def test_lines_of_the_tables(record):
    for heading, cells in LINES:
        assert any(" | ".join(row).startswith(cells) for row in rows_of(record, heading)), cells


def test_processor_and_gpu_stand_side_by_side(record):
    record.contestants.append(contestant("small", "keras", 1, device="gpu"))
    (*_, left, right), *_ = rows_of(with_figures(record), "One text at a time")
    assert (left, right) == ("cpu, 2 threads", "gpu")
    both = line(record, "One text at a time", "small", "keras", "natural", "end to end")
    assert both == ["5.25 / 5.5 / 5.5 / –", "1.05 / 1.1 / 1.1 / –"]
    assert line(record, "One text at a time", "small", "onnx", "natural", "end to end")[1] == "–"  # was not measured there


def test_what_the_report_says_of_the_run(record):
    before = benchmark_report.markdown(record)
    assert "quick look" not in before and "Stopped" not in before and "Published" in before
    assert "halfbert.load takes" not in before
    record.quick, record.stopped, record.pairs = True, "SIGINT", []
    record.predictors[0].choice = "halfbert.load takes onnx"
    for each in record.predictors:
        each.model = "bert"  # without both kinds nothing is set beside the published
    for each in of_cases(without_scores(record), lambda _: False).contestants:
        each.cold = []
    text = benchmark_report.markdown(record)
    assert "quick look" in text and "Stopped by SIGINT before all was measured" in text and "Published" not in text
    closing = benchmark_report.closing(record, Path("results/benchmark/things"))
    assert "quick look" in closing and f"\n{record.predictors[0].name}: halfbert.load takes onnx\n" in closing
    assert f"\n- {record.predictors[0].name}: halfbert.load takes onnx.\n" in text
    assert line(record, "Sizes and scores", "large", "keras", "cpu, 2 threads")[3] == "–"  # with nothing measured at all


def test_an_accuracy_on_texts_that_the_predictor_learned_from_is_called_in_question(record):
    record.predictors[0].learned_from, record.predictors[1].learned_from = record.texts.used, 0
    closing = partial(benchmark_report.closing, output=Path("results/benchmark/things"))
    for said in (benchmark_report.markdown(record), closing(record)):
        assert "trained large or chose its epoch, so its accuracy on these texts means nothing" in said
        assert "trained small" not in said
    assert "means nothing" not in closing(without_accuracies(record)) + benchmark_report.markdown(record)


def test_blocks_that_were_run_again_are_reported(record):
    all_blocks = [block for _, case_ in benchmark_figures.measured(record) for block in case_.blocks]
    blocks = len(all_blocks) + 2
    assert f": {blocks // 2 - 1} of {blocks}; still disturbed in the end: 0." in benchmark_report.markdown(record)
    for block in [*all_blocks, *(pair_.blocks[0] for pair_ in record.pairs)]:
        block.foreign_share = None
    assert "unknown on this system" in benchmark_report.markdown(record)


def test_shares_of_the_ceiling_of_the_lengths_that_were_timed(record):
    for each in record.contestants[:4]:
        each.cases.append(case("offline", 32, 0.1, lengths="fixed", part="model"))
    assert rows_of(with_figures(record), "Sizes and scores")[0][-2:] == [
        f"share of ceiling, {n}" for n in ("natural", "128 tokens")
    ]
    of_cases(record, lambda case_: case_.lengths == "natural")
    assert rows_of(record, "Sizes and scores")[0][-1] == "share of ceiling, natural"


@pytest.mark.parametrize("scores", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)])
def test_a_score_of_zero_loses_no_report(record, scores):
    for each, score in zip(record.predictors, scores, strict=True):
        each.score = records.Score(name="micro F1", value=score)
    assert "–" in line(record, BESIDE, "score (micro F1 on the runs' test rows)")[2:5]


# Files.


def test_workbook(record, tmp_path):
    record.predictors[0] = replace(record.predictors[0], name="=1+1")  # what a folder may be called
    benchmark_report.write_workbook(record, tmp_path / "report.xlsx")
    book = openpyxl.load_workbook(tmp_path / "report.xlsx")
    assert book.sheetnames == ["figures", "contestants", "predictors", "cold", "pairs"]
    heads, *rows = book["figures"].iter_rows(values_only=True)
    assert len(rows) == len(record.figures)
    first = dict(zip(heads, rows[0], strict=True))
    assert first["seconds_per_call.p95"] == pytest.approx(0.011) and first["seconds_per_call.p99"] is None
    cell = book["predictors"]["A2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")
    assert dict(zip(*book["pairs"].iter_rows(max_row=2, values_only=True), strict=True))["ratio"] == 2.0


def test_the_record_is_written_and_read(record, tmp_path):
    """Every sample of a block on one line; what JSON cannot hold loses nothing else; another file is no record."""
    file = benchmark_report.record_file(tmp_path / "things")
    assert file == tmp_path / "things.json"
    records.write(record, file)
    assert records.read(file) == record
    assert max(text.count(",") for text in file.read_text().splitlines()) >= 127
    record.contestants[0].accuracy = float("nan")
    record.environment.command.append("caf\udce9.csv")  # as Python reads a file name in Latin-1
    records.write(record, file)
    assert records.read(file).contestants[0].accuracy is None
    file.write_text('{"schema_version": 1}')
    with pytest.raises(ArtefactError, match=r"things\.json: not the record of a benchmark"):
        records.read(file)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_records_still_read_and_give_the_published_figures(file, tmp_path):
    read = records.read(file)
    records.write(read, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8")) == json.loads(file.read_text(encoding="utf-8"))
    medians = [figure.texts_per_second.median for figure in benchmark_figures.figures(read)]
    assert medians == pytest.approx([figure.texts_per_second.median for figure in read.figures])
    assert "## Pairs\n" in benchmark_report.markdown(read)


def test_output_that_cannot_be_written(tmp_path, monkeypatch):
    output = tmp_path / "things"
    benchmark_report.check_output(output, overwrite=False)
    benchmark_report.record_file(output).write_text("{}")
    with pytest.raises(InputError, match="--overwrite"):
        benchmark_report.check_output(output, overwrite=False)
    benchmark_report.check_output(output, overwrite=True)
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not replaced"):
        benchmark_report.check_output(output, overwrite=True)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    with pytest.raises(ResourceError, match=r"needs matplotlib: pip install 'halfbert\[train\]'"):
        benchmark_report.check_output(tmp_path / "others", overwrite=False)


@pytest.mark.parametrize(
    ("keep", "drawn"),
    [
        (lambda case: True, PLOTS),
        (lambda case: case.batch in (1, 32), PLOTS[::2]),  # one batch is no curve
        (lambda case: case.scenario == "single", PLOTS[:1]),
        (lambda case: False, ()),
    ],
)
def test_plots_of_what_has_samples(record, tmp_path, keep, drawn):
    record.contestants.append(contestant("small", "keras", 1, device="gpu"))
    assert benchmark_plots.draw(of_cases(record, keep), tmp_path) == list(drawn)
    assert {file.name for file in tmp_path.iterdir()} == set(drawn)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    text = benchmark_report.markdown(record, drawn)
    assert text.count("![") == len(drawn) and ("## Many texts" in text) == (len(drawn) > 1)


@pytest.mark.filterwarnings("error:No artists", "ignore:Attempting to set identical")
def test_one_repeat_with_one_call_is_reported(record, tmp_path):
    """Also of predictors whose folders have names that matplotlib reads as its own marks."""
    for each in record.contestants[:4]:
        each.cases = [case("single", 1, 1e-7, calls=1), case("offline", 8, 1e-7, texts=8, calls=1)]
        for measured in each.cases:
            del measured.blocks[1]
        del each.cold[1]
        each.predictor = f"_{each.predictor} $x$ % {{"
    for each in record.predictors:
        each.name = f"_{each.name} $x$ % {{"
    assert "## Cold start" in benchmark_report.markdown(with_figures(record))
    assert benchmark_plots.draw(record, tmp_path) == ["latency.png", "speed_size_accuracy.png"]
    assert "texts/s" in benchmark_report.closing(record, tmp_path / "x")
