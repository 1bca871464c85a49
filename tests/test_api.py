"""The Python functions: signatures from the options, tables in memory, mistakes in one line, and twice in one process."""

import inspect
import random
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support import ROOT, TAGS, example_rows, run_python, tagged_rows

import halfbert
from halfbert.cli.command import VERBS, Verb
from halfbert.options import declared

# The functions, each with the verb whose options it has and the names of those that have no default.
NAMES = {
    **{name: (name.replace("_", "-"), ()) for name in ("train_multiclass", "train_multilabel", "compare", "tune", "benchmark")},
    "distill": ("distill", ("teacher",)),
    "convert": ("convert", ("predictor",)),
    "export": ("export", ("predictor", "to", "output")),
    "predict_table": ("predict", ("predictor", "table")),
}


@pytest.fixture
def given(monkeypatch, tmp_path):
    """The options that the functions give to jobs; the job is only played."""
    jobs = SimpleNamespace(options=[], during=lambda options, stop: None)

    def job(options, stop):
        jobs.options.append(options)
        jobs.during(options, stop)
        return SimpleNamespace(folder=Path("made"), record=SimpleNamespace(test={"accuracy": 0.5}))

    monkeypatch.setattr(Verb, "function", lambda verb: job)
    monkeypatch.chdir(tmp_path)
    return jobs


