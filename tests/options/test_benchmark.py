"""Options of benchmark.py: each is taken, each wrong value refused."""

from pathlib import Path

import pytest

from halfbert.cli.command import VERBS
from halfbert.data import messages
from halfbert.system.errors import InputError
from halfbert.system.machine import available_cpus

ALL = available_cpus()


def parse(*arguments):
    return VERBS["benchmark"].parse([str(argument) for argument in arguments])


def test_defaults():
    found = parse("predictors/a")
    assert (found.repeats, found.seconds, found.rows, found.batches) == (10, 5.0, 256, [8, 32, 128])
    assert (found.engines, found.threads) == (["ktrain", "keras", "onnx", "onnx-int8"], sorted({1, ALL}))
    assert (found.texts, found.label_column) == (str(messages.TEST), "queue")
    assert found.output == Path("results/benchmark/messages")


QUICK = {"quick": True, "repeats": 2, "seconds": 0.5, "rows": 32, "batches": [8, 32], "threads": [ALL]}
QUICK["output"] = Path("results/benchmark/messages-quick")
OF_REVIEWS = {"texts": "reviews_test.xlsx", "label_column": None, "output": Path("results/benchmark/reviews")}
FLAGS = ("base", "drop-missing", "prepare", "allow-disagreement", "overwrite", "debug")


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        *[([f"--{flag}"], {flag.replace("-", "_"): True}) for flag in FLAGS],
        (["--engines", "onnx, keras"], {"engines": ["onnx", "keras"]}),
        (["--devices", "cpu,gpu"], {"devices": ["cpu", "gpu"]}),
        (["--threads", "3"], {"threads": [3]}),
        (["--threads", "all,3"], {"threads": [ALL, 3]}),
        (["--scenarios", "cold,single"], {"scenarios": ["cold", "single"]}),
        (["--lengths", "fixed"], {"lengths": ["fixed"]}),
        (["--batches", "64,4"], {"batches": [4, 64]}),
        (["--texts", "reviews_test.xlsx"], OF_REVIEWS),
        (["--texts", "reviews_test.xlsx", "--label-column", "truth"], {**OF_REVIEWS, "label_column": "truth"}),
        (["--text-column", "Reviews"], {"text_column": "Reviews"}),
        (["--sheet", "2"], {"sheet": "2"}),
        (["--encoding", "cp1252"], {"encoding": "cp1252"}),
        (["--rows", "7"], {"rows": 7}),
        (["--repeats", "3"], {"repeats": 3}),
        (["--seconds", "0.1"], {"seconds": 0.1}),
        (["--quick"], QUICK),
        (["--quick", "--repeats=4", "--seconds=2", "--rows=9"], {**QUICK, "repeats": 4, "seconds": 2.0, "rows": 9}),
        (["--output", "x/y"], {"output": Path("x/y")}),
    ],
)
def test_every_option_is_taken(arguments, changed):
    defaults = vars(parse("predictors/a"))
    assert vars(parse("predictors/a", *arguments)) == {**defaults, **changed}
    assert all(value != defaults[name] for name, value in changed.items() if name != "threads")


REFUSED = ("devices=cuda", "scenarios=warm", "lengths=short", "batches=0", "threads=0", "threads=some", "seconds=0")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        *((["a", f"--{option}"], f"^--{option.split('=')[0]}: ") for option in (*REFUSED, "repeats=0", "engines=onnx,")),
        ([], "at least one predictor"),
        (["a", "--label-column", "b"], "--texts"),
        (["a", "--base", "--prepare"], "--prepare"),
    ],
)
def test_options_that_are_refused(arguments, reason):
    with pytest.raises(InputError, match=reason) as caught:
        parse(*arguments)
    assert "\n" not in str(caught.value)
