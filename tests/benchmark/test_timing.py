"""What is timed: texts, cases and pairs, and the course with processes that only pretend."""

import itertools
import signal
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import tiny_predictors
from support import example_rows, write_csv

from halfbert.benchmark import course, statistics, timing, trial
from halfbert.benchmark import plan as benchmark_plan
from halfbert.benchmark import record as benchmark_records
from halfbert.benchmark.plan import Plan, Subject, Texts, count_known
from halfbert.benchmark.record import Predictor, Sizes, TextsUsed
from halfbert.cli.command import VERBS
from halfbert.data.equality import digests
from halfbert.predictor.manifest import DataFile, Manifest, TrainingData
from halfbert.predictor.manifest import write as write_manifest
from halfbert.system import console
from halfbert.system.errors import ArtefactError, InputError, ResourceError


def parse(*arguments):
    return VERBS["benchmark"].parse([str(argument) for argument in arguments])


@pytest.fixture
def table(tmp_path):
    return write_csv(tmp_path / "things.csv", example_rows(40))


def test_texts_are_drawn_the_same_way_each_time(table):
    chosen = parse("a", "--texts", table, "--label-column", "label", "--rows", 12)
    first, second = benchmark_plan.read_texts(chosen), benchmark_plan.read_texts(chosen)
    assert first == second
    known = dict(example_rows(40))
    natural, fixed, used = first.by_lengths["natural"], first.by_lengths["fixed"], first.used
    assert len(set(natural)) == 12 and used.rows == 40 and used.used == 12
    assert [known[text] for text in natural] == first.labels
    assert natural != list(known)[:12] and first.whole_table == list(known)
    assert used.name == "things.csv" and len(used.sha256) == 64
    # Those of fixed length have words enough, of the natural ones; a text without a word is not waited for.
    assert len(fixed) == 12 and len(set(fixed)) > 1 and all(len(text.split()) >= 128 for text in fixed)
    assert set(fixed[0].split()) <= {word for text in natural for word in text.split()}
    assert len(benchmark_plan._joined([""], 1)[0].split()) == 128


def test_texts_that_are_missing_and_those_that_are_embedded(tmp_path, capsys):
    file = write_csv(tmp_path / "holes.csv", [("a b", "x"), ("", "y"), ("c d", "")])
    without_label = write_csv(tmp_path / "hole.csv", [("a b", "x"), ("c d", "")])
    with pytest.raises(InputError, match="column 'text' is empty or blank in 1 line: line 3"):
        benchmark_plan.read_texts(parse("a", "--texts", file))
    with pytest.raises(InputError, match="'label'"):
        benchmark_plan.read_texts(parse("a", "--texts", without_label, "--label-column", "label"))
    kept = benchmark_plan.read_texts(parse("a", "--texts", file, "--drop-missing"))
    assert sorted(kept.by_lengths["natural"]) == ["a b", "c d"]
    assert "dropped" in capsys.readouterr().out and kept.labels is None
    with pytest.raises(InputError, match="no column 'body'"):
        benchmark_plan.read_texts(parse("a", "--texts", file, "--text-column", "body"))
    embedded = benchmark_plan.read_texts(parse("a"))
    assert embedded.used.name == "halfbert/data/messages_test.xlsx" and embedded.used.rows == len(embedded.labels) == 232
    assert "delivery" in embedded.labels


