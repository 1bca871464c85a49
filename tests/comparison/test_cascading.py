"""The cascade as a contestant: its cut by validation rows alone, its answers in splits and folds, its size and speed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import end_here, example_rows, write_csv

from halfbert.comparison import cascading, course, judging, rule
from halfbert.comparison.fitting import Fits
from halfbert.comparison.record import Contestant, Score, Speed
from halfbert.options import CompareOptions
from halfbert.output import record as records
from halfbert.predictor.validated import Validated
from halfbert.scoring import cascades
from halfbert.system.errors import ArtefactError, InputError

LABELS, ROWS = 3, 400
ONE_HOT = np.eye(LABELS, dtype=bool)


def drawn(seed):
    """Truth, the small one's answers, right where it is sure, the large one's, always right, and the small one's confidence."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, LABELS, ROWS)
    confidence = rng.random(ROWS).astype(np.float32)
    wrong = confidence < rng.random(ROWS) * 0.4
    return ONE_HOT[truth], ONE_HOT[(truth + wrong) % LABELS], ONE_HOT[truth], confidence


def fitted(work, name, seed, folds=1):
    """A fit's results, as it leaves them: answers to validation rows and to test rows, which the fold's number draws."""
    which = ("distilbert", "bert").index(name.removeprefix("student").partition("-")[0] or "distilbert")
    labels, of_folds = [], []
    for fold in range(folds):
        label = f"{name}-seed{seed}-fold{fold}"
        folder = work / "results" / label
        folder.mkdir(parents=True)
        for part, number in (("val", 100 + fold), ("test", 10 * seed + fold)):
            truth, *answers, confidence = drawn(number)
            confidence = confidence if which == 0 else np.ones(ROWS, np.float32)
            if part == "val":
                Validated.of([f"text {row}" for row in range(ROWS)], truth, answers[which], confidence).write(folder)
            else:
                records.write_answers(answers[which].astype(float), truth, range(ROWS), folder, confidence)
                of_folds.append(answers[which])
        labels.append(label)
    return SimpleNamespace(parts=tuple(labels), answers=np.concatenate(of_folds))


def experiment(work, truth, folds=None, **options):
    notes = []
    dealt = None if folds is None else SimpleNamespace(fold_of=np.repeat(np.arange(folds), ROWS))
    given = {"distill": False, "cascade": True, "task": "multiclass", "price_per_hour": None}
    return SimpleNamespace(
        options=SimpleNamespace(**given | options),
        truth=truth,
        dealt=dealt,
        work=SimpleNamespace(folder=Path(work)),
        note=notes.append,
        notes=notes,
    )


def test_each_seeds_cut_is_of_its_validation_rows_and_its_score_of_test_rows(tmp_path, capsys):
    seeds = range(2)
    fits = Fits({name: [fitted(tmp_path, name, seed) for seed in seeds] for name in ("distilbert", "bert")})
    truth = drawn(0)[0]
    found = cascading.find(experiment(tmp_path, truth), fits)
    of_val = cascades.Paired(*drawn(100))
    cut = cascades.choose(of_val, cascades.MARGIN)
    assert 0 < cut.passed_on < 0.6
    expected = []
    for seed, answers in zip(seeds, found.answers, strict=True):
        _, small, large, confidence = drawn(10 * seed)
        np.testing.assert_array_equal(answers, np.where((confidence < cut.confidence)[:, None], large, small))
        expected.append((confidence < cut.confidence).mean())
    assert found.passed_on == pytest.approx(np.mean(expected)) and found.small == "distilbert"
    assert "of the test rows passed on to BERT" in capsys.readouterr().out


def test_each_fold_has_a_cut_of_its_own(tmp_path):
    fits = Fits({name: [fitted(tmp_path, name, 0, folds=3)] for name in ("distilbert", "bert")})
    truth = np.concatenate([drawn(fold)[0] for fold in range(3)])
    (answers,) = cascading.find(experiment(tmp_path, truth, folds=3), fits).answers
    for fold in range(3):
        cut = cascades.choose(cascades.Paired(*drawn(100 + fold)), cascades.MARGIN)
        _, small, large, confidence = drawn(fold)
        expected = np.where((confidence < cut.confidence)[:, None], large, small)
        np.testing.assert_array_equal(answers[fold * ROWS : (fold + 1) * ROWS], expected)


