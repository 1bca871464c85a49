"""The space: the default point is what training does by itself, what is given is not searched, and points become options."""

import random
from types import SimpleNamespace

import pytest
from support import write_checkpoint

from halfbert.models.checkpoints import SMALL_RECIPE, Checkpoint
from halfbert.options import TuneOptions
from halfbert.system.errors import InputError
from halfbert.tuning import space


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {"distilbert": ("distilbert", 3), "bert=six": ("bert", 6)}
    return {
        name: Checkpoint(name, write_checkpoint(folder / model, model, layers=layers), model, "0" * 64)
        for name, (model, layers) in made.items()
    }


def build(found, usual=100, **options):
    options = TuneOptions(**options)
    return space.build(options, {name: found[name] for name in options.checkpoints}, 5000, usual)


def drawn(laid_out, seed=0):
    generator = random.Random(seed)
    suggest = SimpleNamespace(
        suggest_categorical=lambda _, choices: generator.choice(choices),
        suggest_int=lambda _, low, high, log: generator.randint(low, high),
        suggest_float=lambda _, low, high, log: generator.uniform(low, high),
    )
    return laid_out.suggest(suggest)


def test_the_default_is_what_training_does(checkpoints):
    setting = build(checkpoints).setting(build(checkpoints).default)
    recipe = {"lr": SMALL_RECIPE["learning_rate"], "epochs": SMALL_RECIPE["epochs"], "head": SMALL_RECIPE["head"]}
    assert setting == {"checkpoint": "distilbert", "batch_size": 16, "maxlen": None, "long": "cut", "keep": None, **recipe}


def test_what_is_given_is_not_searched(checkpoints):
    laid_out = build(checkpoints, lr=1e-3, epochs=7, keep=2, maxlen=50)
    assert set(laid_out.dimensions) == {"batch_size", "long", "head"}
    setting = drawn(laid_out)
    assert (setting["lr"], setting["epochs"], setting["keep"], setting["maxlen"]) == (1e-3, 7, 2, 50)
    only = build(checkpoints, search=["lr"])
    assert set(only.dimensions) == {"lr"} and drawn(only) | {"lr": 0} == only.setting(only.default) | {"lr": 0}


def test_points_become_options_of_training(checkpoints):
    laid_out = build(checkpoints, checkpoints=["distilbert", "bert=six"])
    settings = [drawn(laid_out, seed) for seed in range(200)]
    assert {(one["checkpoint"], one["keep"]) for one in settings} == {
        *(("distilbert", keep) for keep in (None, 2, 1)),
        *(("bert=six", keep) for keep in (None, 4, 2)),
    }
    assert {one["maxlen"] for one in settings} == {None, 50, 25}
    assert {one["long"] for one in settings} == {"cut", "head-tail", "windows"}
    assert all(4e-5 <= one["lr"] <= 1e-3 and float(f"{one['lr']:.3g}") == one["lr"] for one in settings)
    assert all(3 <= one["epochs"] <= 10 for one in settings)
    short = [drawn(build(checkpoints, usual=20), seed) for seed in range(20)]
    assert {(one["maxlen"], one["long"]) for one in short} == {(None, "cut")}  # no text would be longer


def test_layers_cost(checkpoints):
    laid_out = build(checkpoints)
    setting = laid_out.setting(laid_out.default)
    assert laid_out.epoch_cost({**setting, "keep": 1}) == pytest.approx(laid_out.epoch_cost(setting) / 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workers": 2}, "--workers goes with --ray"),
        ({"search": ["lr"], "lr": 1e-4}, "--search lr and --lr"),
        ({"search": ["batch_size"], "batch_size": 8}, "--search batch_size and --batch-size"),
        ({"search": ["checkpoint"]}, "give several --checkpoints"),
        ({"search": ["dropout"]}, "is not a list of checkpoint, lr"),
        ({"checkpoints": ["roberta"]}, "bert or distilbert, alone or as NAME=CHECKPOINT"),
        ({"checkpoints": ["bert="]}, "bert or distilbert, alone or as NAME=CHECKPOINT"),
        ({"checkpoints": ["bert", "bert"]}, "each at most once"),
        ({"balance": True}, "--balance goes with --task multilabel"),
        ({"minutes": 0}, "--minutes: 0 is not a number above 0"),
    ],
)
def test_refused(options, says):
    with pytest.raises(InputError) as caught:
        TuneOptions(**options)
    assert says in str(caught.value)