def test_cases():
    texts = Texts(TextsUsed(name="t", sha256="", rows=232, used=232), {"natural": ["a"] * 232, "fixed": ["b"] * 100}, None, [])
    found = benchmark_plan.cases(parse("a"), texts)
    kinds = [case.kind for case in found]
    both = list(itertools.product(("natural", "fixed"), ("end to end", "model")))
    assert {kind[1:3] for kind in kinds if kind[0] == "single"} == set(both)
    assert {kind[1:] for kind in kinds if kind[0] == "offline"} == {(*kind, b) for kind in both for b in (8, 32, 128)}
    assert len(kinds) == len(set(kinds)) == 4 + 12 + 1
    for case in found:
        # Every batch is full, and all of them see the same texts; one at a time, each text comes once.
        natural, fixed = (256, 128) if case.scenario == "offline" else (232, 100)
        assert case.texts == (natural if case.lengths == "natural" else fixed)
    few = benchmark_plan.cases(parse("a", "--quick", "--scenarios", "offline"), texts)
    assert {case.batch for case in few} == {8, 32} and {case.scenario for case in few} == {"offline"}
    assert benchmark_plan.cases(parse("a", "--scenarios", "cold"), texts) == []
    found = benchmark_plan.cases(parse("a", "--scenarios", "offline", "--lengths", "natural", "--batches", "100"), texts)
    assert {(case.lengths, case.batch, case.texts) for case in found} == {("natural", 100, 300)}


def test_operations_of_the_matrix_products():
    """By hand: one layer of 2 units and 3 feed-forward units, one label, texts of 1 and 2 tokens."""
    by_hand = 0
    for tokens in (1, 2):
        by_hand += 4 * tokens * 2 * 2  # query, key, value, output
        by_hand += 2 * tokens * tokens * 2  # scores, and the weighted sum of the values
        by_hand += 2 * tokens * 2 * 3 + 2 * 2 + 2 * 1  # feed-forward, pooler, classifier
    sizes = Sizes(hidden=2, feed_forward=3, layers=1, labels=1)
    assert benchmark_plan.gflop(sizes, [1, 2]) == pytest.approx(2 * by_hand / 1e9)


def plan(*arguments, predictors=("p", "q"), labels=None, **changes):
    described = {"model": "bert", "task": "multiclass", "labels": ["x", "y"], "maxlen": 64, "positions": 512, "score": None}
    described |= {"weights_sha256": "", "parameters": 10, "folder_bytes": 20, "random_weights": False, **changes}
    sizes = Sizes(hidden=2, feed_forward=3, layers=1, labels=2)
    subjects = [Subject(Path(n), Predictor(name=n, agreement={}, sizes=sizes, **described)) for n in predictors]
    natural = ["a b", "c", "d e f"]
    texts = Texts(TextsUsed(name="t", sha256="", rows=3, used=3), {"natural": natural, "fixed": ["g"]}, labels, natural)
    return Plan(parse("a", *arguments), texts, subjects)


def test_contestants():
    found = plan("--engines", "keras,onnx", "--devices", "cpu,gpu", "--threads", "1,2").contestants
    settings = {(c.predictor, c.engine, c.setting) for c in found}
    expected = itertools.product(("p", "q"), ("keras", "onnx"), ("cpu, 1 thread", "cpu, 2 threads", "gpu"))
    assert settings == set(expected) and len(found) == len(settings)
    with pytest.raises(InputError, match="called 'p'"):
        plan(predictors=("p", "q", "p"))


def test_pairs():
    """Each engine against the predictor's first, each predictor against the first, and every A against itself."""
    found = timing.pairs(plan("--engines", "ktrain,keras,onnx", "--threads", "1,2", "--scenarios", "single"))
    names = [((pair.a.predictor, pair.a.engine), (pair.b.predictor, pair.b.engine)) for pair in found]
    against = {((p, "ktrain"), (p, engine)) for p in ("p", "q") for engine in ("keras", "onnx")}
    against |= {(("p", engine), ("q", engine)) for engine in ("ktrain", "keras", "onnx")}
    assert set(names) == against | {(a, a) for a, _ in against} and len(set(names)) == len(names)
    assert {(pair.a.threads, pair.b.threads, pair.case.batch) for pair in found} == {(2, 2, 1)}


