"""Figures, tables, workbook and plots of a benchmark, from records made by hand; the records that are published still read."""

import copy
import importlib.util
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import browser
import openpyxl
import pytest
from support import ROOT

from halfbert.benchmark import figures as benchmark_figures
from halfbert.benchmark import page as benchmark_page
from halfbert.benchmark import plots as benchmark_plots
from halfbert.benchmark import record as records
from halfbert.benchmark import report as benchmark_report
from halfbert.output.page import write
from halfbert.system.errors import ArtefactError, InputError, ResourceError

PUBLISHED = sorted((ROOT / "results" / "published" / "benchmark").glob("*.json"))
BESIDE = "Published, and measured here"
PLOTS = ("latency.png", "throughput.png", "speed_size_accuracy.png")


def timed(seconds, disturbed=False):
    share, total = 0.2 if disturbed else 0.0, sum(seconds)
    return records.Timed(seconds=seconds, cpu_seconds=2 * total, wall_seconds=total, foreign_share=share, disturbed=disturbed)


def case(scenario, batch, seconds_a_call, texts=64, lengths="natural", part="end to end", calls=128):
    """Two repeats, of which the second takes a tenth longer; its first attempt was disturbed."""
    slower = [1.1 * seconds_a_call] * calls
    attempts = ([seconds_a_call] * calls, []), (slower, [timed(slower, disturbed=True)])
    blocks = [
        records.Block(**vars(timed(seconds)), repeat=repeat, warm_up_seconds=[0.5, 0.25], set_aside=set_aside)
        for repeat, (seconds, set_aside) in enumerate(attempts)
    ]
    kind = {"scenario": scenario, "lengths": lengths, "part": part, "batch": batch}
    return records.MeasuredCase(**kind, texts=texts, gflop=6.4, blocks=blocks)


def contestant(predictor, engine, factor, device="cpu"):
    """A contestant that takes `factor` milliseconds for one text, and half of that in batches."""
    seconds = factor / 1000
    cases = [case("single", 1, seconds), case("single", 1, 3 * seconds, lengths="fixed", part="model", calls=8)]
    cases += [case("offline", batch, batch * seconds / 2, part=part) for batch in (8, 32) for part in ("end to end", "model")]
    cases += [case("paper", 1, seconds)] if device == "cpu" else []
    memory = {"resident_after_import": 300_000_000, "peak_above_import": 123_000_000, "gpu_peak": None}
    cold = {"import_seconds": 1.0, "load_seconds": 0.25, **memory}
    measured = {"weight_bytes": 90_000_000 if predictor == "large" else 45_000_000, "accuracy": 0.75, "equal_answers": 1.0}
    measured["cold"] = [records.Start(repeat=n, first_answer_seconds=1.5 + n / 10, **cold) for n in range(2)]
    who = {"predictor": predictor, "engine": engine, "device": device, "threads": 2}
    return records.Contestant(**who, setting="cpu, 2 threads" if device == "cpu" else "gpu", **measured, cases=cases)


def pair(a, b, ratio, verdict):
    block = {"a": [[1.0], [1.0]], "b": [[0.5], [0.5]], "cpu_seconds": 3.0, "wall_seconds": 3.0, "foreign_share": 0.0}
    seconds = {"a_seconds_per_text": 0.010, "b_seconds_per_text": 0.010 / ratio}
    found = {"ratio": ratio, "interval": [0.9 * ratio, 1.1 * ratio], "itself": 1.0, "itself_spread": 1.07}
    return records.Pair(
        a=a.who,
        b=b.who,
        case=records.Work(lengths="natural", part="end to end", batch=1, texts=64),
        blocks=[records.PairBlock(**block, repeat=0, set_aside=[])],
        comparison=records.Comparison(**found, **seconds, time_saved=1 - 1 / ratio, verdict=verdict),
    )


@pytest.fixture
def record():
    """Two predictors with two engines each, one engine that is not installed, two pairs; the rest as it was published."""
    published = records.read(PUBLISHED[0])
    times = (("large", "keras", 10), ("large", "onnx", 4), ("small", "keras", 5), ("small", "onnx", 2))
    a, b, c, d = contestants = [contestant(*each) for each in times]
    missing = records.Contestant(**{**vars(d.who), "engine": "torch"}, not_run="PyTorch is not installed: pip install torch")
    sizes = (("large", "bert", 22_000_000, 0.80), ("small", "distilbert", 11_000_000, 0.76))
    predictors = [
        replace(known, name=name, model=model, parameters=parameters, score=records.Score(name="accuracy", value=score))
        for known, (name, model, parameters, score) in zip(published.predictors, sizes, strict=True)
    ]
    pairs = [pair(a, c, 2.0, "B takes less time"), pair(b, d, 1.01, "inconclusive")]
    made = {"predictors": predictors, "contestants": [*contestants, missing], "pairs": pairs, "ceilings": {"2": 100.0}}
    return with_figures(replace(published, **made))


def with_figures(record):
    record.figures = benchmark_figures.figures(record)
    return record


def of_cases(record, keep):
    """The record with only some cases of each contestant."""
    for each in record.contestants:
        each.cases = [case_ for case_ in each.cases if keep(case_)]
    return with_figures(record)


def rows_of(record, heading):
    """The cells of each line of a table of the report."""
    text = benchmark_report.markdown(record).split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("| ")]


