"""Measure a predictor's smaller files against their scores.

python -m tools.smaller --predictors DIR --results DIR --data DIR

DIR/NAME are predictors and results of training runs on the tables that NAMES lists, whose files are in --data. Every way of
rounding is scored on the run's test rows, beside what Keras answered to them in that run; words are chosen by training and
validation texts. With a pruned vocabulary other words are read in the pieces that are left, at worst by the letter. Writes
results/published/smaller/NAME.json. Some ten minutes of one core for each table.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from halfbert.data import messages
from halfbert.data.tables import Data, Reading
from halfbert.export import smaller
from halfbert.models import batching, onnx_graph, onnx_storage, weights
from halfbert.output import drawing
from halfbert.output import record as training_record
from halfbert.predictor import classifier, manifest, proving
from halfbert.predictor.engines import onnx
from halfbert.predictor.manifest import Predictor
from halfbert.runs.texts import OPTIONS
from halfbert.scoring import intervals
from halfbert.scoring.probabilities import probabilities_of
from halfbert.scoring.review import answered_labels
from halfbert.system import machine, storage
from halfbert.training import tasks
from tools.tables import CHIEF_SCORE, known
from tools.tables import NAMES as NAMES_OF_TABLES

PUBLISHED = machine.PROJECT / "results" / "published" / "smaller"
NAMES = ("messages-distilbert-seed0", "banking77-distilbert-seed0", "goemotions-distilbert-seed0", "news-6000-distilbert-seed0")
OTHER_KIND = 1000  # texts of another table, answered with each vocabulary
VOCABULARY = "vocab.txt"
PICTURE = "size_score.png"
TARGET_MEGABYTES = 10


@dataclass(frozen=True)
class Way:
    """A graph, the bytes of graph and vocabulary, and the pieces that texts are read in; None: all."""

    name: str
    graph: bytes
    bytes: int
    pieces: frozenset[int] | None = None


@dataclass(frozen=True)
class Measured:
    """Of a way: its score on the test rows, that less the float32 score, equal decisions there and on texts of another kind."""

    name: str
    bytes: int
    score: intervals.Interval
    difference: intervals.Difference
    equal: float
    equal_of_another_kind: float


def main(argv: list[str]) -> int:
    """Measure the tables, and write a record of each."""
    parser = argparse.ArgumentParser(prog="python -m tools.smaller", description=__doc__)
    for name in ("predictors", "results", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    for name in given.names:
        record = training_record.read(given.results / name)
        predictor, data = manifest.check(given.predictors / name), read(record, given.data)
        reference, numbers = training_record.read_answers(given.results / name)
        assert data.test.numbers == numbers.tolist()
        # Messages are of another kind than news and questions to a bank, news than messages.
        other = next(each for each in NAMES if each.split("-")[0] == ("news" if name.startswith("messages") else "messages"))
        others = read(training_record.read(given.results / other), given.data).test.texts[:OTHER_KIND]
        found = list(measure(predictor, data, reference, others, given.threads))
        rows = {part: len(of_part) for part, of_part in data.parts()}
        content = {
            **{"name": name, "task": record.task, "model": record.model, "score": CHIEF_SCORE[record.task], "rows": rows},
            **{"other_kind": {"table": other.split("-")[0], "rows": len(others)}, "ways": [asdict(each) for each in found]},
            "environment": vars(machine.describe("cpu", given.threads, "float32", 0)),
        }
        PUBLISHED.mkdir(parents=True, exist_ok=True)
        storage.write_text(json.dumps(content, indent=2, default=vars) + "\n", PUBLISHED / f"{name}.json")
    draw(published(), PUBLISHED / PICTURE)
    return 0


def published() -> dict[str, dict[str, Any]]:
    """The committed records, by the table that they are of."""
    files = {name.split("-")[0]: PUBLISHED / f"{name}.json" for name in NAMES}
    return {table: json.loads(file.read_text(encoding="utf-8")) for table, file in files.items() if file.is_file()}


def draw(records: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws what each way's score is above float32's, with its interval, against the megabytes; a panel for each table."""
    with drawing.picture(path, 13.4, 4.2) as canvas:
        panels = canvas.subplots(1, len(records), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (table, record) in zip(panels, records.items(), strict=True):
            for way in record["ways"]:
                difference = way["difference"]
                middle, low, high = (100 * difference[end] for end in ("difference", "low", "high"))
                colour = drawing.VERMILLION if way["name"].startswith("pruned") else drawing.BLUE
                errors = [[middle - low], [high - middle]]
                axes.errorbar(way["bytes"] / 1e6, middle, errors, marker="o", color=colour, capsize=2, linestyle="none")
            axes.axhline(0, color=drawing.GREY, linewidth=0.8)
            axes.axvline(TARGET_MEGABYTES, color=drawing.GREY, linewidth=0.8, linestyle="--")
            axes.set(xscale="log", title=NAMES_OF_TABLES[table], xlabel="MB (log scale)")
            axes.set_xticks([6, 10, 20, 50], ["6", "10", "20", "50"])
            axes.minorticks_off()
        panels[0].set_ylabel("score less float32's, points")
        drawing.title(
            canvas,
            "Size of model and vocabulary against score, mini DistilBERT",
            "blue: every word kept; red: pruned vocabulary; bars: 95 % intervals over the test rows",
        )


def read(record: training_record.Record, folder: Path) -> Data:
    """The rows of a run, from its files in `folder` or among the embedded ones."""
    files = {file.role: folder / file.name for file in record.data.files}
    parts: dict[str, Any] = {role: str(f if f.is_file() else messages.TEST.parent / f.name) for role, f in files.items()}
    given = {name: record.options[name] for name in OPTIONS if name in record.options}
    reader, columns = tasks.reader(record.task, SimpleNamespace(**record.options))
    return reader(Reading(**parts, **given, seed=known(record.split).seed), **columns)


def measure(
    predictor: Predictor, data: Data, reference: np.ndarray, others: list[str], threads: int | None
) -> Iterator[Measured]:
    """Every way, from (test rows, labels) probabilities of Keras; `others` are texts of another kind."""
    stated = predictor.manifest
    score = intervals.COMPARED[stated.task][CHIEF_SCORE[stated.task]]
    truth, exact = tasks.truth(stated.task, data.test, data.labels) > 0, _answers(predictor, reference)
    of_others: np.ndarray | None = None
    for way in ways(predictor, data.train.texts + data.val.texts):
        session = onnx.open_session(way.graph, threads)
        probabilities = [answer(predictor, way, session, texts) for texts in (data.test.texts, others)]
        of_others = probabilities[1] if of_others is None else of_others
        answers = _answers(predictor, probabilities[0])
        yield Measured(
            way.name,
            way.bytes,
            intervals.bootstrap(score, truth, [answers]),
            intervals.paired_bootstrap(score, truth, [answers], [exact]),
            proving.compare(reference, probabilities[0], stated.thresholds)[0],
            proving.compare(of_others, probabilities[1], stated.thresholds)[0],
        )


def ways(predictor: Predictor, texts: list[str]) -> Iterator[Way]:
    """float32, the engine onnx-int8, and the same in fewer bytes."""
    graph, encoder = smaller.int8_graph(predictor), weights.read(predictor.folder)
    vocabulary = (predictor.folder / VOCABULARY).stat().st_size
    fine = smaller.most_used(predictor, texts)
    graphs = {
        "float32": onnx_graph.write(encoder),
        "int8 (engine onnx-int8)": onnx_graph.write(encoder, smaller.KERNEL_BITS),
        "words in 8 bits": onnx_storage.in_8_bits(graph),
        **{
            f"{smaller.FINE_WORDS:,} words in 8 bits, others in {bits}": onnx_storage.in_8_bits(
                graph, smaller.word_bits(predictor, fine, bits)
            )
            for bits in (4, 2)
        },
        "words in 4 bits": onnx_storage.in_8_bits(graph, smaller.word_bits(predictor, fine[:1], 4)),
    }
    for name, made in graphs.items():
        yield Way(name, made, len(made) + vocabulary)
    pieces = json.loads((predictor.folder / manifest.TOKENIZER).read_text(encoding="utf-8"))["model"]["vocab"]
    units = encoder.weights["words"].shape[1]
    for least, name in ((1, "pruned to the texts' pieces"), (2, "pruned to pieces of two texts or more")):
        kept = kept_pieces(pieces, smaller.counted_pieces(predictor, texts), least)
        left_out = [(piece, number) for piece, number in pieces.items() if number not in kept]
        # The whole table answers alike; the file has no row and no line of what is left out.
        spared = len(left_out) * (units + 2) + sum(len(piece.encode()) + 1 for piece, _ in left_out)
        yield Way(name, graphs["words in 8 bits"], len(graphs["words in 8 bits"]) + vocabulary - spared, kept)


def kept_pieces(pieces: dict[str, int], counts: dict[int, int], least: int) -> frozenset[int]:
    """The pieces that so many texts have, the special ones, and every character, alone and within a word."""
    always = (number for piece, number in pieces.items() if len(piece.removeprefix("##")) == 1 or is_special(piece))
    return frozenset(always) | {number for number, count in counts.items() if count >= least}


def is_special(piece: str) -> bool:
    """Whether a piece is one of those in brackets that texts are given."""
    return piece.startswith("[") and piece.endswith("]") and not piece.startswith(smaller.UNUSED)


def pruned(tokenizer: Tokenizer, pieces: frozenset[int]) -> Tokenizer:
    """The tokenizer without the other pieces; those left keep their numbers. A word is read by the longest that are left."""
    stated = json.loads(tokenizer.to_str())
    stated["model"]["vocab"] = {piece: number for piece, number in stated["model"]["vocab"].items() if number in pieces}
    return Tokenizer.from_str(json.dumps(stated))


def answer(predictor: Predictor, way: Way, session: Any, texts: list[str]) -> np.ndarray:
    """(texts, labels) float32 probabilities."""
    stated, tokenizer = predictor.manifest, classifier.read_tokenizer(predictor)
    if way.pieces is not None:
        tokenizer = pruned(tokenizer, way.pieces)
    encoded, _ = batching.encode(tokenizer, texts, stated.maxlen, stated.long)

    def pool(part: batching.EncodedTexts, of_rows: np.ndarray) -> np.ndarray:
        return part.pooled(of_rows, stated.pooling, stated.task == "multilabel")

    forward, labels = onnx.forward_of(session), len(stated.labels)
    logits = batching.predict([encoded], len(texts), labels, forward, 1024, way.name, pool=pool)
    return probabilities_of(logits, stated.task).astype(np.float32)


def _answers(predictor: Predictor, probabilities: np.ndarray) -> np.ndarray:
    """(rows, labels) of bool: the labels that are predicted."""
    if predictor.manifest.task == "multilabel":
        return answered_labels(probabilities, predictor.manifest.thresholds)
    return np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
