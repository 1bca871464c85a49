"""Every option: its default, what it takes, what it refuses; `--help` at once."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, script_environment

from halfbert import options
from halfbert.errors import InputError

REQUIRED = ["--model", "distilbert"]

DEFAULTS = {
    "model": "distilbert",
    "checkpoint": None,
    "train": str(options.EMBEDDED_TRAIN),
    "val": None,
    "test": str(options.EMBEDDED_TEST),
    "text_column": "text",
    "label_column": "queue",
    "sheet": None,
    "encoding": None,
    "drop_missing": False,
    "keep_leaks": False,
    "rows": None,
    "test_rows": None,
    "maxlen": None,
    "epochs": None,
    "batch_size": 16,
    "lr": None,
    "find_lr": False,
    "weight_decay": 0.0,
    "early_stopping": False,
    "class_weights": None,
    "device": "auto",
    "precision": "float32",
    "threads": None,
    "seed": 0,
    "deterministic": False,
    "output": Path("predictors/distilbert-messages"),
    "results": Path("results/multiclass/distilbert-messages"),
    "overwrite": False,
    "keep_epochs": False,
    "debug": False,
}

# A value of each option that is not its default: what stands on the command line, and what it becomes.
GIVEN = {
    "model": (["bert"], "bert"),
    "checkpoint": (["mini"], "mini"),
    "train": (["a.csv"], "a.csv"),
    "val": (["b.csv"], "b.csv"),
    "test": (["c.csv"], "c.csv"),
    "text_column": (["Reviews"], "Reviews"),
    "label_column": (["Sentiment"], "Sentiment"),
    "sheet": (["Sheet 2"], "Sheet 2"),
    "encoding": (["cp1252"], "cp1252"),
    "drop_missing": ([], True),
    "keep_leaks": ([], True),
    "rows": (["500"], 500),
    "test_rows": (["50"], 50),
    "maxlen": (["256"], 256),
    "epochs": (["2"], 2),
    "batch_size": (["8"], 8),
    "lr": (["2e-5"], 2e-5),
    "find_lr": ([], True),
    "weight_decay": (["0.01"], 0.01),
    "early_stopping": ([], True),
    "class_weights": (["balanced"], "balanced"),
    "device": (["cpu"], "cpu"),
    "precision": (["mixed_bfloat16"], "mixed_bfloat16"),
    "threads": (["2"], 2),
    "seed": (["7"], 7),
    "deterministic": ([], True),
    "output": (["predictors/a"], Path("predictors/a")),
    "results": (["results/a"], Path("results/a")),
    "overwrite": ([], True),
    "keep_epochs": ([], True),
    "debug": ([], True),
}


def parse(*arguments: str):
    return options.parse_training(options.multiclass_parser(), list(arguments), "multiclass")


def refused(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(*arguments)
    message = str(caught.value)
    assert "\n" not in message and "--help" in message
    return message


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_defaults():
    assert vars(parse(*REQUIRED)) == DEFAULTS


def test_every_declared_option_is_known_here():
    declared = {action.dest for action in options.multiclass_parser()._actions} - {"help"}
    assert declared == set(DEFAULTS) == set(GIVEN)


@pytest.mark.parametrize("name", GIVEN)
def test_every_option_is_taken(name):
    words, value = GIVEN[name]
    arguments = [flag(name), *words]
    if name != "model":
        arguments += REQUIRED
    if name in ("val", "test"):
        arguments += ["--train", "a.csv"]
    found = vars(parse(*arguments))
    assert found[name] == value != DEFAULTS[name]
    changed = {key for key in found if found[key] != DEFAULTS[key]}
    follow = {
        "model": {"output", "results"},
        "train": {"test", "label_column", "output", "results"},
        "val": {"train", "test", "label_column", "output", "results"},
        "test": {"train", "label_column", "output", "results"},
        "output": {"results"},
    }
    assert changed == {name} | follow.get(name, set())


def test_every_option_is_explained_in_the_help():
    text = options.multiclass_parser().format_help()
    for name in GIVEN:
        assert flag(name) in text
    for action in options.multiclass_parser()._actions:
        assert action.help
    for default in ("queue", "bert-base-uncased", "distilbert-base-uncased", "mini", "5e-5", "3e-4", "10% of --train"):
        assert default in " ".join(text.split())


def test_defaults_of_ones_own_table():
    found = parse("--model", "bert", "--train", "folder/reviews_train.xlsx")
    assert (found.label_column, found.test, found.val) == ("label", None, None)
    assert found.output == Path("predictors/bert-reviews")
    assert found.results == Path("results/multiclass/bert-reviews")
    assert parse(*REQUIRED, "--output", "x/y").results == Path("results/multiclass/y")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("reviews.xlsx", "reviews"),
        ("/data/reviews-train.csv", "reviews"),
        ("reviews_train.csv.gz", "reviews"),
        ("hf:banking77", "banking77"),
        ("hf:owner/set:config", "set"),
        ("_train.csv", "table"),
        (".csv", "table"),
    ],
)
def test_table_name(source, name):
    assert options.table_name(source) == name


def test_maxlen_auto():
    assert parse(*REQUIRED, "--maxlen", "auto").maxlen is None
    assert parse(*REQUIRED, "--maxlen", "3").maxlen == 3
    assert parse(*REQUIRED, "--maxlen", "512").maxlen == 512


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", ["roberta", "BERT", ""]),
        ("class_weights", ["inverse"]),
        ("device", ["cuda"]),
        ("precision", ["float16", "bf16"]),
        ("maxlen", ["2", "0", "-1", "513", "3.5", "long", "", "AUTO"]),
        *((name, ["0", "-1", "1.5", "1e3", "many", ""]) for name in ("rows", "test_rows", "epochs", "batch_size", "threads")),
        ("lr", ["0", "-1e-5", "nan", "inf", "small", ""]),
        ("weight_decay", ["-0.1", "nan", "inf", "some"]),
        ("seed", ["-1", "4294967296", "1.5", "random"]),
    ],
)
def test_values_that_are_refused(name, values):
    rest = [] if name == "model" else REQUIRED
    for value in values:
        message = refused(f"{flag(name)}={value}", *rest)
        assert flag(name) in message and repr(value) in message


@pytest.mark.parametrize("name", [name for name, (words, _) in GIVEN.items() if words])
def test_an_option_without_its_value(name):
    assert flag(name) in refused(*([] if name == "model" else REQUIRED), flag(name))


def test_what_does_not_go_together():
    assert "--model" in refused()
    assert "--train" in refused(*REQUIRED, "--test", "a.csv")
    assert "--train" in refused(*REQUIRED, "--val", "a.csv")
    assert "--find-lr" in refused(*REQUIRED, "--lr", "1e-4", "--find-lr")
    assert "reviews.xlsx" in refused(*REQUIRED, "reviews.xlsx")
    assert "--colour" in refused(*REQUIRED, "--colour", "red")


def test_options_are_written_out():
    """A shortened name would mean another option, or none, once there are more of them."""
    assert "--over" in refused(*REQUIRED, "--over")


def script(*arguments: str, cwd: Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, str(ROOT / "train_multiclass.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=script_environment(), capture_output=True, text=True, timeout=60)


def test_help_answers_within_a_second(tmp_path):
    seconds = []
    for _ in range(3):  # the quickest of three: the machine may be busy with something else
        began = time.monotonic()
        done = script("--help", cwd=tmp_path)
        seconds.append(time.monotonic() - began)
        if seconds[-1] < 1:
            break
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: train_multiclass.py")
    assert min(seconds) < 1, seconds


@pytest.mark.parametrize("arguments", [["--help"], [], [*REQUIRED, "--train", "nowhere.csv"]])
def test_nothing_heavy_is_loaded_to_help_or_to_refuse(tmp_path, arguments):
    heavy = {"tensorflow", "transformers", "ktrain", "tf_keras", "keras", "huggingface_hub", "matplotlib", "sklearn"}
    done = script(*arguments, cwd=tmp_path, python=("-X", "importtime"))
    assert done.returncode == (0 if arguments == ["--help"] else 2)
    imported = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))
    assert "halfbert.options" in imported
    assert not heavy & imported
    assert list(tmp_path.iterdir()) == []
