"""Figures, tables, workbook and plots of a benchmark, from records made by hand; the records that are published still read."""

import copy
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from support import ROOT

from halfbert.benchmark import figures as benchmark_figures
from halfbert.benchmark import plots as benchmark_plots
from halfbert.benchmark import record as records
from halfbert.benchmark import report as benchmark_report
from halfbert.system.errors import ArtefactError, InputError, ResourceError

ENGINES = ("keras", "onnx")
PUBLISHED = sorted((ROOT / "results" / "published" / "benchmark").glob("*.json"))


def timed(seconds, disturbed=False):
    share = 0.2 if disturbed else 0.0
    total = sum(seconds)
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


def contestant(predictor, engine, factor, device="cpu", threads=2):
    """A contestant that takes `factor` milliseconds for one text, and half of that in batches."""
    seconds = factor / 1000
    cases = [case("single", 1, seconds), case("single", 1, 3 * seconds, lengths="fixed", part="model", calls=8)]
    cases += [case("offline", batch, batch * seconds / 2, part=part) for batch in (8, 32) for part in ("end to end", "model")]
    if device == "cpu":
        cases.append(case("paper", 1, seconds))
    memory = {"resident_after_import": 300_000_000, "peak_above_import": 123_000_000}
    starts = [
        records.Start(
            repeat=repeat,
            first_answer_seconds=1.5 + repeat / 10,
            import_seconds=1.0,
            load_seconds=0.25,
            **memory,
            gpu_peak=None if device == "cpu" else 456_000_000,
        )
        for repeat in range(2)
    ]
    return records.Contestant(
        predictor=predictor,
        engine=engine,
        device=device,
        threads=threads,
        setting=f"cpu, {threads} threads" if device == "cpu" else "gpu",
        weight_bytes=90_000_000 if predictor == "large" else 45_000_000,
        accuracy=0.75,
        equal_answers=1.0,
        cold=starts,
        cases=cases,
    )


def predictor(name, model, parameters, score):
    return records.Predictor(
        name=name,
        model=model,
        task="multiclass",
        labels=["=yes", "no"],
        maxlen=128,
        positions=512,
        weights_sha256="ab" * 32,
        agreement={},
        parameters=parameters,
        folder_bytes=4 * parameters + 1_000_000,
        sizes=records.Sizes(hidden=32, feed_forward=64, layers=2, labels=2),
        score=records.Score(name="accuracy", value=score),
        random_weights=False,
    )


def pair(a, b, ratio, verdict):
    return records.Pair(
        a=a.who,
        b=b.who,
        case=records.Work(lengths="natural", part="end to end", batch=1, texts=64),
        blocks=[
            records.PairBlock(
                a=[[1.0], [1.0]], b=[[0.5], [0.5]], cpu_seconds=3.0, wall_seconds=3.0, foreign_share=0.0, repeat=0, set_aside=[]
            )
        ],
        comparison=records.Comparison(
            a_seconds_per_text=0.010,
            b_seconds_per_text=0.010 / ratio,
            ratio=ratio,
            interval=[0.9 * ratio, 1.1 * ratio],
            itself=1.0,
            itself_spread=1.07,
            time_saved=1 - 1 / ratio,
            verdict=verdict,
        ),
    )


@pytest.fixture
def record():
    """Two predictors with two engines each, one engine that is not installed, two pairs."""
    times = (("large", "keras", 10), ("large", "onnx", 4), ("small", "keras", 5), ("small", "onnx", 2))
    contestants = [contestant(*each) for each in times]
    missing = records.Contestant(
        **{**vars(contestants[3].who), "engine": "torch"}, not_run="PyTorch is not installed: pip install torch"
    )
    described = {"command": [], "commit": None, "device": "cpu", "threads": 2, "precision": "", "seed": 0}
    made = records.Record(
        quick=False,
        stopped=None,
        protocol=records.Protocol(
            repeats=2, seconds=5.0, fixed_tokens=128, foreign_limit=0.05, most_attempts=3, samples_beyond_percentile=10
        ),
        environment=records.Environment(
            **described,
            hardware={"cpu": "A Processor", "cpus": 2, "vector_extensions": ["avx2"]},
            versions={"python": "3.11"},
            governor=None,
            load_average={"before": 0.1, "after": 1.2},
        ),
        texts=records.TextsUsed(
            name="things.csv",
            sha256="cd" * 32,
            rows=100,
            used=64,
            tokens={"large": records.Tokens(samples=64, median=9.0, mad=2.0, min=3, max=20, histogram={"9": 64})},
        ),
        predictors=[predictor("large", "bert", 22_000_000, 0.80), predictor("small", "distilbert", 11_000_000, 0.76)],
        ceilings={"2": 100.0},
        contestants=[*contestants, missing],
        pairs=[
            pair(contestants[0], contestants[2], 2.0, "B takes less time"),
            pair(contestants[1], contestants[3], 1.01, "inconclusive"),
        ],
        published=benchmark_report.PUBLISHED,
    )
    return with_figures(made)