def test_what_is_in_no_pair():
    made = plan("--engines", "keras,onnx", "--threads", "1")
    for contestant in made.contestants:
        contestant.not_run = "it is not installed" if contestant.engine == "keras" else None
    assert {who.engine for pair in timing.pairs(made) for who in (pair.a, pair.b)} == {"onnx"}
    assert {pair.case.batch for pair in timing.pairs(made)} == {1, 32}
    without = plan("--engines", "onnx", "--batches", "8,16", "--scenarios", "offline", "--threads", "1")
    assert {pair.case.batch for pair in timing.pairs(without)} == {16}
    alone = plan("--engines", "onnx", "--threads", "1", predictors=("p",))
    assert timing.pairs(alone) == []
    assert alone.line(pairs=0) == "1 contestant, 17 cases, 0 pairs, 10 repeats of 5 s each: about 14 minutes, or more"


# The course, with processes that only pretend.


class Pretender:
    """Stands in for a Worker: knows how long a text takes each engine, or what it fails with."""

    milliseconds = {"keras": 4.0, "onnx": 2.0, "torch": 2.0}
    started = []

    def __init__(self, job, threads):
        self.engine = job["engine"]
        Pretender.started.append(self.engine)
        if job["engine"] == "ktrain":
            raise ResourceError("ktrain is not installed: pip install ktrain")
        self.first_answer_seconds = 1.5
        seconds = {"import_seconds": 1.0, "load_seconds": 0.25}
        self.ready = {"weight_bytes": 1000, "model_alone": self.engine != "torch", "seconds": seconds}
        self.random = np.random.default_rng(len(Pretender.started))

    def ask(self, command):
        if command["do"] == "texts":
            return {kind: [[len(text.split())] for text in command[kind]] for kind in ("natural", "fixed")}
        answers = ["x", "y", "x"] if self.engine == "keras" else ["x", "y", "y"]
        replies = {
            "answers": {"answers": answers, "probabilities": [[0.9, 0.1] if each == "x" else [0.4, 0.6] for each in answers]},
            "warm": {"seconds": [1.0]},
            "memory": {"resident_after_import": 1, "peak_above_import": 2, "gpu_peak": None},
        }
        if command["do"] in replies:
            return replies[command["do"]]
        calls = -(-command["work"]["texts"] // command["work"]["batch"])
        typical = self.milliseconds[self.engine] / 1000 * command["work"]["batch"]
        seconds = (typical * np.exp(self.random.normal(0, 0.02, calls))).tolist()
        return {"seconds": seconds, "cpu_seconds": sum(seconds), "wall_seconds": sum(seconds)}

    def close(self):
        pass


@pytest.fixture
def pretended(monkeypatch):
    """Makes a plan whose workers only pretend."""
    monkeypatch.setattr(trial, "Worker", Pretender)
    monkeypatch.setattr(statistics, "FOREIGN_LIMIT", 1.0)  # nothing disturbs what only pretends
    monkeypatch.setattr(Pretender, "started", [])
    return lambda *arguments, **changes: plan(*arguments, "--threads", "1", **changes)


def course_of(made, stop=None):
    """The record of a plan after all of its course but the ceilings."""
    stop = stop or console.StopRequest()
    timing.measure_alone(made, stop)
    return course.record_of(made, timing.measure_pairs(made, stop), {}, None, stop)


def test_a_missing_runtime_is_noted_and_the_others_run(pretended, capsys):
    made = pretended("--engines", "ktrain,keras,onnx", labels=["x", "y", "y"])
    trial.try_all(made)
    why = "ktrain is not installed: pip install ktrain"
    assert {c.engine: c.not_run for c in made.contestants} == {"ktrain": why, "keras": None, "onnx": None}
    assert why in capsys.readouterr().out
    compared = {c.engine: [round(3 * share) for share in (c.equal_answers, c.accuracy)] for c in made.running}
    assert compared == {"keras": [3, 2], "onnx": [2, 3]}
    with pytest.raises(ResourceError, match="no engine runs on the cpu: ktrain is not installed"):
        trial.try_all(pretended("--engines", "ktrain"))


def test_kept_answers_of_keras_are_the_reference_where_keras_does_not_run(pretended, monkeypatch, tmp_path):
    made = pretended("--engines", "onnx", predictors=("p",))
    made.subjects[0].folder = tmp_path
    (tmp_path / trial.kept_answers.FILE).parent.mkdir(parents=True)
    (tmp_path / trial.kept_answers.FILE).touch()
    monkeypatch.setattr(trial.manifest, "check", lambda _: Mock(**{"manifest.thresholds": None}))
    kept = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])  # of the whole table, and onnx answers x, y, y
    monkeypatch.setattr(trial.kept_answers, "read", lambda _, table: kept if table == made.texts.whole_table else None)
    trial.try_all(made)
    (found,) = made.running
    assert found.equal_answers == pytest.approx(2 / 3) and found.largest_difference == pytest.approx(0.3)


