"""Every option: its default, what it takes, what it refuses; `--help` at once."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, script_environment

from halfbert.cli import options
from halfbert.data import messages
from halfbert.models.checkpoints import BASE_RECIPE, SMALL_RECIPE
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.system.errors import InputError

REQUIRED = ["--model", "distilbert"]
PARSERS = {"multiclass": options.multiclass_parser, "multilabel": options.multilabel_parser}

SHARED_DEFAULTS = {
    "model": "distilbert",
    "checkpoint": None,
    "train": str(messages.TRAIN),
    "val": None,
    "test": str(messages.TEST),
    "text_column": "text",
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
    "head": None,
    "device": "auto",
    "precision": "float32",
    "threads": None,
    "seed": 0,
    "split_seed": 0,
    "deterministic": False,
    "output": Path("predictors/distilbert-messages"),
    "overwrite": False,
    "keep_epochs": False,
    "debug": False,
}
DEFAULTS = {
    "multiclass": {
        **SHARED_DEFAULTS,
        "label_column": "queue",
        "class_weights": None,
        "results": Path("results/multiclass/distilbert-messages"),
    },
    "multilabel": {
        **SHARED_DEFAULTS,
        "label_columns": messages.TAGS,
        "label_column": None,
        "label_separator": None,
        "drop_constant_labels": False,
        "balance": False,
        "threshold": options.THRESHOLD_RULE,
        "results": Path("results/multilabel/distilbert-messages"),
    },
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
    "label_columns": (["rude, late"], ["rude", "late"]),
    "label_separator": (["|"], "|"),
    "drop_constant_labels": ([], True),
    "balance": ([], True),
    "threshold": (["0.5"], "0.5"),
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
    "head": (["random"], "random"),
    "class_weights": (["balanced"], "balanced"),
    "device": (["cpu"], "cpu"),
    "precision": (["mixed_bfloat16"], "mixed_bfloat16"),
    "threads": (["2"], 2),
    "seed": (["7"], 7),
    "split_seed": (["8"], 8),
    "deterministic": ([], True),
    "output": (["predictors/a"], Path("predictors/a")),
    "results": (["results/a"], Path("results/a")),
    "overwrite": ([], True),
    "keep_epochs": ([], True),
    "debug": ([], True),
}


EACH_OPTION = [(task, name) for task, defaults in DEFAULTS.items() for name in defaults]


def parse(*arguments: str, task: str = "multiclass"):
    return options.parse_training(PARSERS[task](), list(arguments), task)


def refused(*arguments: str, task: str = "multiclass") -> str:
    with pytest.raises(InputError) as caught:
        parse(*arguments, task=task)
    message = str(caught.value)
    assert "\n" not in message and "--help" in message
    return message


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize("task", PARSERS)
def test_defaults(task):
    assert vars(parse(*REQUIRED, task=task)) == DEFAULTS[task]


@pytest.mark.parametrize("task", PARSERS)
def test_every_declared_option_is_known_here(task):
    declared = {action.dest for action in PARSERS[task]()._actions} - {"help"}
    assert declared == set(DEFAULTS[task]) <= set(GIVEN)


@pytest.mark.parametrize(("task", "name"), EACH_OPTION)
def test_every_option_is_taken(task, name):
    words, value = GIVEN[name]
    arguments = [flag(name), *words]
    if name != "model":
        arguments += REQUIRED
    if name in ("val", "test"):
        arguments += ["--train", "a.csv"]
    by_name = {"label_column": ["--label-separator", "|"], "label_separator": ["--label-column", "Sentiment"]}
    if task == "multilabel":
        arguments += by_name.get(name, [])
    found = vars(parse(*arguments, task=task))
    assert found[name] == value != DEFAULTS[task][name]
    changed = {key for key in found if found[key] != DEFAULTS[task][key]}
    labels = {"multiclass": "label_column", "multilabel": "label_columns"}[task]
    follow = {
        "model": {"output", "results"},
        "train": {"test", labels, "output", "results"},
        "val": {"train", "test", labels, "output", "results"},
        "test": {"train", labels, "output", "results"},
        "output": {"results"},
        "seed": {"split_seed"},
    }
    if task == "multilabel":
        follow |= {key: {"label_columns", *by_name} for key in by_name}
    assert changed == {name} | follow.get(name, set())


@pytest.mark.parametrize("task", PARSERS)
def test_every_option_is_explained_in_the_help(task):
    text = " ".join(PARSERS[task]().format_help().split())
    for name in DEFAULTS[task]:
        assert flag(name) in text
    for action in PARSERS[task]()._actions:
        assert action.help
    embedded = {"multiclass": "queue in the embedded table", "multilabel": "the tags in the embedded table"}[task]
    for default in (embedded, "bert-base-uncased", "distilbert-base-uncased", "mini", "10% of --train"):
        assert default in text


def test_the_help_names_the_recipes_of_the_checkpoints():
    text = " ".join(options.multilabel_parser().format_help().split())
    rates = re.search(r"highest learning rate \(default: (\S+); (\S+) for small", text).groups()
    assert [float(rate) for rate in rates] == [BASE_RECIPE["learning_rate"], SMALL_RECIPE["learning_rate"]]
    assert f"default: {BASE_RECIPE['epochs']}; {SMALL_RECIPE['epochs']} for small" in text
    assert f"(default: {BASE_RECIPE['head']}; {SMALL_RECIPE['head']} for small" in text


def test_the_threshold_rules_are_those_that_the_metrics_know():
    assert options.THRESHOLD_RULES == multilabel_metrics.THRESHOLD_RULES
    assert options.THRESHOLD_RULE in options.THRESHOLD_RULES
    for rule in options.THRESHOLD_RULES:
        assert parse(*REQUIRED, "--threshold", rule, task="multilabel").threshold == rule


def test_labels_of_ones_own_multilabel_table():
    found = parse("--model", "bert", "--train", "comments_train.csv", task="multilabel")
    assert (found.label_columns, found.label_column) == (["ALL"], None)
    assert found.results == Path("results/multilabel/bert-comments")
    found = parse("--model", "bert", "--label-column", "tags", "--label-separator", ";", task="multilabel")
    assert (found.label_columns, found.label_column, found.label_separator) == (None, "tags", ";")


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
        ("threshold", ["0.4", "F1", "best", ""]),
        ("label_columns", ["", ",", "a,,b", "a, "]),
        ("head", ["none", "linear"]),
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
    task = "multiclass" if name in DEFAULTS["multiclass"] else "multilabel"
    for value in values:
        message = refused(f"{flag(name)}={value}", *rest, task=task)
        assert flag(name) in message and repr(value) in message


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in EACH_OPTION if GIVEN[name][0]])
def test_an_option_without_its_value(task, name):
    assert flag(name) in refused(*([] if name == "model" else REQUIRED), flag(name), task=task)


def test_what_does_not_go_together():
    assert "--model" in refused()
    assert "--train" in refused(*REQUIRED, "--test", "a.csv")
    assert "--train" in refused(*REQUIRED, "--val", "a.csv")
    assert "--find-lr" in refused(*REQUIRED, "--lr", "1e-4", "--find-lr")
    assert "reviews.xlsx" in refused(*REQUIRED, "reviews.xlsx")
    assert "--colour" in refused(*REQUIRED, "--colour", "red")


def test_labels_stand_in_one_form():
    columns, column, separator = ["--label-columns", "a,b"], ["--label-column", "tags"], ["--label-separator", ";"]
    assert "give one of them" in refused(*REQUIRED, *columns, *column, *separator, task="multilabel")
    for alone in (separator, columns + separator):
        assert "goes with --label-column" in refused(*REQUIRED, *alone, task="multilabel")
    for own in ("--label-columns=a", "--label-separator=;", "--balance", "--threshold=f1", "--drop-constant-labels"):
        assert own.split("=")[0] in refused(*REQUIRED, own)
    assert "--class-weights" in refused(*REQUIRED, "--class-weights", "balanced", task="multilabel")


def test_options_are_written_out():
    """A shortened name would mean another option, or none, once there are more of them."""
    assert "--over" in refused(*REQUIRED, "--over")


def script(*arguments: str, cwd: Path, task: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, str(ROOT / f"train_{task}.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=script_environment(), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("task", PARSERS)
def test_help_answers_within_a_second(tmp_path, task):
    seconds = []
    for _ in range(3):  # the quickest of three: the machine may be busy with something else
        began = time.monotonic()
        done = script("--help", cwd=tmp_path, task=task)
        seconds.append(time.monotonic() - began)
        if seconds[-1] < 1:
            break
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: train_{task}.py")
    assert min(seconds) < 1, seconds


@pytest.mark.parametrize("task", PARSERS)
@pytest.mark.parametrize("arguments", [["--help"], [], [*REQUIRED, "--train", "nowhere.csv"]])
def test_nothing_heavy_is_loaded_to_help_or_to_refuse(tmp_path, arguments, task):
    heavy = {"tensorflow", "transformers", "ktrain", "tf_keras", "keras", "huggingface_hub", "matplotlib", "sklearn"}
    done = script(*arguments, cwd=tmp_path, task=task, python=("-X", "importtime"))
    assert done.returncode == (0 if arguments == ["--help"] else 2)
    imported = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))
    assert "halfbert.cli.options" in imported
    assert not heavy & imported
    assert list(tmp_path.iterdir()) == []