def test_a_student_answers_first_where_there_is_one(tmp_path):
    fits = Fits({name: [fitted(tmp_path, name, 0)] for name in ("student", "bert")})
    assert cascading.find(experiment(tmp_path, drawn(0)[0], distill=True), fits).small == "student"


def test_what_comes_to_one_model_alone_is_no_contestant(tmp_path, monkeypatch):
    fits = Fits({name: [fitted(tmp_path, name, 0)] for name in ("distilbert", "bert")})
    given = experiment(tmp_path, drawn(0)[0])
    monkeypatch.setattr(cascades, "MARGIN", 1.0)
    assert cascading.find(given, fits) is None
    assert given.notes == ["the cascade: on the validation rows DistilBERT alone is what it comes to, so it is no contestant"]


def test_fits_without_what_it_needs_are_refused(tmp_path):
    fits = Fits({name: [fitted(tmp_path, name, 0)] for name in ("distilbert", "bert")})
    given = experiment(tmp_path, drawn(0)[0])
    results = tmp_path / "results" / "distilbert-seed0-fold0"
    truth, small, _, confidence = drawn(0)
    records.write_answers(small.astype(float), truth, range(ROWS), results)
    with pytest.raises(ArtefactError, match="have no confidence"):
        cascading.find(given, fits)
    Validated.of(["a text"], truth[:1], small[:1], confidence[:1]).write(results)
    with pytest.raises(InputError, match="distilbert and bert share no validation rows, of which a cut needs 200$"):
        cascading.find(given, fits)
    (results / "validation.npz").unlink()
    with pytest.raises(ArtefactError, match="no answers to validation rows"):
        cascading.find(given, fits)


def made(name, rate, folder_bytes):
    speed = Speed("onnx", rate, 1 / rate, 0.5, 1e8, 1000)
    score = {"macro_f1": Score(0.9, 0.88, 0.92, [0.9])}
    return Contestant(name, None, 800, score, 10, folder_bytes, [2.0], [speed], "onnx", None, [])


def test_its_size_is_that_of_both_and_its_speed_that_of_both_in_turn():
    small, large = made("distilbert", 400, 100), made("bert", 100, 200)
    cascaded = cascading.Cascaded("distilbert", [], 0.25)
    found = cascading.contestant(cascaded, small.scores, small, large, price=3.6)
    assert (found.parameters, found.folder_bytes, found.disk_bytes, found.fit_seconds) == (20, 300, 2000, [4.0])
    assert found.best_speed.texts_per_second == pytest.approx(200) and found.passed_on == 0.25
    assert found.best_speed.single_seconds == pytest.approx(1 / 400 + 0.25 / 100)
    assert found.cost_per_million == pytest.approx(3.6 / 3600 * 1e6 / 200)
    untimed = cascading.contestant(cascaded, small.scores, replace(small, speeds=[]), large, None)
    assert untimed.speeds == [] and untimed.best_engine is None


def test_it_stands_before_bert():
    contestants = {name: made(name, 100, 1) for name in ("tfidf", "distilbert", "bert")}
    truth = drawn(0)[0]
    answers = {name: [truth] for name in contestants}
    cascaded = cascading.Cascaded("distilbert", [truth], 0.5)
    given = experiment(Path("work"), truth)
    found_answers, found = course.with_cascade(given, cascaded, answers, contestants)
    assert list(found) == list(found_answers) == ["tfidf", "distilbert", "cascade", "bert"]
    pairs = [(pair.small, pair.large) for pair in judging.comparisons("multiclass", truth, found_answers)]
    assert ("distilbert", "cascade") in pairs and ("cascade", "bert") in pairs
    assert list(rule.RANKS).index("cascade") == list(rule.RANKS).index("bert") - 1


def test_it_needs_both_models(here, capfd):
    table = write_csv(here / "things.csv", example_rows(60))
    for contestants in ("tfidf,bert", "tfidf,distilbert"):
        assert end_here("--train", table, "--contestants", contestants, "--cascade", script="compare") == 2
        assert "--cascade: is made of distilbert, or the student, and bert; add them" in capfd.readouterr().err
    assert CompareOptions(contestants="tfidf,bert", distill=True, cascade=True).cascade