@pytest.mark.parametrize(("labels", "random_weights"), [(["x", "y", "z"], False), (["x", "y", "y"], True)])
def test_accuracy_only_if_the_labels_are_the_predictor_s(pretended, labels, random_weights):
    made = pretended("--engines", "onnx", labels=labels, random_weights=random_weights)
    trial.try_all(made)
    assert {(c.accuracy, c.equal_answers) for c in made.running} == {(None, None)}


@pytest.mark.parametrize(
    ("trained", "known", "line"),
    [
        (
            ["A  B", "c", "other"],
            3,
            "warning: 3 of the 3 texts trained p or chose its epoch, so its accuracy on these texts means",
        ),
        (["c"], 2, "warning: 2 of the 3 texts trained p or chose its epoch, so its accuracy on these texts means nothing"),
        ([], 1, "warning: 1 of the 3 texts trained p or chose its epoch, so its accuracy on these texts is too high"),
        (None, None, "note: p was trained on rows of t; its manifest does not say on which"),
    ],
)
def test_texts_that_the_predictor_learned_from_are_counted_whatever_file_they_are_from(tmp_path, capsys, trained, known, line):
    made = plan("--engines", "onnx", predictors=("p",), labels=["x", "y", "x"])
    made.subjects[0].folder, made.texts.used.sha256 = tmp_path, "1" * 64
    digested = {"train_texts": digests(trained), "val_texts": digests(["d e F"])} if trained is not None else {}
    data = TrainingData([DataFile(role="train", sha256="1" * 64)], **digested)
    write_manifest(Manifest("multiclass", ["x", "y"], None, 64, data=data), tmp_path)
    count_known(made.subjects, made.texts)
    assert made.subjects[0].described.learned_from == known and line in capsys.readouterr().out
    made.texts.labels = None  # there is no accuracy that could be too good
    count_known(made.subjects, made.texts)
    assert "warning" not in capsys.readouterr().out
    tiny_predictors.change_manifest(tmp_path, data={"train_texts": "AAA="})
    with pytest.raises(ArtefactError, match="its digests of texts are damaged"):
        count_known(made.subjects, made.texts)


def test_a_signal_ends_the_timing_and_what_was_measured_stays(pretended, monkeypatch):
    made, stop = pretended("--engines", "keras,onnx", "--repeats", 3, "--scenarios", "single"), console.StopRequest()
    trial.try_all(made)
    stop.gently = True
    close = Pretender.close

    def signalled(self):
        if len(Pretender.started) == 4 + 6:  # after four tries, in the sixth turn
            stop._handle(signal.SIGTERM, None)
        close(self)

    monkeypatch.setattr(Pretender, "close", signalled)
    record = course_of(made, stop)
    assert [len(c.cases[0].blocks) for c in record.contestants] == [1, 1, 2, 2]
    assert record.stopped == "SIGTERM" and not any(pair.comparison for pair in record.pairs)
    assert len(Pretender.started) == 4 + 6