def line(record, heading, *cells):
    """The rest of the one line of a table that begins with these cells."""
    (found,) = (row for row in rows_of(record, heading) if row[: len(cells)] == list(cells))
    return found[len(cells) :]


# Figures.


def test_figures_of_a_case(record):
    figure = next(f for f in record.figures if f.kind == ("offline", "natural", "model", 32))
    assert str(figure.who) == "large, keras, cpu, 2 threads"
    # 32 texts in 0.16 s, and in 0.176 s in the repeat that took a tenth longer.
    rates = figure.texts_per_second
    assert (rates.max, rates.min) == (pytest.approx(200.0), pytest.approx(200 / 1.1))
    assert rates.samples == 2 and figure.seconds_per_call.samples == 256
    assert figure.seconds_per_pass.median == pytest.approx(0.336)  # 64 texts
    assert figure.gflop_per_second == pytest.approx(6.4 / 0.336)
    assert figure.share_of_ceiling == pytest.approx(6.4 / 0.336 / 100)
    assert figure.processors_used == pytest.approx(2.0)
    assert figure.warm_up_seconds == 0.75
    assert (figure.blocks_run_again, figure.blocks_disturbed) == (1, 0)


def test_what_does_not_count(record):
    """Attempts that were set aside; the processor's ceiling, of a GPU; of a batch that is not full, the texts that it lacks."""
    before = copy.deepcopy(record.figures)
    for contestant_ in record.contestants:
        for case_ in contestant_.cases:
            case_.blocks[1].set_aside[0].seconds = [1000.0]
    assert benchmark_figures.figures(record) == before
    record.contestants = [contestant("large", "keras", 1, device="gpu")]
    assert {figure.share_of_ceiling for figure in benchmark_figures.figures(record)} == {None}
    record.contestants[0].cases = [case("offline", 8, 1.0, texts=12, calls=4)]  # batches of 8 and 4
    assert with_figures(record).figures[0].texts_per_second.max == pytest.approx(6.0)


def without_accuracies(record):
    for each in record.contestants:
        each.accuracy = None
    return record


def without_scores(record):
    for each in without_accuracies(record).predictors:
        each.score = None
    return record


@pytest.mark.parametrize(
    ("change", "name", "heights"),
    [
        (lambda record: record, "accuracy on these texts", [0.75] * 4),
        (without_accuracies, "accuracy on the run's test rows", [0.80, 0.80, 0.76, 0.76]),
        (without_scores, None, [22.0, 22.0, 11.0, 11.0]),
    ],
)
def test_points_of_the_plane(record, change, name, heights):
    points, found = benchmark_figures.plane_points(change(record))
    assert [(f.predictor, f.engine) for f, _ in points] == [(n, e) for n in ("large", "small") for e in ("keras", "onnx")]
    assert found == name and [height for _, height in points] == heights and {f.batch for f, _ in points} == {32}


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


def page_data(record, folder):
    """Tables and record of the page that is written of a benchmark."""
    pictures = benchmark_plots.draw(record, folder)
    write(benchmark_page.page_of(record, pictures, folder, "things"), folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/png") == len(pictures)
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', text)
    return text, *map(json.loads, found)


def test_the_page_has_every_contestant_pair_and_figure(record, tmp_path):
    record.predictors[0].learned_from = record.texts.used
    text, (contestants, pairs, missing, every), data = page_data(record, tmp_path)
    assert "The fastest in batches is small, onnx: 955 texts a second, 5 times as fast as large, keras." in text
    assert (
        "trained large or chose its epoch, so its accuracy on these texts means nothing" in text and "trained small" not in text
    )
    found = {tuple(row[:2]): row[3:] for row in contestants["rows"]}
    assert set(found) == {("large", "keras"), ("large", "onnx"), ("small", "keras"), ("small", "onnx")}
    score, rate, one, start, memory, weights, equal = found["small", "onnx"]
    assert (score, start, memory, weights, equal) == (0.75, pytest.approx(1.55), 123, 45, 1.0)
    assert (rate, one) == (pytest.approx(954.5, abs=0.1), pytest.approx(2.1, abs=0.01))
    assert [row[3] for row in pairs["rows"]] == [2.0, 1.01] and missing["rows"][0][:2] == ["small", "torch"]
    assert len(every["rows"]) == len(record.figures) and data["texts"]["used"] == record.texts.used
    assert "cases" not in data["contestants"][0] and "blocks" not in data["pairs"][0]
    record.quick, record.stopped = True, "SIGINT"
    assert "A quick look, too short to quote figures from. Stopped by SIGINT" in page_data(record, tmp_path)[0]


def test_the_page_of_a_benchmark_that_measured_nothing(record, tmp_path):
    for each in of_cases(without_scores(record), lambda _: False).contestants:
        each.cold, each.not_run = [], "stopped"
    record.pairs = []
    text, tables, _ = page_data(record, tmp_path)
    assert "0 contestants measured." in text and len(tables) == 1


def test_the_page_is_sound_in_a_browser(record, tmp_path):
    with browser.browser() as running:
        page_data(record, tmp_path)
        browser.check(running, tmp_path / "report.html")


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
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else find_spec(name))
    with pytest.raises(ResourceError, match=r"needs jinja2: pip install 'halfbert\[train\]'"):
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