def with_figures(record):
    record.figures = benchmark_figures.figures(record)
    return record


def of_cases(record, keep):
    """The record with only some cases of each contestant."""
    for each in record.contestants:
        each.cases = [case_ for case_ in each.cases if keep(case_)]
    return with_figures(record)


def section(text, heading):
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def line(text, *cells):
    """The cells of the one table line that begins with these."""
    found = [row for row in text.splitlines() if row.startswith("| " + " | ".join(cells) + " |")]
    assert len(found) == 1, found
    return [cell.strip() for cell in found[0].strip("|").split("|")]


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


def test_attempts_that_were_set_aside_do_not_count(record):
    before = copy.deepcopy(record.figures)
    for contestant_ in record.contestants:
        for case_ in contestant_.cases:
            case_.blocks[1].set_aside[0].seconds = [1000.0]
    assert benchmark_figures.figures(record) == before


def test_a_gpu_is_set_against_no_ceiling_of_the_processor(record):
    record.contestants = [contestant("large", "keras", 1, device="gpu")]
    assert {figure.share_of_ceiling for figure in benchmark_figures.figures(record)} == {None}


def test_points_of_the_plane(record):
    points = benchmark_figures.plane_points(record)
    assert [(p.predictor, p.engine) for p in points] == [(n, e) for n in ("large", "small") for e in ENGINES]
    assert {p.height_name for p in points} == {"accuracy on these texts"} and points[0].batch == 32
    for contestant_ in record.contestants:
        contestant_.accuracy = None
    points = benchmark_figures.plane_points(record)
    assert [p.height for p in points] == [0.80, 0.80, 0.76, 0.76]
    assert points[0].height_name == "accuracy on the run's test rows"
    for predictor_ in record.predictors:
        predictor_.score = None
    points = benchmark_figures.plane_points(record)
    assert [p.height for p in points] == [22.0, 22.0, 11.0, 11.0] and "no score" in points[0].height_name


# Markdown.


def test_one_text_at_a_time(record):
    text = section(benchmark_report.markdown(record), "One text at a time")
    # 256 samples are enough for the 95th percentile, not for the 99th; 16 are enough for none.
    assert line(text, "large", "keras", "natural", "end to end")[4] == "10.5 / 11 / 11 / –"
    assert line(text, "large", "keras", "128 tokens", "model")[4] == "– / – / – / –"


def test_many_texts(record):
    text = section(benchmark_report.markdown(record), "Many texts")
    assert line(text, "small", "onnx", "natural", "model")[4:] == ["955 ± 45.5", "955 ± 45.5"]
    assert "cpu, 2 threads, batch 8 | cpu, 2 threads, batch 32" in text


def test_processor_and_gpu_stand_side_by_side(record):
    record.contestants.append(contestant("small", "keras", 1, device="gpu"))
    with_figures(record)
    text = section(benchmark_report.markdown(record), "One text at a time")
    assert "| cpu, 2 threads | gpu |" in text
    assert line(text, "small", "keras", "natural", "end to end")[4:] == ["5.25 / 5.5 / 5.5 / –", "1.05 / 1.1 / 1.1 / –"]
    assert line(text, "small", "onnx", "natural", "end to end")[5] == "–"  # was not measured there


def test_an_engine_that_is_not_installed_is_a_row_that_says_so(record):
    text = section(benchmark_report.markdown(record), "Not measured")
    assert line(text, "small", "torch", "cpu, 2 threads")[3] == "PyTorch is not installed: pip install torch"


def test_pairs_name_seconds_ratio_and_share_of_time_saved(record):
    text = section(benchmark_report.markdown(record), "Pairs")
    found = line(text, "large, keras", "small, keras")
    assert found[2:] == ["cpu, 2 threads", "one text", "10", "5", "2.00", "1.80–2.20", "×/÷ 1.07", "50.0%", "B takes less time"]
    assert line(text, "large, onnx", "small, onnx")[-2:] == ["–", "inconclusive"]


def test_published_figures_stand_beside_the_measured_with_their_source(record):
    text = section(benchmark_report.markdown(record), "Published, and measured here")
    found = line(text, "one pass over STS-B's development texts, one at a time, on a CPU")
    assert found[1:] == ["668 s", "410 s", "1.63", "38.6%", "61.4%", "Sanh et al. 2019, arXiv:1910.01108, table 3"]
    published = [row for row in text.splitlines() if "arXiv:1910.01108" in row]
    assert any("40.0%" in row for row in published)  # smaller
    assert any("96.9%" in row for row in published)  # of the score
    assert "| 124.7 s | 63.6 s | 1.96 |" in text
    assert line(text, "one pass over the texts, one at a time: keras, cpu, 2 threads")[1:5] == [
        "0.672 s",
        "0.336 s",
        "2.00",
        "50.0%",
    ]
    assert "22.0 M" in text and "95.0%" in text  # 76 of 80 points


