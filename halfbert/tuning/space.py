"""What is searched over: the dimensions, their defaults, and what a point of the space means to a training run.

A *setting* is a dict of options of training, by their names; plain JSON.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from halfbert.data.phrases import counted
from halfbert.models import batching, layers
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.long_texts import CUT, WAYS
from halfbert.options import TuneOptions
from halfbert.options.training import HEADS

RATES = 5.0  # times the usual rate, and the same part of it
EPOCHS = 2  # times the usual number, and the same part of it
BATCH_SIZES = (8, 16, 32)
SHORTER = (2, 4)  # parts of the usual maxlen that are tried
SHORTEST = 16  # tokens
SHARES = {"all": Fraction(1), "2/3": Fraction(2, 3), "1/3": Fraction(1, 3)}  # of a checkpoint's layers
SAMPLE = 2000  # texts whose length is looked at
AUTO = "auto"

Setting = dict[str, Any]


@dataclass(frozen=True)
class Dimension:
    """One setting's values: `choices`, or the numbers from `low` to `high`, evenly by their logarithm."""

    default: Any
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0

    def suggest(self, trial: Any, name: str) -> Any:
        """The value that Optuna's `trial` takes."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if isinstance(self.default, int):
            return trial.suggest_int(name, int(self.low), int(self.high), log=True)
        return trial.suggest_float(name, self.low, self.high, log=True)

    @property
    def described(self) -> list[Any]:
        """The choices, or the two ends."""
        return list(self.choices) or [self.low, self.high]


@dataclass(frozen=True)
class Space:
    """The `dimensions` by name, the settings that are not searched over, and the checkpoints by the names of the options."""

    dimensions: dict[str, Dimension]
    fixed: Setting
    checkpoints: Mapping[str, Checkpoint]

    @property
    def default(self) -> dict[str, Any]:
        """The point of the default settings."""
        return {name: dimension.default for name, dimension in self.dimensions.items()}

    def suggest(self, trial: Any) -> Setting:
        """The setting that Optuna's `trial` takes."""
        return self.setting({name: dimension.suggest(trial, name) for name, dimension in self.dimensions.items()})

    def setting(self, point: Mapping[str, Any]) -> Setting:
        """The setting of a point: a share of layers becomes a number, a rate what is read well."""
        setting = {**self.fixed, **point}
        if setting["keep"] in SHARES:
            share, available = SHARES[setting["keep"]], layers.number_of(self.checkpoints[setting["checkpoint"]].config)
            setting["keep"] = None if share == 1 else max(1, round(share * available))
        if setting["maxlen"] == AUTO:
            setting["maxlen"] = None
        return {**setting, "lr": float(f"{setting['lr']:.3g}")}

    def epoch_cost(self, setting: Setting) -> float:
        """What an epoch costs, in no unit: the weights of the layers that a token passes."""
        config = self.checkpoints[setting["checkpoint"]].config
        hidden = config.get("hidden_size") or config.get("dim") or 768
        inner = config.get("intermediate_size") or config.get("hidden_dim") or 4 * hidden
        return (setting["keep"] or layers.number_of(config)) * (4.0 * hidden**2 + 2.0 * hidden * inner)


def build(options: TuneOptions, checkpoints: Mapping[str, Checkpoint], rows: int, usual_maxlen: int) -> Space:
    """The space of the options for so many training rows, whose texts are truncated at `usual_maxlen` unless told otherwise."""
    names = options.checkpoints
    recipes = [checkpoints[name].recipe for name in names]
    epochs = [checkpoints[name].epochs(rows) for name in names]
    rates = [recipe["learning_rate"] for recipe in recipes]
    shorter = tuple(usual_maxlen // part for part in SHORTER if usual_maxlen // part >= SHORTEST)
    known = {
        "checkpoint": Dimension(names[0], tuple(names)),
        "lr": Dimension(float(rates[0]), low=min(rates) / RATES, high=max(rates) * RATES),
        "epochs": Dimension(epochs[0], low=math.ceil(min(epochs) / EPOCHS), high=max(epochs) * EPOCHS),
        "batch_size": Dimension(16, BATCH_SIZES),
        "maxlen": Dimension(AUTO, (AUTO, *shorter)),
        "long": Dimension(CUT, WAYS if shorter or options.maxlen or usual_maxlen == batching.LONGEST else (CUT,)),
        "keep": Dimension("all", _shares(min(layers.number_of(checkpoints[name].config) for name in names))),
        "head": Dimension(recipes[0]["head"], HEADS),
    }
    given = {name: value for name in known if (value := getattr(options, name, None)) is not None}
    searched = options.search or [name for name in known if name not in given]
    dimensions = {name: known[name] for name in searched if len(known[name].choices) != 1}
    fixed = {name: given.get(name, dimension.default) for name, dimension in known.items() if name not in dimensions}
    return Space(dimensions, fixed, checkpoints)


def _shares(fewest_layers: int) -> tuple[str, ...]:
    """The shares that leave different numbers of the layers."""
    kept: dict[int, str] = {}
    for name, share in SHARES.items():
        kept.setdefault(max(1, round(share * fewest_layers)), name)
    return tuple(kept.values())


def usual_maxlen(checkpoint: Checkpoint, texts: list[str], way: str) -> int:
    """About what training would choose for maxlen, from a sample of the training texts."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    return batching.encode(tokenizer, texts[:: max(1, len(texts) // SAMPLE)], None, way)[1]


def described(setting: Setting) -> str:
    """A setting in words."""
    maxlen, layers_kept = setting["maxlen"] or AUTO, counted(setting["keep"], "layer") if setting["keep"] else "all layers"
    return (
        f"{setting['checkpoint']}, rate {setting['lr']:g}, {counted(setting['epochs'], 'epoch')}, batches of "
        f"{setting['batch_size']}, maxlen {maxlen} ({setting['long']}), {layers_kept}, "
        f"{setting['head']} head"
    )
