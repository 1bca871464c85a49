"""Options: the default of each, what it takes, what it refuses, on the command line and from Python."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from halfbert.cli.command import VERBS
from halfbert.comparison.jobs import PLACES
from halfbert.data import messages
from halfbert.data.sources import Frame
from halfbert.models.checkpoints import BASE_RECIPE, MOST_EPOCHS, SMALL_RECIPE
from halfbert.options import CompareOptions, MulticlassOptions, MultilabelOptions, as_arguments, changed, declared, values
from halfbert.options.comparison import PASSED_ON
from halfbert.options.declaring import table_name
from halfbert.options.training import THRESHOLD_RULE, THRESHOLD_RULES
from halfbert.system.errors import InputError

REQUIRED = ["--model", "distilbert"]
TASKS = ("multiclass", "multilabel")
# Of each option: its default, what stands on the command line for another value, and that value.
SHARED = {
    "model": ("distilbert", ["bert"], "bert"),
    "checkpoint": (None, ["mini"], "mini"),
    "keep": (None, ["2"], 2),
    "train": (str(messages.TRAIN), ["a.csv"], "a.csv"),
    "val": (None, ["b.csv"], "b.csv"),
    "test": (str(messages.TEST), ["c.csv"], "c.csv"),
    "text_column": ("text", ['title,"a, b"'], 'title,"a, b"'),
    "sheet": (None, ["Sheet 2"], "Sheet 2"),
    "header_row": (None, ["3"], 3),
    "delimiter": (None, [";"], ";"),
    "encoding": (None, ["cp1252"], "cp1252"),
    "drop_missing": (False, [], True),
    "keep_leaks": (False, [], True),
    "rows": (None, ["500"], 500),
    "test_rows": (None, ["50"], 50),
    "maxlen": (None, ["256"], 256),
    "long": ("cut", ["windows"], "windows"),
    "epochs": (None, ["2"], 2),
    "batch_size": (16, ["8"], 8),
    "lr": (None, ["2e-5"], 2e-5),
    "find_lr": (False, [], True),
    "weight_decay": (0.0, ["0.01"], 0.01),
    "early_stopping": (False, [], True),
    "head": (None, ["random"], "random"),
    "no_tfidf": (False, [], True),
    "cv": (None, ["5"], 5),
    "group_column": (None, ["customer"], "customer"),
    "track": (None, ["mlflow,wandb"], ["mlflow", "wandb"]),
    "push_to_hub": (None, ["somebody/queues"], "somebody/queues"),
    "device": ("auto", ["cpu"], "cpu"),
    "precision": ("float32", ["mixed_bfloat16"], "mixed_bfloat16"),
    "threads": (None, ["2"], 2),
    "seed": (0, ["7"], 7),
    "split_seed": (0, ["8"], 8),
    "deterministic": (False, [], True),
    "xla": (False, [], True),
    "output": (Path("predictors/distilbert-messages"), ["predictors/a"], Path("predictors/a")),
    "overwrite": (False, [], True),
    "keep_epochs": (False, [], True),
    "resume": (False, [], True),
    "save_every": (10.0, ["2.5"], 2.5),
    "debug": (False, [], True),
}
OPTIONS = {
    "multiclass": {
        **SHARED,
        "label_column": ("queue", ["Sentiment"], "Sentiment"),
        "class_weights": (None, ["balanced"], "balanced"),
        "results": (Path("results/multiclass/distilbert-messages"), ["results/a"], Path("results/a")),
    },
    "multilabel": {
        **SHARED,
        "label_columns": (messages.TAGS, ['rude, "late, lost"'], ["rude", "late, lost"]),
        "label_column": (None, ["Sentiment"], "Sentiment"),
        "label_separator": (None, ["|"], "|"),
        "true_values": (None, ["x,✓"], ["x", "✓"]),
        "drop_constant_labels": (False, [], True),
        "balance": (False, [], True),
        "threshold": (THRESHOLD_RULE, ["0.5"], "0.5"),
        "results": (Path("results/multilabel/distilbert-messages"), ["results/a"], Path("results/a")),
    },
}
EACH_OPTION = [(task, name) for task, options in OPTIONS.items() for name in options]


def parse(*arguments: str, task: str = "multiclass"):
    return VERBS[f"train-{task}"].parse(list(arguments))


def refused(*arguments: str, task: str = "multiclass") -> str:
    with pytest.raises(InputError) as caught:
        parse(*arguments, task=task)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("(all options: halfbert --help)")
    return message


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize("task", TASKS)
def test_defaults(task):
    defaults = {name: default for name, (default, _, _) in OPTIONS[task].items()}
    assert vars(parse(*REQUIRED, task=task)) == {**defaults, "from_": None}  # it wants a predictor: training/test_earlier.py


# Options whose defaults follow from another.
FOLLOW = {
    "model": {"output", "results"},
    "train": {"test", "label_column", "label_columns", "output", "results"},
    "output": {"results"},
    "seed": {"split_seed"},
    "label_column": {"label_columns"},
}
WITH = {  # what an option needs
    "val": {"train": "a.csv"},
    "test": {"train": "a.csv"},
    "label_separator": {"label_column": "Sentiment"},
}


@pytest.mark.parametrize(("task", "name"), EACH_OPTION)
def test_every_option_is_taken(task, name):
    _, words, value = OPTIONS[task][name]
    others = WITH.get(name, {})
    arguments = [] if name == "model" else REQUIRED
    arguments = [*arguments, flag(name), *words, *(f"{flag(other)}={given}" for other, given in others.items())]
    options = parse(*arguments, task=task)
    assert getattr(options, name) == value
    differing = {key for key, (default, _, _) in OPTIONS[task].items() if getattr(options, key) != default}
    named = {name, *others}
    assert named <= differing <= named.union(*(FOLLOW.get(each, ()) for each in named))
    # Written out as arguments, or given as keywords, they are the same options.
    assert parse(*as_arguments(options), task=task) == options == type(options)(**changed(options))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained_in_the_help(verb):
    text = " ".join(VERBS[verb].parser("script.py").format_help().split())
    for option in declared(VERBS[verb].options):
        assert (option.flag in text or option.positional) and option.help
    options = {field.name for field in fields(VERBS[verb].options)}
    assert options - {option.name for option in declared(VERBS[verb].options)} <= {
        "threshold",
        "find_lr",
    }  # the teacher's, the search's


@pytest.mark.parametrize(("task", "labels"), [("multiclass", "queue in the embedded"), ("multilabel", "tags in the embedded")])
def test_the_help_names_the_defaults_and_the_recipes_of_the_checkpoints(task, labels):
    text = " ".join(VERBS[f"train-{task}"].parser("script.py").format_help().split())
    for default in (labels, "bert-base-uncased", "distilbert-base-uncased", "mini", "10% of --train"):
        assert default in text
    rates = re.search(r"highest learning rate \(default: (\S+); (\S+) for small", text).groups()
    assert [float(rate) for rate in rates] == [BASE_RECIPE["learning_rate"], SMALL_RECIPE["learning_rate"]]
    epochs = f"default: {BASE_RECIPE['epochs']}; for small checkpoints such as mini {SMALL_RECIPE['epochs']}, of DistilBERT up "
    assert f"{epochs}to {MOST_EPOCHS} for few rows" in text
    assert f"(default: {BASE_RECIPE['head']}; {SMALL_RECIPE['head']} for small" in text
    assert THRESHOLD_RULE in THRESHOLD_RULES


def test_defaults_of_ones_own_table():
    found = parse("--model", "bert", "--train", "folder/reviews_train.xlsx")
    assert (found.label_column, found.test, found.val) == ("label", None, None)
    assert (found.output, found.results) == (Path("predictors/bert-reviews"), Path("results/multiclass/bert-reviews"))
    assert parse(*REQUIRED, "--output", "x/y").results == Path("results/multiclass/y")
    assert [parse(*REQUIRED, "--maxlen", word).maxlen for word in ("auto", "3", "512")] == [None, 3, 512]
    found = parse("--model", "bert", "--train", "comments_train.csv", task="multilabel")
    assert (found.label_columns, found.label_column) == (["ALL"], None)
    assert found.results == Path("results/multilabel/bert-comments")
    found = parse("--model", "bert", "--label-column", "tags", "--label-separator", ";", task="multilabel")
    assert (found.label_columns, found.label_column, found.label_separator) == (None, "tags", ";")


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
        (Frame(None, "train"), "table"),
    ],
)
def test_table_name(source, name):
    assert table_name(source) == name


# Of int() and float(), but not of people: 1_000, blanks, digits of other scripts, infinities.
NO_INTEGERS = ["-1", "1.5", "1e3", "many", "", " 5", "5 ", "1_000", "５", "٥", "0x10", "1" + 20 * "0"]
NO_NUMBERS = ["nan", "inf", "-inf", "1e999", "some", "", " 1", "1_0", "１", "1,5", "0x1"]


@pytest.mark.parametrize(
    ("name", "refusals"),
    [
        ("model", ["roberta", "BERT", ""]),
        ("class_weights", ["inverse"]),
        ("threshold", ["0.4", "F1", "best", ""]),
        ("label_columns", ["", ",", "a,,b", "a, ", '"a', '"a"b']),
        ("label_separator", [""]),
        ("head", ["none", "linear"]),
        ("device", ["cuda"]),
        ("precision", ["float16", "bf16"]),
        ("long", ["cuts", "head_tail", ""]),
        ("maxlen", ["2", "0", "513", "AUTO", *NO_INTEGERS]),
        *((name, ["0", *NO_INTEGERS]) for name in ("rows", "test_rows", "epochs", "batch_size", "threads", "header_row")),
        ("delimiter", ["", ";;", '"', "\n"]),
        ("lr", ["0", "-1e-5", *NO_NUMBERS]),
        ("weight_decay", ["-0.1", *NO_NUMBERS]),
        *((name, ["4294967296", *NO_INTEGERS]) for name in ("seed", "split_seed")),
        *((name, ["", "  "]) for name in ("train", "text_column", "label_column", "sheet", "encoding", "checkpoint")),
        *((name, ["", " "]) for name in ("output", "results")),
    ],
)
def test_values_that_are_refused(name, refusals):
    rest = [] if name == "model" else REQUIRED
    task = "multiclass" if name in OPTIONS["multiclass"] else "multilabel"
    for value in refusals:
        message = refused(f"{flag(name)}={value}", *rest, task=task)
        assert flag(name) in message and repr(value) in message
    assert flag(name) in refused(*rest, flag(name), task=task)  # no value


@pytest.mark.parametrize(
    ("task", "arguments", "says"),
    [
        *(("multiclass", [f"--{role}=a.csv"], "--val and --test go with --train") for role in ("val", "test")),
        ("multiclass", ["--lr=1e-4", "--find-lr"], "--lr and --find-lr: give one of them"),
        ("multiclass", ["reviews.xlsx"], "reviews.xlsx"),
        # A shortened name would mean another option, or none, once there are more of them.
        *(("multiclass", [word], word) for word in ("--colour", "--over", "--balance", "--drop-constant-labels")),
        *(("multiclass", [f"{word}=f1"], word) for word in ("--label-columns", "--label-separator", "--threshold")),
        ("multilabel", ["--class-weights=balanced"], "--class-weights"),
        ("multilabel", ["--label-columns=a,b", "--label-column=tags", "--label-separator=;"], "give one of them"),
        ("multilabel", ["--label-separator=;"], "goes with --label-column"),
        ("multilabel", ["--label-column=tags", "--true-values=x"], "goes with --label-columns"),
        ("multilabel", ["--label-columns=a,b", "--label-separator=;"], "goes with --label-column"),
    ],
)
def test_what_does_not_go_together(task, arguments, says):
    assert says in refused(*REQUIRED, *arguments, task=task) and "--model" in refused(task=task)


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        *(("compare", f"--margin={value}") for value in ("5", "nan", "-0.01")),
        *(("compare", f"--contestants={value}") for value in ("bert,bert", "bert,bert=x")),
        *(("benchmark", f"--engines={value}") for value in ("onnx,onnx", "onnx,auto")),
        *(("benchmark", f"--{word}") for word in ("devices=cpu,cpu", "scenarios=cold,cold", "lengths=fixed,fixed")),
        *(("benchmark", f"--{word}") for word in ("batches=8,8", "threads=1,all,all")),
        *(("distill", f"--layers={value}") for value in ("0,0", "-1")),
    ],
)
def test_values_of_the_other_jobs_that_are_refused(verb, argument):
    name, _, value = argument.partition("=")
    with pytest.raises(InputError, match=f"^{name}: '{value}' is not "):
        VERBS[verb].parse([*(["--teacher=a"] if verb == "distill" else []), argument])


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"epochs": np.int64(3)}, 3),
        ({"epochs": None}, None),
        ({"lr": np.float32(0.5)}, 0.5),
        ({"weight_decay": 1}, 1.0),
        ({"train": Path("a") / "b.csv"}, "a/b.csv"),
        ({"output": "a/b"}, Path("a/b")),
        ({"output": Path("a/b")}, Path("a/b")),
        ({"overwrite": np.True_}, True),
        ({"maxlen": "auto"}, None),
        ({"label_columns": ("late, lost", "rude")}, ["late, lost", "rude"]),
        ({"label_columns": "late,rude"}, ["late", "rude"]),
        ({"text_column": ["title", "a, b"]}, 'title,"a, b"'),
        ({"delimiter": "tab"}, "\t"),
    ],
)
def test_values_from_python(given, value):
    (name,) = given
    found = getattr(MultilabelOptions(**given), name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "given",
    [
        *({"epochs": value} for value in (0, 2.0, True, "", b"2", [2])),
        *({"lr": value} for value in (True, float("nan"), "", [1])),
        *({"overwrite": value} for value in ("yes", "", None, 2)),
        *({"model": value} for value in (1, ["bert"])),
        *({"label_columns": value} for value in ([], [1], [""], {"a": 1}, 3)),
        *({"output": value} for value in (3, "", b"a")),
    ],
    ids=str,
)
def test_values_from_python_that_are_refused(given):
    (name,) = given
    with pytest.raises(InputError, match=f"^{flag(name)}: {re.escape(repr(given[name]))} is "):
        MultilabelOptions(**given)


def test_lists_contestants_and_margins_from_python():
    assert values.contestants({"bert": "x/y", "tfidf": None}) == {"tfidf": None, "bert": "x/y"}
    assert values.contestants(["bert=x/y", "tfidf"]) == {"tfidf": None, "bert": "x/y"}
    assert values.paths("a") == values.paths([Path("a")]) == [Path("a")]
    with pytest.raises(ValueError, match="3 is not a list"):
        values.paths(3)
    assert values.batches([32, 8]) == [8, 32] and values.layers((0, 2)) == [0, 2]
    assert [CompareOptions(margin=margin).margin for margin in (0, "0", 1)] == [0, 0, 1]


def test_what_a_child_is_to_be_given():
    options = CompareOptions(train="a.csv", epochs=2, drop_missing=True, class_weights="balanced", contestants="tfidf,bert")
    assert changed(options, PASSED_ON, leave_out=("class_weights",)) == {"train": "a.csv", "drop_missing": True, "epochs": 2}
    given = MulticlassOptions(**changed(options, PASSED_ON))
    words = "--model=distilbert --train=a.csv --drop-missing --label-column=label --epochs=2 --class-weights=balanced"
    assert as_arguments(given, leave_out=PLACES) == [*words.split(), "--split-seed=0"]
    assert given.output == Path("predictors/distilbert-a")
