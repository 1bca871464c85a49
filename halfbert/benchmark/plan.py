"""What a benchmark times: texts, predictors, contestants and cases, before anything is measured."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from halfbert.benchmark.figures import too_good
from halfbert.benchmark.record import Case, Contestant, Predictor, Score, Sizes, TextsUsed
from halfbert.data import multiclass
from halfbert.data.phrases import counted, listed_names
from halfbert.data.tables import Layout
from halfbert.data.texts import SEPARATOR
from halfbert.models import weights
from halfbert.options import BenchmarkOptions
from halfbert.output.words import printable
from halfbert.predictor import gate, manifest
from halfbert.system import machine, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, InputError

FIXED_TOKENS, FIXED_TEXTS = 128, 128
START_SECONDS = 5  # of a process and its warm-up, on average; for the estimate only


@dataclass
class Texts:
    """The texts to answer: those drawn, by lengths ("natural" or "fixed"); their true labels, if known; all of the table."""

    used: TextsUsed
    by_lengths: dict[str, list[str]]
    labels: Sequence[str | tuple[str, ...]] | None
    whole_table: list[str]


@dataclass
class Subject:
    """A predictor folder, what the record says of it, and the tokens of each text's windows, once a worker counted them."""

    folder: Path
    described: Predictor
    token_lengths: dict[str, list[list[int]]] = field(default_factory=dict)


@dataclass
class Plan:
    """Everything that a benchmark is to measure; the contestants collect what was measured of them."""

    options: BenchmarkOptions
    texts: Texts
    subjects: list[Subject]

    def __post_init__(self) -> None:
        names = [subject.described.name for subject in self.subjects]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two predictors are called {name!r}; rename one of the folders")
        self.contestants = contestants(self.options, names)
        self.cases = cases(self.options, self.texts)

    @property
    def running(self) -> list[Contestant]:
        """The contestants that can be measured."""
        return [contestant for contestant in self.contestants if not contestant.not_run]

    def subject(self, contestant: Contestant) -> Subject:
        """The predictor of a contestant."""
        return next(subject for subject in self.subjects if subject.described.name == contestant.predictor)

    def line(self, pairs: int) -> str:
        """What will be timed, and about how long that takes."""
        options = self.options
        timed = sum(case.scenario != "paper" for case in self.cases) * options.seconds
        each = len(self.contestants) * (START_SECONDS + timed) + pairs * (START_SECONDS + options.seconds)
        minutes = counted(max(1, round(options.repeats * each / 60)), "minute")
        counts = {"contestant": len(self.contestants), "case": len(self.cases), "pair": pairs}
        what = ", ".join(counted(count, noun) for noun, count in counts.items())
        return f"{what}, {counted(options.repeats, 'repeat')} of {options.seconds:g} s each: about {minutes}, or more"


def read_texts(options: BenchmarkOptions) -> Texts:
    """The texts to answer, drawn at random (always the same), and their true labels where a column holds them.

    Raises InputError as every reading of a table does.
    """
    rows, table = multiclass.read_texts(
        options.texts,
        options.text_column,
        options.label_column,
        role="test",
        layout=Layout.of(options),
        drop_missing=options.drop_missing,
    )
    for note in table.notes:
        say(f"  {note}")
    drawn = rows.take(random.Random(0).sample(range(len(rows)), min(options.rows, len(rows))))
    return Texts(
        used=TextsUsed(name=printable(machine.shareable(options.texts)), sha256=table.sha256, rows=len(rows), used=len(drawn)),
        by_lengths={"natural": drawn.texts, "fixed": _joined(drawn.texts, min(options.rows, FIXED_TEXTS))},
        labels=drawn.labels if options.label_column else None,
        whole_table=rows.texts,
    )


def _joined(texts: Sequence[str], wanted: int) -> list[str]:
    """So many texts of at least FIXED_TOKENS words, and so of as many tokens at least, joined from the given ones."""
    endless = itertools.cycle(texts)
    joined = []
    for _ in range(wanted):
        words: list[str] = []
        while len(words) < FIXED_TOKENS:
            words += next(endless).split() or ["."]
        # What is cut to length keeps the separators of text columns, without which it is no row of them.
        joined.append(" ".join(sorted(words, key=lambda word: word != SEPARATOR)))
    return joined


def check_columns(subjects: Sequence[Subject], texts: Texts) -> None:
    """Raise InputError if a predictor of several text columns is to answer texts that are not made of as many."""
    for subject in subjects:
        columns = manifest.read(subject.folder).text_columns
        if len(columns) > 1 and any(text.count(SEPARATOR) < len(columns) - 1 for text in texts.by_lengths["natural"]):
            named = listed_names(columns)
            raise InputError(
                f"{subject.folder}: answers rows of {len(columns)} columns, {named}; give a table with them as --texts, and "
                "name them with --text-column"
            )