@pytest.mark.parametrize("failure", [ResourceError("out of memory"), ArtefactError("altered"), InputError("x: no")])
def test_a_contestant_that_fails_later_keeps_what_it_did(pretended, monkeypatch, capsys, failure):
    made = pretended("--engines", "keras,onnx", "--repeats", 2, "--scenarios", "single,cold")
    trial.try_all(made)
    ask, asked = Pretender.ask, []

    def failing(self, command):
        if self.engine == "onnx" and command["do"] == "block":
            asked.append(command)
            if len(asked) == 4:
                raise failure
        return ask(self, command)

    monkeypatch.setattr(Pretender, "ask", failing)
    record = course_of(made)
    failed = next(c for c in made.contestants if c.not_run)
    assert (failed.not_run, failed.engine) == (str(failure), "onnx")
    assert [len(case.blocks) for case in failed.cases] == [1, 1, 1, 0] and len(asked) > 4
    assert str(failure) in capsys.readouterr().out
    assert all(pair.comparison for pair in record.pairs if pair.a != pair.b)


def test_a_pair_that_fails_loses_only_itself(pretended, monkeypatch, capsys):
    made = pretended("--engines", "onnx", "--repeats", 1, "--scenarios", "single")
    trial.try_all(made)
    timing.measure_alone(made, console.StopRequest())

    monkeypatch.setattr(timing, "_four_blocks", Mock(side_effect=ArtefactError("altered")))
    assert not any(pair.comparison for pair in timing.measure_pairs(made, console.StopRequest()))
    assert "left out, repeat 1: altered" in capsys.readouterr().out


def test_what_was_never_compared_is_compared_first(pretended, monkeypatch):
    proven = []
    monkeypatch.setattr(trial, "prove", lambda subject, texts, names, threads: proven.append((subject.described.name, names)))
    monkeypatch.setattr(trial.engines, "installed", lambda name: name != "torch")
    engines = ("--engines", "ktrain,keras,onnx,onnx-int8,torch")
    made = pretended(*engines)
    made.subjects[1].described.agreement = {"onnx": None}
    trial.prove_missing(made)
    assert proven == [("p", ["onnx", "onnx-int8"]), ("q", ["onnx-int8"])]
    proven.clear()
    trial.prove_missing(pretended(*engines, "--allow-disagreement"))
    trial.prove_missing(pretended(*engines, random_weights=True))
    assert proven == []


def test_a_whole_course(pretended, tmp_path):
    made = pretended("--engines", "keras,onnx,torch", "--repeats", 3)
    trial.try_all(made)
    Pretender.started.clear()
    record = course_of(made)
    first, second, third = (Pretender.started[start : start + 6] for start in (0, 6, 12))
    assert first == third == second[::-1]  # a fresh process each, and turns that turn round
    assert len(Pretender.started) == 18 + 2 * 3 * len({(pair.a, pair.b) for pair in record.pairs})
    benchmark_records.write(record, tmp_path / "x.json")
    assert benchmark_records.read(tmp_path / "x.json") == record
    for contestant in record.contestants:
        assert [start.repeat for start in contestant.cold] == [0, 1, 2]
        kinds = {(case.lengths, case.part) for case in contestant.cases}
        if contestant.engine == "torch":  # pretends to take texts alone, and to truncate them below the fixed length
            assert kinds == {("natural", "end to end")}
        else:
            assert len(contestant.cases) == 17 and len(kinds) == 4
        for case in contestant.cases:
            assert [block.repeat for block in case.blocks] == [0, 1, 2]
            assert sum(len(block.warm_up_seconds) for block in case.blocks) == 3
    assert len(record.figures) == 2 * (17 + 17 + 5)
    compared = [pair for pair in record.pairs if pair.comparison]
    verdicts = {(p.a.engine, p.b.engine, p.a.predictor == p.b.predictor): p.comparison.verdict for p in compared}
    assert verdicts["keras", "onnx", True] == "B takes less time"
    assert verdicts["onnx", "onnx", False] == "inconclusive"  # two predictors that are equally fast
    assert record.texts.tokens["p"].histogram == {"1": 1, "2": 1, "3": 1}
