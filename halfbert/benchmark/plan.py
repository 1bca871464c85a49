"""What a benchmark times: texts, predictors, contestants and cases, before anything is measured."""

import dataclasses
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from halfbert.data import formats, tables
from halfbert.models import weights as encoder
from halfbert.predictor import manifest
from halfbert.system import machine, storage
from halfbert.system.console import say
from halfbert.system.errors import InputError

FIXED_TOKENS, FIXED_TEXTS = 128, 128


def read_texts(options) -> dict:
    """The texts to answer, drawn at random (always the same), and their true labels where a column holds them.

    Raises InputError as every reading of a table does.
    """
    columns = [options.text_column, *([options.label_column] if options.label_column else [])]
    table = formats.read_table(options.texts, columns, role="test", sheet=options.sheet, encoding=options.encoding)

    def labels(table: formats.Table) -> list[str | None]:
        values = table.columns.get(options.label_column, [])
        cells = [formats.cell_text(v, tables.place(table, i, options.label_column)) for i, v in enumerate(values)]
        return cells or [None] * len(table.numbers)

    notes = list(table.notes)
    rows = tables.complete_rows(
        {"test": table}, options.text_column, options.label_column, labels, options.drop_missing, {}, notes
    )["test"]
    for note in notes:
        say(f"  {note}")
    drawn = rows.take(random.Random(0).sample(range(len(rows)), min(options.rows, len(rows))))
    return {
        "name": machine.shareable(options.texts),
        "sha256": table.sha256,
        "rows": len(rows),
        "used": len(drawn),
        "all": rows.texts,
        "natural": drawn.texts,
        "fixed": _joined(drawn.texts, min(options.rows, FIXED_TEXTS)),
        "labels": drawn.labels if options.label_column else None,
    }


def _joined(texts: Sequence[str], wanted: int) -> list[str]:
    """So many texts of at least FIXED_TOKENS words, and so of as many tokens at least, joined from the given ones."""
    endless = itertools.cycle(texts)
    joined = []
    for _ in range(wanted):
        words: list[str] = []
        while len(words) < FIXED_TOKENS:
            words += next(endless).split()
        joined.append(" ".join(words))
    return joined


def describe(folder: Path, random_weights: bool = False) -> dict:
    """What the record says of a predictor folder. Raises ArtefactError or InputError where it is none."""
    found, read = manifest.check(folder), encoder.read(folder)
    return {
        "name": folder.resolve().name,
        "folder": folder,
        "model": read.kind,
        "task": found.manifest.task,
        "labels": found.manifest.labels,
        "maxlen": found.manifest.maxlen,
        "positions": found.config["max_position_embeddings"],
        "weights_sha256": found.weights_sha256,
        "agreement": {engine: dataclasses.asdict(figures) for engine, figures in found.manifest.agreement.items()},
        "parameters": sum(weights.size for weights in read.weights.values()),
        "folder_bytes": storage.folder_bytes(folder) - storage.folder_bytes(folder / "engines"),  # as it was saved
        "sizes": {
            "hidden": read.weights["words"].shape[1],
            "feed_forward": read.weights["layers.0.intermediate.kernel"].shape[1],
            "layers": read.layers,
            "labels": len(found.manifest.labels),
        },
        "score": None if random_weights else _score(found.manifest),
        "random_weights": random_weights,
    }


def _score(found: manifest.Manifest) -> dict | None:
    """The score that is quoted for the task, as the training run measured it on its test rows."""
    name = "accuracy" if found.task == "multiclass" else "micro_f1"
    value = (found.test or {}).get(name)
    return None if value is None else {"name": name.replace("_f1", " F1"), "value": value}


def check_names(predictors: list[dict]) -> None:
    """Raise InputError where two predictors would go by one name in the tables."""
    names = [predictor["name"] for predictor in predictors]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two predictors are called {name!r}; rename one of the folders")


def contestants(options, predictors: list[dict]) -> list[dict]:
    """Every predictor with every engine in every setting, as the record lists them; nothing is measured yet.

    A device does its work with all processors at hand, so it has one setting.
    """
    found = []
    for predictor, device, engine in itertools.product(predictors, options.devices, options.engines):
        for threads in options.threads if device == "cpu" else options.threads[-1:]:
            found.append(
                {
                    "predictor": predictor["name"],
                    "engine": engine,
                    "device": device,
                    "threads": threads,
                    "setting": f"cpu, {threads} {'thread' if threads == 1 else 'threads'}" if device == "cpu" else device,
                    "not_run": None,
                    "model_alone": None,
                    "weight_bytes": None,
                    "accuracy": None,
                    "equal_answers": None,
                    "cold": [],
                    "cases": [],
                }
            )
    return found


def cases(options, texts: dict) -> list[dict]:
    """What is timed of each contestant: scenario, lengths, part, texts a call, texts a pass."""
    batches = options.batches
    found = []
    for lengths, part in itertools.product(options.lengths, ("end to end", "model")):
        many = len(texts[lengths])
        if "single" in options.scenarios:
            found.append({"scenario": "single", "lengths": lengths, "part": part, "batch": 1, "texts": many})
        if "offline" in options.scenarios:
            whole = -(-many // max(batches)) * max(batches)  # so that every batch is full
            found += [{"scenario": "offline", "lengths": lengths, "part": part, "batch": b, "texts": whole} for b in batches]
    if "paper" in options.scenarios:
        one = {"lengths": "natural", "part": "end to end", "batch": 1, "texts": len(texts["natural"])}
        found.append({"scenario": "paper", **one})
    return found


def gflop(sizes: dict, lengths: Sequence[int]) -> float:
    """10⁹ operations of the encoder's matrix products, and the classifier's, for texts of so many tokens each."""
    h, f = sizes["hidden"], sizes["feed_forward"]
    tokens = np.asarray(lengths, dtype=float)
    layer = tokens * (4 * h * h + 2 * h * f) + 2 * tokens**2 * h
    return float(2 * np.sum(sizes["layers"] * layer + h * h + h * sizes["labels"]) / 1e9)