def count_known(subjects: Sequence[Subject], texts: Texts) -> None:
    """Count the drawn texts that each predictor learned from, and say so. Raises ArtefactError for damaged digests."""
    drawn = texts.by_lengths["natural"]
    for subject in subjects:
        data = manifest.read(subject.folder).data
        try:
            subject.described.learned_from = data.learned_from(drawn)
        except ValueError as error:
            raise ArtefactError(f"{subject.folder / manifest.MANIFEST}: its digests of texts are damaged ({error})") from error
        if data.train_texts is None and texts.used.sha256 in {file.sha256 for file in data.files if file.role != "test"}:
            say(f"note: {subject.described.name} was trained on rows of {texts.used.name}; its manifest does not say on which")
        if texts.labels is not None and (warning := too_good(subject.described, len(drawn))):
            say(f"warning: {warning}; name other texts with --texts")


def describe(folder: Path, threads: int | None = None, random_weights: bool = False) -> Subject:
    """A predictor folder to time with so many threads at most. Raises ArtefactError or InputError where it is none."""
    checked, read = manifest.check(folder), weights.read(folder)
    stated = checked.manifest
    described = Predictor(
        name=folder.resolve().name,
        model=read.kind,
        task=stated.task,
        labels=stated.labels,
        maxlen=stated.maxlen,
        positions=checked.config["max_position_embeddings"],
        weights_sha256=checked.weights_sha256,
        agreement=dict(stated.agreement),
        parameters=sum(array.size for array in read.weights.values()),
        folder_bytes=storage.folder_bytes(folder) - storage.folder_bytes(folder / "engines"),  # as it was saved
        sizes=Sizes(
            hidden=read.weights["words"].shape[1],
            feed_forward=read.weights["layers.0.intermediate.kernel"].shape[1],
            layers=read.layers,
            labels=len(stated.labels),
        ),
        score=None if random_weights else _score(stated),
        random_weights=random_weights,
        choice=None if random_weights else gate.choice(checked, threads),
    )
    return Subject(folder, described)


def _score(stated: manifest.Manifest) -> Score | None:
    """The score that is quoted for the task, as the training run measured it on its test rows."""
    name = "accuracy" if stated.task == "multiclass" else "micro_f1"
    value = (stated.test or {}).get(name)
    return None if value is None or not math.isfinite(value) else Score(name=name.replace("_f1", " F1"), value=value)


def contestants(options: BenchmarkOptions, predictors: Sequence[str]) -> list[Contestant]:
    """Every predictor with every engine in every setting; nothing is measured yet.

    A device does its work with all available processors, so it has one setting.
    """
    return [
        Contestant(
            predictor=predictor,
            engine=engine,
            device=device,
            threads=threads,
            setting=f"cpu, {counted(threads, 'thread')}" if device == "cpu" else device,
        )
        for predictor, device, engine in itertools.product(predictors, options.devices, options.engines)
        for threads in (options.threads if device == "cpu" else options.threads[-1:])
    ]


def cases(options: BenchmarkOptions, texts: Texts) -> list[Case]:
    """What is timed of each contestant."""
    planned = []
    for lengths, part in itertools.product(options.lengths, ("end to end", "model")):
        many = len(texts.by_lengths[lengths])
        if "single" in options.scenarios:
            planned.append(Case(scenario="single", lengths=lengths, part=part, batch=1, texts=many))
        if "offline" in options.scenarios:
            whole = full_batches(many, max(options.batches))  # the same texts for each batch size
            planned += [Case(scenario="offline", lengths=lengths, part=part, batch=b, texts=whole) for b in options.batches]
    if "paper" in options.scenarios:
        many = len(texts.by_lengths["natural"])
        planned.append(Case(scenario="paper", lengths="natural", part="end to end", batch=1, texts=many))
    return planned


def full_batches(texts: int, batch: int) -> int:
    """The least number of texts, these or more, that fills every batch."""
    return -(-texts // batch) * batch


def gflop(sizes: Sizes, lengths: Sequence[int]) -> float:
    """10⁹ operations of the encoder's matrix products, and the classifier's, for texts of so many tokens each."""
    h, f = sizes.hidden, sizes.feed_forward
    tokens = np.asarray(lengths, dtype=float)
    layer = tokens * (4 * h * h + 2 * h * f) + 2 * tokens**2 * h
    return float(2 * np.sum(sizes.layers * layer + h * h + h * sizes.labels) / 1e9)
