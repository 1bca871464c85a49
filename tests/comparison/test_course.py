"""The verdict on made-up results, parts that are run once, their processes, time limits, and the TF-IDF baseline."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import ROOT, TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.cli import options
from halfbert.comparison import baseline
from halfbert.comparison import course as comparison
from halfbert.comparison import jobs as comparison_parts
from halfbert.comparison import judging as comparison_figures
from halfbert.comparison.jobs import Part, Work
from halfbert.output import record as records
from halfbert.scoring import intervals as statistics
from halfbert.system import processes
from halfbert.system.console import StopRequest
from halfbert.system.errors import InputError

# ---------------------------------------------------------------------------------------------------------------------------
# Verdict


def difference(value, low, high, rows=1000, first=0.9):
    return {"difference": value, "low": low, "high": high, "rows": rows, "first": first, "second": first - value, "seeds": 1}


def compared(**differences):
    return [{"small": name, "difference": found} for name, found in differences.items()]


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (-0.010, 0.004, 0.02, "good enough"),
        (0.010, 0.030, 0.0, "good enough"),
        (-0.050, -0.021, 0.02, "too weak"),
        (-0.030, -0.010, 0.02, "open"),
        (-0.020, 0.010, 0.02, "open"),  # the interval is to lie wholly above, its end included
        (-0.050, -0.020, 0.02, "open"),
    ],
)
def test_judging_an_interval(low, high, margin, word):
    assert comparison_figures.judge(difference((low + high) / 2, low, high), margin) == word


def test_a_clear_win_ships_the_smallest_that_is_good_enough():
    found = comparison_figures.verdict(
        compared(tfidf=difference(-0.1, -0.12, -0.08, first=0.8), distilbert=difference(-0.003, -0.01, 0.004)), "bert", 0.02
    )
    assert (found["ship"], found["small"], found["found"]) == ("distilbert", "distilbert", "good enough")
    assert found["judged"] == {"tfidf": "too weak", "distilbert": "good enough"} and found["rows_to_tell"] is None
    both = compared(tfidf=difference(0, -0.01, 0.01, first=0.8), distilbert=difference(0.01, 0, 0.02))
    assert comparison_figures.verdict(both, "bert", 0.02)["ship"] == "tfidf"


def test_a_clear_loss_ships_the_largest_and_speaks_of_the_best_of_the_others():
    found = comparison_figures.verdict(
        compared(tfidf=difference(-0.1, -0.12, -0.08, first=0.7), distilbert=difference(-0.06, -0.08, -0.04, first=0.8)),
        "bert",
        0.02,
    )
    assert (found["ship"], found["small"], found["found"]) == ("bert", "distilbert", "too weak")


def test_where_the_rows_cannot_tell_the_largest_ships_and_the_rows_that_would_are_told():
    found = comparison_figures.verdict(
        compared(tfidf=difference(-0.1, -0.12, -0.08), distilbert=difference(-0.01, -0.03, 0.01, rows=500)), "bert", 0.02
    )
    assert (found["ship"], found["small"], found["found"]) == ("bert", "distilbert", "open")
    assert found["rows_to_tell"] == 2000  # the lower half of the interval, 0.02, is to shrink to 0.01: four times the rows


def test_rows_that_would_tell_from_below_and_from_the_margin_itself():
    assert comparison_figures.rows_to_tell(difference(-0.03, -0.06, -0.015, rows=400), 0.02) == 900  # 0.015 to 0.01
    assert comparison_figures.rows_to_tell(difference(-0.02, -0.03, 0.0), 0.02) is None
    assert comparison_figures.rows_to_tell(difference(-0.0201, -0.03, 0.0), 0.02) is None  # 40,000 times the rows


def test_mcnemar_by_hand():
    """6 rows that only the first gets right, 1 that only the second does: 2 · (C(7,0) + C(7,1)) / 2⁷ = 0.125."""
    first = np.array([1] * 6 + [0] + [1] * 5 + [0] * 3, bool)
    second = np.array([0] * 6 + [1] + [1] * 5 + [0] * 3, bool)
    assert statistics.mcnemar(first, second) == statistics.McNemar(6, 1, 0.125)
    assert statistics.mcnemar(first, first) == statistics.McNemar(0, 0, 1.0)
    assert statistics.mcnemar(np.ones(3000, bool), np.zeros(3000, bool)).p_value == 0.0  # 2⁻²⁹⁹⁹ in floats


def test_the_interval_of_one_score_is_that_of_its_standard_error():
    truth = np.eye(2, dtype=bool)[np.zeros(1000, int)]
    answers = np.eye(2, dtype=bool)[(np.arange(1000) >= 900).astype(int)]
    found = statistics.bootstrap(statistics.accuracy, truth, [answers])
    half_width = 1.96 * np.sqrt(0.9 * 0.1 / 1000)
    assert found.score == 0.9
    assert (found.low, found.high) == (
        pytest.approx(0.9 - half_width, abs=0.002),
        pytest.approx(0.9 + half_width, abs=0.002),
    )


# ---------------------------------------------------------------------------------------------------------------------------
# Options and parts


def parse(*arguments):
    return options.parse_compare(options.compare_parser(), [str(argument) for argument in arguments])


def test_what_a_contestant_is_told_is_what_was_asked():
    chosen = parse("--train", "a.csv", "--label-separator=-", "--task", "multilabel", "--label-column", "l", "--epochs", "2")
    assert set(chosen.training) == {"--train=a.csv", "--label-column=l", "--epochs=2", "--label-separator=-"}
    assert (chosen.output, chosen.work) == (Path("results/compare/a"), Path("predictors/compare/a"))
    chosen = parse("--contestants", "bert=x/y,distilbert", "--drop-missing", "--class-weights", "balanced")
    assert chosen.contestants == {"distilbert": None, "bert": "x/y"} and "--drop-missing" in chosen.training
    assert "--class-weights=balanced" in chosen.training and "--class-weights=balanced" not in chosen.teaching


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--contestants", "bert"], "at least two"),
        (["--contestants", "bert,roberta"], "roberta"),
        (["--contestants", "bert,bert=x"], "at most once"),
        (["--contestants", "tfidf=x,bert"], "tfidf=x"),
        (["--contestants", "tfidf,distilbert", "--distill"], "taught by bert"),
        (["--balance"], "--balance goes with --task multilabel"),
        (["--task", "multilabel", "--class-weights", "balanced"], "--class-weights goes with --task multiclass"),
        (["--time-limit", "0"], "above 0"),
    ],
)
def test_options_that_do_not_go(arguments, says):
    with pytest.raises(InputError, match=says):
        parse(*arguments)


def prepared(tmp_path, tiny_bert, tiny_distilbert, *arguments, rows=60):
    """A comparison of tiny checkpoints whose table is read."""
    table = write_csv(tmp_path / "things.csv", example_rows(rows))
    where = ("--train", table, "--output", tmp_path / "out", "--work", tmp_path / "work")
    contestants = f"tfidf,distilbert={tiny_distilbert},bert={tiny_bert}"
    made = comparison.Comparison(parse(*where, "--contestants", contestants, *arguments), StopRequest())
    made.read()
    return made


def test_the_identity_of_a_part(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    def identities(*arguments, rows=60):
        made = prepared(tmp_path, tiny_bert, tiny_distilbert, *arguments, rows=rows)
        return {name: made.part(name, 0, None).identity for name in ("tfidf", "distilbert", "bert")}

    first = identities()
    assert len(set(first.values())) == 3 and identities() == first
    assert identities("--price-per-hour", "2", "--margin", "0.1", "--seeds", "2") == first  # what changes no fit
    longer = identities("--epochs", "7")
    assert longer["tfidf"] == first["tfidf"] and longer["bert"] != first["bert"]
    assert not set(identities("--split-seed", "1").values()) & set(first.values())
    assert not set(identities(rows=63).values()) & set(first.values())  # other data under the same name
    monkeypatch.setattr(comparison, "code_sha256", lambda script: "other code")
    assert not set(identities().values()) & set(first.values())


def test_seeds_vary_and_the_split_stays(tmp_path, tiny_bert, tiny_distilbert):
    made = prepared(tmp_path, tiny_bert, tiny_distilbert, "--seed", "5")
    commands = [made.part("bert", seed, None).command for seed in (5, 6)]
    parser = options.multiclass_parser()
    asked = [options.parse_training(parser, command[1:], "multiclass") for command in commands]
    assert [(one.seed, one.split_seed, one.checkpoint) for one in asked] == [(5, 5, str(tiny_bert)), (6, 5, str(tiny_bert))]
    assert made.part("tfidf", 6, None).job["reading"]["seed"] == 5


def test_the_student_begins_as_distilbert_does(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    made = prepared(tmp_path, tiny_bert, tiny_distilbert, "--distill", "--epochs", "4", "--threads", "1")
    assert made.contestants == ["tfidf", "student", "distilbert", "bert"]

    def taught_by(identity):
        bert = SimpleNamespace(predictor=tmp_path / "bert", part=SimpleNamespace(identity=identity))
        monkeypatch.setattr(made.work, "finish", lambda part: bert if part.name == "bert-seed3" else None)
        return made.part("student", 3, None)

    command = taught_by("a").command
    told = options.parse_distillation(options.distill_parser(), command[1:])
    assert (told.teacher, told.model, told.checkpoint) == (str(tmp_path / "bert"), "distilbert", str(tiny_distilbert))
    assert (told.epochs, told.seed, told.split_seed, told.threads, told.no_control) == (4, 3, 0, 1, True)
    assert taught_by("a").identity == taught_by("a").identity != taught_by("b").identity


def test_a_student_of_another_vocabulary_is_told_before_anything_is_fitted(tmp_path, tiny_bert, tiny_distilbert):
    other = tmp_path / "other"
    shutil.copytree(tiny_distilbert, other)
    words = (other / "vocab.txt").read_text().split("\n")
    (other / "vocab.txt").write_text("\n".join([*words[:-2], words[-2] + "x", ""]))
    prepared(tmp_path, tiny_bert, other)  # is none of DistilBERT's fault
    with pytest.raises(InputError, match="its tokenizer is not that of the teacher bert"):
        prepared(tmp_path, tiny_bert, other, "--distill")


def test_a_multilabel_part_is_understood_by_its_script(tmp_path, tiny_bert, tiny_distilbert):
    table = write_tags(tmp_path / "tags.csv", tagged_rows(60))
    contestants = f"tfidf,distilbert={tiny_distilbert},bert={tiny_bert}"
    asked = ("--task", "multilabel", "--train", table, "--contestants", contestants, "--threshold", "gmean", "--balance")
    made = comparison.Comparison(parse(*asked), StopRequest())
    made.read()
    part = made.part("distilbert", 0, 40)
    told = options.parse_training(options.multilabel_parser(), part.command[1:], "multilabel")
    assert Path(part.command[0]).name == "train_multilabel.py" and part.name == "distilbert-seed0-rows40"
    assert (told.threshold, told.balance, told.label_columns, told.rows) == ("gmean", True, ["ALL"], 40)
    assert made.part("tfidf", 0, None).job["threshold"] == "gmean" and made.part("tfidf", 0, None).job["balanced"]
    assert made.truth.shape == (len(made.data.test), len(TAGS))


def test_code_counts_with_all_that_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_parts, "PROJECT", tmp_path)
    package = tmp_path / "halfbert"
    package.mkdir()
    (package / "a.py").write_text("from halfbert.b import c\n")
    (package / "b.py").write_text("c = 1\n")
    (package / "unused.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text("def f():\n    from halfbert import a\n")
    first = comparison_parts.code_sha256(script)
    (package / "unused.py").write_text("x = 1\n")
    assert comparison_parts.code_sha256(script) == first
    (package / "b.py").write_text("c = 2\n")
    assert comparison_parts.code_sha256(script) != first


# A part that leaves the answers of two rows, and a line in a file each time that it is run.
FAKE = """
import json, sys
from pathlib import Path
import numpy as np
from halfbert.output import record as records
job = json.load(sys.stdin)
folder = Path(job["results"]); folder.mkdir(parents=True, exist_ok=True)
records.write_answers(np.eye(2), [2, 3], folder)
(folder / "record.json").write_text(Path(job["record"]).read_text())
open(job["log"], "a").write("run\\n")
"""


def test_a_part_is_run_once_and_again_where_it_is_damaged_or_other(tmp_path):
    log = tmp_path / "log"

    def runs() -> int:
        return len(log.read_text().splitlines())

    published = ROOT / "results" / "published" / "multiclass" / "messages-bert" / "record.json"
    job = {"log": str(log), "record": str(published)}
    work = Work(tmp_path / "work")
    part = Part("fake-seed0", ["-c", FAKE], {"x": 1}, job)
    finished = work.finish(part)
    assert finished.numbers.tolist() == [2, 3] and finished.probabilities.tolist() == [[1, 0], [0, 1]] and runs() == 1
    assert work.finish(part).record == finished.record and runs() == 1
    (finished.results / records.ANSWERS).write_bytes(b"half of a file")
    work.finish(part)
    assert runs() == 2
    other = Part("fake-seed0", ["-c", FAKE], {"x": 2}, job)
    assert work.finish(other).results != finished.results and runs() == 3
    (finished.results / "record.json").write_text(published.read_text().replace('"stopped": null', '"stopped": "SIGTERM"'))
    work.finish(part)  # one that was stopped is no result
    assert runs() == 4


# ---------------------------------------------------------------------------------------------------------------------------
# Time limit


def pilot(seconds, fit_seconds, steady=None):
    timing = records.Timing(steady_rows_per_second=steady, fit_seconds=fit_seconds, evaluate_seconds=2.0)
    rows = records.RowCounts(train=100, val=10, test=50)
    return SimpleNamespace(timing=timing, data=SimpleNamespace(rows=rows), epochs=[{}, {}]), seconds


def test_the_cost_of_a_row():
    record, seconds = pilot(30.0, 20.0)
    assert comparison.cost(record, seconds, 50) == (10.0, 0.2)  # no steady rate: all of the fit grows with the rows
    assert comparison.cost(record, seconds, 100) == (12.0, 0.2)  # 50 more test rows at 0.04 s
    record, seconds = pilot(30.0, 20.0, steady=40.0)
    assert comparison.cost(record, seconds, 50) == (25.0, 0.05)  # two epochs at 40 rows a second


def limited(tmp_path, tiny_bert, tiny_distilbert, monkeypatch, minutes, *more):
    monkeypatch.setattr(comparison, "PILOT_ROWS", 12)
    monkeypatch.setattr(comparison, "SPEED_SECONDS", 0)
    made = prepared(tmp_path, tiny_bert, tiny_distilbert, "--time-limit", minutes, *more, rows=120)
    asked = []

    def finish(part):
        asked.append(part.name)
        record, seconds = pilot(12.0, 10.0)
        return SimpleNamespace(record=record, seconds=seconds)

    monkeypatch.setattr(made.work, "finish", finish)
    made.keep_to_time_limit()
    assert asked == [f"{name}-seed0-rows12" for name in ("tfidf", "distilbert", "bert")]
    return made


def test_a_time_limit_takes_the_rows_that_fit(tmp_path, tiny_bert, tiny_distilbert, monkeypatch, capsys):
    """3 pilots of 12 s; then 0.1 s a row and 2 s (less for few test rows) each. One minute, of it 90 % to be used."""
    made = limited(tmp_path, tiny_bert, tiny_distilbert, monkeypatch, 1)
    fixed = 36 + 3 * (2 + (12 - 50) * 0.04)
    assert made.rows == int((54 - fixed) / 0.3) < len(made.data.train) == 96
    assert f"{made.rows} of 96, drawn by label, training rows" in capsys.readouterr().out and len(made.notes) == 1
    assert made.part("bert", 0, made.rows).command.count("--rows") == 1


def test_a_time_limit_that_all_rows_fit_into(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    made = limited(tmp_path, tiny_bert, tiny_distilbert, monkeypatch, 10)
    assert made.rows is None and "all 96" in made.notes[0]


def test_a_time_limit_that_nothing_fits_into(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    with pytest.raises(InputError, match=r"--time-limit 0.5: on 12 rows alone the fits would take about \d+ minutes"):
        limited(tmp_path, tiny_bert, tiny_distilbert, monkeypatch, 0.5, "--seeds", "3", "--learning-curve")


# ---------------------------------------------------------------------------------------------------------------------------
# TF-IDF and logistic regression


def fitted(tmp_path, task, table, columns, **changes):
    reading = {"train": str(table), "text_column": "text", "seed": 0, **changes}
    threshold = "f1" if task == "multilabel" else None
    told = {"task": task, "reading": reading, "columns": columns, "threshold": threshold, "balanced": False}
    baseline.fit_and_test(**told, results=str(tmp_path / "results"))
    return told, records.read(tmp_path / "results"), records.read_answers(tmp_path / "results")


def test_the_baseline_learns_one_label_a_text(tmp_path):
    table = write_csv(tmp_path / "things.csv", example_rows(150))
    told, record, (probabilities, numbers) = fitted(tmp_path, "multiclass", table, {"label_column": "label"})
    data = baseline.read_data("multiclass", told["reading"], told["columns"])
    assert record.test["accuracy"] == 1.0 > record.test["commonest_label"]["accuracy"]
    assert numbers.tolist() == data.test.numbers and probabilities.shape == (15, 3)
    assert [data.labels[n] for n in probabilities.argmax(axis=1)] == data.test.labels
    best = max(score["val_macro_f1"] for score in record.validation)
    assert record.validation[0]["val_macro_f1"] == best and record.options["c"] == record.validation[0]["c"]
    assert record.size.folder_bytes == (tmp_path / "results" / baseline.MODEL).stat().st_size


def test_the_baseline_learns_any_number_of_labels(tmp_path):
    table = write_tags(tmp_path / "tags.csv", tagged_rows(200))
    _, record, (probabilities, _) = fitted(tmp_path, "multilabel", table, {"label_columns": list(TAGS)})
    scores = record.test
    assert scores["at_thresholds"]["macro_f1"] > 0.9 > scores["no_label"]["macro_f1"]
    assert len(scores["thresholds"]) == 3 and probabilities.shape == (record.data.rows.test, 3)


def test_pairs_of_words_are_features():
    words = baseline.vectorizer().fit(["a good film", "not good"])
    assert {"a", "not good", "good film"} <= set(words.vocabulary_)


def test_the_baseline_is_timed_in_a_process_of_its_own(tmp_path):
    fitted(tmp_path, "multiclass", write_csv(tmp_path / "things.csv", example_rows(60)), {"label_column": "label"})
    job = {"do": "time", "results": str(tmp_path / "results"), "texts": ["the old cat"] * 40, "seconds": 0.05}
    processes.run(["-m", "halfbert.comparison.baseline"], "speed", {**job, "file": str(tmp_path / "speed.json")})
    found = comparison_parts.read_json(tmp_path / "speed.json")
    assert found["texts_per_second"] > 32 / (32 * found["single_seconds"]) and found["first_answer_seconds"] > 0
    assert found["weight_bytes"] == (tmp_path / "results" / baseline.MODEL).stat().st_size


def test_out_of_fold_answers_come_from_models_that_have_not_seen_the_text():
    """Every text stands there twice under a label that no other text tells: seen, it would be answered rightly."""
    texts = [word for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten") for _ in range(2)]
    truth = np.eye(2, dtype=int)[np.repeat(np.arange(10) % 2, 2)]
    for task in ("multiclass", "multilabel"):
        probabilities = baseline.out_of_fold(texts, truth, task, c=100.0)
        assert probabilities.shape == (20, 2) and abs(probabilities[:, 0] - 0.5).max() < 0.2


def test_likely_label_errors(tmp_path):
    rows = example_rows(150)
    text, label = rows[40]
    rows[40] = (text, "tool" if label != "tool" else "food")
    told = {"task": "multiclass", "columns": {"label_column": "label"}, "c": 10.0}
    reading = {"train": str(write_csv(tmp_path / "things.csv", rows)), "text_column": "text"}
    baseline.suspect(**told, reading=reading, file=str(tmp_path / "found.json"))
    found = comparison_parts.read_json(tmp_path / "found.json")
    assert found["rows"] == 150
    assert [(row["row"], row["given"], row["suggested"]) for row in found["found"]] == [(42, rows[40][1], label)]


def test_likely_label_errors_of_many_labels(tmp_path):
    rows = tagged_rows(600)
    text, tags = rows[40]
    rows[40] = (text, tuple(tag for tag in TAGS if (tag in tags) != (tag == TAGS[0])))
    told = {"task": "multilabel", "columns": {"label_columns": list(TAGS)}, "c": 10.0}
    reading = {"train": str(write_tags(tmp_path / "tags.csv", rows)), "text_column": "text"}
    baseline.suspect(**told, reading=reading, file=str(tmp_path / "found.json"))
    assert 42 in [row["row"] for row in comparison_parts.read_json(tmp_path / "found.json")["found"]]
