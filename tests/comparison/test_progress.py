"""What a comparison says while it runs: its plan, its time, the scores."""

from types import SimpleNamespace

import numpy as np
import pytest

from halfbert.comparison import progress
from halfbert.training import pace


def experiment(folds=None, workers=1, options=None, **more):
    networks = {"distilbert": 3, "bert": 6}

    def checkpoint(name):
        return SimpleNamespace(config={"n_layers": networks[name], "dim": 384}) if name in networks else None

    return SimpleNamespace(
        options=SimpleNamespace(seeds=1, timing="none", task="multiclass", **(options or {})),
        data=SimpleNamespace(train=[0] * 655),
        dealt=folds and SimpleNamespace(rows=[0] * 400),
        rows=None,
        folds=folds,
        workers=workers,
        checkpoint=checkpoint,
        epochs={"distilbert": 15, "bert": 5}.__getitem__,
        **more,
    )


def forecast(**options):
    found = progress.Forecast(experiment(**options))
    for name in ("tfidf", "distilbert", "bert"):
        found.expect(name, options.get("folds") or 1)
    return found


def test_the_plan_is_said_first_and_its_time_once_it_is_known(capsys, monkeypatch):
    found = forecast()
    now = found.started
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    found.announce()
    plan = "TF-IDF, DistilBERT, BERT on 655 rows, 15 and 5 epochs, 1 seed"
    assert capsys.readouterr().out.startswith(f"{plan}; for how long is known after the first steps")
    found.hear("distilbert")("epoch 1/15: train loss 1.0")
    assert not capsys.readouterr().out
    found.hear("distilbert")(f"  {pace.line(90)}\n")
    # 90 s for 45 layer epochs, so 60 s for BERT's 30; 15 s to start each, 5 s for TF-IDF, 15 s for the report.
    assert found.remaining == pytest.approx(90 + 60 + 2 * 15 + 5 + 15)
    assert capsys.readouterr().out == f"{plan}: about 3 minutes\n"
    now += 110
    found.finished("tfidf", 1.0)
    found.finished("distilbert", 92.0)
    assert not capsys.readouterr().out  # as was said
    now += 10
    found.hear("bert")(pace.line(1000))
    assert capsys.readouterr().out == "about 19 minutes in all, about 17 minutes to go\n"


def test_folds_are_counted_and_shared_out(capsys):
    found = forecast(folds=5, workers=2)
    found.note("distilbert", 45)
    assert found.remaining == pytest.approx((5 * 45 + 5 * 30 + 5 * 5) / 2 + 15)
    assert "on 400 rows, 15 and 5 epochs, 1 seed, 5 folds: about 4 minutes" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "words"), [(3, "10 seconds"), (62, "60 seconds"), (95, "2 minutes"), (3000, "50 minutes")])
def test_durations_in_words(seconds, words):
    assert progress.about(seconds) == f"about {words}"


def test_a_score_stands_beside_the_one_before():
    truth = np.eye(3, dtype=bool)[np.arange(60) % 3]
    wrong = truth.copy()
    wrong[:20] = np.roll(wrong[:20], 1, axis=1)
    right, worse = (SimpleNamespace(answers=answers, seconds=30.0) for answers in (truth, wrong))
    of = experiment(truth=truth)
    assert progress.score_line(of, "tfidf", [worse], {}).startswith("TF-IDF: macro F1 0.667 (0.5")
    line = progress.score_line(of, "bert", [right, right], {"tfidf": [worse], "distilbert": [right]})
    assert line == "BERT: macro F1 1.000 (1.000 to 1.000), 60 s; +0.000 (+0.000 to +0.000) beside DistilBERT"


def told_after(ends, capsys):
    pace.tell([ends], 100, 3)
    return capsys.readouterr().out == "at this pace the fit takes about 150 s\n"


def test_the_pace_of_a_fit(capsys):
    ends = [10.0, *(20 + 0.5 * n for n in range(pace.WARM_UP_STEPS + 30))]  # the first step traces
    assert pace.estimate(ends[:8], 100, 3) is None
    assert pace.estimate(ends, 100, 3) == pytest.approx(150)
    quick = [0.001 * n for n in range(50)]
    assert pace.estimate(quick, 100, 3) is None  # too little time for a rate
    assert pace.seconds(pace.line(1234.4)) == 1234 and pace.seconds("epoch 1/3: 12 s") is None
    told = [n for n in range(1, len(ends)) if told_after(ends[:n], capsys)]
    assert told == [15]  # once: the ten steps after the fifth took five seconds