def test_without_both_kinds_nothing_is_set_beside_the_published(record):
    for predictor_ in record.predictors:
        predictor_.model = "bert"
    assert "Published" not in benchmark_report.markdown(record)


def test_never_faster_by_a_bare_share(record):
    text = benchmark_report.markdown(record)
    assert "% faster" not in text and "% slower" not in text


def test_a_quick_look_says_that_it_is_one(record):
    assert "quick look" not in benchmark_report.markdown(record)
    record.quick = True
    assert "quick look" in benchmark_report.markdown(record)
    assert "quick look" in benchmark_report.closing(record, Path("results/benchmark/things"))


def test_a_benchmark_that_was_stopped_says_so(record):
    assert "Stopped" not in benchmark_report.markdown(record)
    record.stopped = "SIGINT"
    assert "Stopped by SIGINT before all was measured" in benchmark_report.markdown(record)
    record.pairs = []
    for each in of_cases(record, lambda _: False).contestants:
        each.cold = []
    assert "## Sizes and scores" in benchmark_report.markdown(record)  # with nothing measured at all


def test_blocks_that_were_run_again_are_said(record):
    all_blocks = [block for _, case_ in benchmark_figures.measured(record) for block in case_.blocks]
    blocks = len(all_blocks) + 2
    assert f": {blocks // 2 - 1} of {blocks}; still disturbed in the end: 0." in benchmark_report.markdown(record)
    for block in [*all_blocks, *(pair_.blocks[0] for pair_ in record.pairs)]:
        block.foreign_share = None
    assert "unknown on this system" in benchmark_report.markdown(record)


def test_no_score_of_random_weights(record):
    for predictor_ in record.predictors:
        predictor_.score = None
    for each in record.contestants:
        each.accuracy = None
    text = section(benchmark_report.markdown(record), "Sizes and scores")
    assert line(text, "large", "keras", "cpu, 2 threads")[6] == "–"


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


def test_the_record_keeps_every_sample_on_the_line_of_its_block(record, tmp_path):
    file = benchmark_report.record_file(tmp_path / "things")
    assert file == tmp_path / "things.json"
    records.write(record, file)
    assert records.read(file) == record
    assert max(text.count(",") for text in file.read_text().splitlines()) >= 127


def test_a_number_that_is_not_finite_loses_no_record(record, tmp_path):
    record.contestants[0].accuracy = float("nan")
    record.environment.command.append("caf\udce9.csv")  # as Python reads a file name in Latin-1
    records.write(record, tmp_path / "x.json")
    assert records.read(tmp_path / "x.json").contestants[0].accuracy is None


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_records_still_read_and_give_the_published_figures(file, tmp_path):
    read = records.read(file)
    records.write(read, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8")) == json.loads(file.read_text(encoding="utf-8"))
    medians = [figure.texts_per_second.median for figure in benchmark_figures.figures(read)]
    assert medians == pytest.approx([figure.texts_per_second.median for figure in read.figures])
    assert "## Pairs\n" in benchmark_report.markdown(read)


def test_another_file_is_no_record(tmp_path):
    (tmp_path / "x.json").write_text('{"schema_version": 1}')
    with pytest.raises(ArtefactError, match=r"x\.json: not the record of a benchmark"):
        records.read(tmp_path / "x.json")


def test_output_that_is_there_already(tmp_path):
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


def test_what_the_report_needs_is_there_before_anything_is_timed(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else find_spec(name))
    with pytest.raises(ResourceError, match=r"needs jinja2: pip install 'halfbert\[train\]'"):
        benchmark_report.check_output(tmp_path / "things", overwrite=False)


PLOTS = ("latency.png", "throughput.png", "speed_size_accuracy.png")


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


def test_shares_of_the_ceiling_of_the_lengths_that_were_timed(record):
    for each in record.contestants[:4]:
        each.cases.append(case("offline", 32, 0.1, lengths="fixed", part="model"))
    shown = benchmark_report.markdown(with_figures(record))
    assert "share of ceiling, natural" in shown and "share of ceiling, 128 tokens" in shown
    of_cases(record, lambda case_: case_.lengths == "natural")
    assert "share of ceiling, 128 tokens" not in benchmark_report.markdown(record)


def test_a_rate_counts_the_texts_of_a_batch_that_is_not_full(record):
    """12 texts in batches of 8 are 8 and 4."""
    record.contestants[0].cases = [case("offline", 8, 1.0, texts=12, calls=4)]
    assert with_figures(record).figures[0].texts_per_second.max == pytest.approx(6.0)


@pytest.mark.parametrize("scores", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)])
def test_a_score_of_zero_loses_no_report(record, scores):
    for each, score in zip(record.predictors, scores, strict=True):
        each.score = records.Score(name="micro F1", value=score)
    text = section(benchmark_report.markdown(record), "Published, and measured here")
    assert "–" in line(text, "score (micro F1 on the runs' test rows)")[3:6]


@pytest.mark.filterwarnings("error:No artists")
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