def test_importing_the_package_costs_nothing(tmp_path):
    code = "import sys, halfbert; print(sorted(name for name in sys.modules if name.startswith(('halfbert.', 'numpy'))))"
    done = run_python("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.stdout == "['halfbert.system', 'halfbert.system.errors']\n"
    assert {*NAMES, "load", "InputError"} < set(dir(halfbert))
    with pytest.raises(AttributeError, match="'halfbert' has no attribute 'train'"):
        halfbert.train  # noqa: B018


def test_the_folder_of_the_same_name_does_not_hide_the_function():
    from halfbert import benchmark as function
    from halfbert.benchmark import course  # imports the folder

    assert halfbert.benchmark is function and callable(function) and course.__name__ == "halfbert.benchmark.course"


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_documentation_are_those_of_the_options(name):
    function, (verb_name, required) = getattr(halfbert, name), NAMES[name]
    verb = VERBS[verb_name]
    parameters = inspect.signature(function).parameters
    assert function.__name__ == name and function.__doc__.startswith(verb.description)
    assert not re.search("--[a-z]", function.__doc__) and set(parameters) == {option.name for option in declared(verb.options)}
    leading = max(1, len(required))
    kinds = [parameter.kind for parameter in parameters.values()]
    assert set(kinds[:leading]) == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert set(kinds[leading:]) == {inspect.Parameter.KEYWORD_ONLY}
    for option in declared(verb.options):
        assert parameters[option.name].default == (inspect.Parameter.empty if option.name in required else option.default)
        assert f"\n{option.name}" in function.__doc__


@pytest.mark.parametrize(
    ("name", "position", "keywords", "says"),
    [
        ("train_multiclass", [], {"epoch": 3}, "train_multiclass: has no option 'epoch'; did you mean 'epochs'?"),
        ("train_multiclass", [], {"xyz": 3}, "train_multiclass: has no option 'xyz'; there are from_, model, checkpoint,"),
        ("train_multiclass", ["a.csv", "b.csv"], {}, "train_multiclass: too many positional arguments"),
        ("train_multiclass", ["a.csv"], {"train": "b.csv"}, "train_multiclass: multiple values for argument 'train'"),
        ("train_multiclass", [], {"epochs": 0}, "epochs: 0 is not an integer of at least 1"),
        ("train_multiclass", [], {"overwrite": "yes"}, "overwrite: 'yes' is neither True nor False"),
        ("train_multiclass", [], {"lr": 1e-4, "find_lr": True}, "lr and find_lr: give one of them"),
        ("train_multiclass", [], {"val": "a.csv"}, "val and test go with train"),
        ("train_multilabel", [], {"label_separator": ";"}, "label_separator goes with label_column"),
        ("distill", [], {}, "distill: missing a required argument: 'teacher'"),
        ("compare", [], {"contestants": ["bert"]}, "contestants: give at least two"),
        ("compare", [], {"margin": 5}, "margin: 5 is not a number from 0 to 1"),
        ("benchmark", [], {}, "give at least one predictor's folder, or base=True"),
        ("predict_table", ["a", "b.csv"], {}, "give output, the table to write, such as labelled.xlsx"),
        ("predict_table", ["a"], {}, "predict_table: missing a required argument: 'table'"),
        ("predict_table", ["a", []], {}, "TABLE: [] names no file"),
        ("benchmark", [["a"]], {"engines": ["onnx", "onnx"]}, "engines: ['onnx', 'onnx'] is not a list of"),
    ],
)
def test_mistakes_are_one_line_in_the_words_of_python(given, name, position, keywords, says):
    with pytest.raises(halfbert.InputError) as caught:
        getattr(halfbert, name)(*position, **keywords)
    assert str(caught.value).startswith(says) and "--" not in str(caught.value) and not given.options


def test_options_reach_the_job(given):
    result = halfbert.train_multiclass("a.csv", epochs=2, output=Path("x"))
    options = given.options.pop()
    assert (options.model, options.train, options.epochs, options.output) == ("distilbert", "a.csv", 2, Path("x"))
    assert (result.folder, result.results, result.scores) == (Path("made").resolve(), None, {"accuracy": 0.5})
    assert repr(result) == f"<halfbert result: folder='{result.folder}', accuracy=0.5000>"
    halfbert.distill(Path("teacher"), layers=[0, 2])
    assert (given.options[0].teacher, given.options[0].layers) == ("teacher", [0, 2])


def test_a_table_in_memory(given):
    frame = pd.DataFrame({"text": ["a", "b"], "label": [1, "x"], 7: [{"k": 1}, 2.5]})

    def look(options, stop):
        assert options.output.name in ("distilbert-table", "table")
        given.read = pd.read_parquet(options.train) if Path(options.train).is_file() else options.train.frame

    given.during = look
    halfbert.train_multiclass(frame, test=frame)
    assert given.read is frame and given.options[0].test == "the DataFrame given as test"
    halfbert.train_multiclass(SimpleNamespace(to_pandas=lambda: frame))  # polars, pyarrow, datasets
    assert given.read is frame
    halfbert.compare(frame)  # other processes read it
    assert given.read.to_dict("list") == {"text": ["a", "b"], "label": ["1", "x"], "7": ["{'k': 1}", "2.5"]}
    assert not Path(given.options[-1].train).exists()


def test_an_interrupt_stops_gently_and_leaves_nothing_changed(given, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not have
    arguments = sys.argv

    def interrupted(options, stop):
        assert sys.argv[:2] == ["halfbert.train_multiclass", "--model=distilbert"]
        stop.gently = True
        signal.raise_signal(signal.SIGINT)
        given.saved = True
        stop.raise_if_set()

    given.during = interrupted
    with pytest.raises(KeyboardInterrupt):
        halfbert.train_multiclass("a.csv")
    assert given.saved and "once more" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and sys.argv is arguments


@pytest.mark.slow
def test_twice_in_one_process(tmp_path, monkeypatch, tiny_distilbert, tiny_bert):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(example_rows(120), columns=["text", "label"])
    states = random.getstate(), np.random.get_state()[1].tolist()
    first = halfbert.train_multiclass(frame, checkpoint=tiny_distilbert, epochs=1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    with pytest.raises(halfbert.InputError, match="predictors/distilbert-table: already exists; overwrite=True replaces it"):
        halfbert.train_multiclass(frame, checkpoint=tiny_distilbert, epochs=1)
    import tensorflow as tf

    again = halfbert.train_multiclass(frame, checkpoint=tiny_distilbert, epochs=1, overwrite=True, precision="mixed_bfloat16")
    assert tf.keras.mixed_precision.global_policy().name == "float32" and again.record.options["precision"] != "float32"
    again = halfbert.train_multiclass(frame, checkpoint=str(tiny_distilbert), epochs=1, overwrite=True)
    assert again.scores == first.scores and again.record.environment.command[0] == "halfbert.train_multiclass"
    assert again.folder == tmp_path / "predictors/distilbert-table" and again.results.is_dir()
    assert again.record.data.files[0].name == "the DataFrame given as train"
    assert again.predictor is again.predictor and again.predictor.predict(["the cat"])[0] in set(frame["label"])

    tags = pd.DataFrame([(text, *(tag in found for tag in TAGS)) for text, found in tagged_rows(120)], columns=["text", *TAGS])
    marked = halfbert.train_multilabel(tags, model="bert", checkpoint=tiny_bert, epochs=1, label_columns=TAGS[:2])
    assert marked.record.data.labels == list(TAGS[:2]) and "micro_f1=" in repr(marked)
    student = halfbert.distill(again.folder, train=frame, checkpoint=tiny_distilbert, epochs=1, no_control=True)
    assert student.record.distillation.teacher.name == "distilbert-table"
    assert student.predictor.predict("a cat") in set(frame["label"])
