"""Plain texts and their teacher's embeddings, for `--objective embedding`: read once, kept on disk, mapped into memory.

Texts are tokenised and embedded some thousand at a time, in the order in which they are read, and appended to three files in
the user's cache: token ids, lengths, embeddings. A killed run resumes after the last of them; a second run with the same
texts and teacher finds them all. The texts themselves are not kept.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data import lines
from halfbert.data.equality import digest
from halfbert.data.formats import ACCEPTED_FILES, READ_SUFFIXES
from halfbert.data.phrases import counted
from halfbert.distillation import rows
from halfbert.models import batching, checkpoints
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import DataFile
from halfbert.system import console, machine, storage
from halfbert.system.errors import InputError

PLAIN = ".txt"  # one text a line
TEXTS_AT_A_TIME = 8192  # embedded and stored together: the most that a killed run loses
ONE_HELD_OUT_OF = 200  # texts, chosen by their digest, so that a text is held out in every run or in none
TEXTS_PER_LINE = 8 * TEXTS_AT_A_TIME  # of progress: how many texts there are is not known before they are read
SEEN_BYTES = 8  # of a text's digest, by which equal texts are found
FILES = {"ids": np.int32, "lengths": np.int32, "embeddings": np.float16}

Embed = Callable[[batching.EncodedTexts], np.ndarray]
"""From texts to their (texts, h) embeddings, each of length 1."""


@dataclass(frozen=True)
class Corpus:
    """Distinct texts as the student learns from them; the arrays of tokens and embeddings are memory maps.

    `embeddings`: (texts, h) float16, those of the teacher · `held_out`: (texts,) bool, the texts not to learn from.
    """

    encoded: batching.EncodedTexts
    embeddings: np.ndarray
    held_out: np.ndarray
    embedded_by: str

    @property
    def tokens(self) -> int:
        """How many tokens there are to learn from."""
        return int(self.encoded.lengths[~self.held_out].sum())


def find_files(options: DistillOptions) -> list[Path]:
    """The files of --texts, those of a folder in the order of their names. Raises InputError if there is none."""
    found: list[Path] = []
    for source in map(Path, options.texts or ()):
        if source.is_dir():
            inside = sorted(file for file in source.iterdir() if file.suffix.lower() in READ_SUFFIXES)
            if not inside:
                raise InputError(f"--texts {source}: no file in that folder ends with {ACCEPTED_FILES}")
            found += inside
        else:
            found.append(source)
    return found


def describe_files(files: list[Path]) -> list[DataFile]:
    """The files as records describe them. Raises InputError if one cannot be read."""
    try:
        return [DataFile(role="texts", name=machine.shareable(file.name), sha256=storage.sha256(file)) for file in files]
    except OSError as error:
        raise InputError(f"--texts {error.filename}: cannot be read ({error.strerror})") from error


def read(
    options: DistillOptions,
    teacher: checkpoints.Checkpoint,
    tokenizer: Any,
    maxlen: int,
    embed: Callable[[list[str]], tuple[str, Embed]],
) -> tuple[Corpus, list[DataFile]]:
    """The corpus of --texts, embedded now or by an earlier run, and its files.

    `embed` chooses on some texts how they are embedded, and returns the name and the function. Raises InputError if a file
    cannot be read or there are too few texts.
    """
    files = find_files(options)
    described = describe_files(files)
    how = [options.text_column, options.sheet, options.encoding, options.drop_missing, maxlen]
    how += [each for each in (options.header_row, options.delimiter) if each is not None]  # so that earlier stores are found
    identity = [teacher.weights_sha256, [file.sha256 for file in described], how]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    folder = checkpoints.cache_folder() / "embeddings" / digest[:32]
    folder.parent.mkdir(exist_ok=True)
    with storage.output_lock(folder):
        folder.mkdir(exist_ok=True)
        store = _Store(folder, teacher.config["hidden_size"])
        if not store.complete:
            _embed_all(store, files, options, tokenizer, maxlen, embed)
        corpus = store.open()
    learnt, held_out = int((~corpus.held_out).sum()), int(corpus.held_out.sum())
    if not learnt or held_out < 2:
        raise InputError(
            f"--texts: {counted(len(corpus.held_out), 'distinct text')} can be read, too few to learn from and to hold "
            "out some; add texts"
        )
    console.say(
        f"{counted(len(files), 'file')}: {counted(learnt, 'distinct text')} ({corpus.tokens / 1e6:.1f} M tokens) to "
        f"learn from, {held_out:,} held out; embedded by {corpus.embedded_by}"
    )
    return corpus, described


def _embed_all(
    store: "_Store",
    files: list[Path],
    options: DistillOptions,
    tokenizer: Any,
    maxlen: int,
    embed: Callable[[list[str]], tuple[str, Embed]],
) -> None:
    new = itertools.islice(_distinct(files, options), store.texts, None)
    name, forward = "", None
    while part := list(itertools.islice(new, TEXTS_AT_A_TIME)):
        if forward is None:
            name, forward = embed(part)
        encoded, _ = batching.encode(tokenizer, part, maxlen)
        store.append(encoded, forward(encoded), np.array([_is_held_out(text) for text in part]), name)
        if store.texts % TEXTS_PER_LINE == 0:
            console.say(f"teacher's embeddings: {counted(store.texts, 'text')}")
    store.finish()


def _distinct(files: list[Path], options: DistillOptions) -> Iterator[str]:
    """The texts of the files in their order, each once; equal are texts that `data.equality` finds equal."""
    seen: set[bytes] = set()
    for file in files:
        plain = file.suffix.lower() == PLAIN
        for text in _plain_lines(file, options.encoding) if plain else rows.read_texts(str(file), "texts", options)[0]:
            shortened = digest(text)[:SEEN_BYTES]
            if shortened not in seen:
                seen.add(shortened)
                yield text


def _plain_lines(file: Path, encoding: str | None) -> Iterator[str]:
    try:
        with file.open("rb") as stream:
            _, found = lines.lines_of(file, stream, encoding)
            yield from (text for line in found if (text := line.strip()))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _is_held_out(text: str) -> bool:
    return int.from_bytes(digest(text)[:SEEN_BYTES], "big") % ONE_HELD_OUT_OF == 0


class _Store:
    """The files of a corpus in the cache, and `state.json`, which says how far they are written."""

    def __init__(self, folder: Path, units: int):
        self.folder, self.units = folder, units
        self.state: dict[str, Any] = {}
        try:
            self.state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            sizes = {name: (folder / name).stat().st_size for name in FILES}
            if any(sizes[name] < self._bytes(name) for name in FILES):
                raise ValueError("shorter than its state says")
        except (OSError, ValueError, KeyError):
            self.state = {"texts": 0, "tokens": 0, "held_out": [], "embedded_by": "", "complete": False}
        for name in FILES:  # what a killed run wrote after its last state is written again
            with (folder / name).open("ab") as stream:
                stream.truncate(self._bytes(name))

    @property
    def complete(self) -> bool:
        return bool(self.state["complete"])

    @property
    def texts(self) -> int:
        return int(self.state["texts"])

    def _bytes(self, name: str) -> int:
        rows = {"ids": self.state["tokens"], "lengths": self.state["texts"], "embeddings": self.state["texts"] * self.units}
        return int(rows[name]) * np.dtype(FILES[name]).itemsize

    def append(self, encoded: batching.EncodedTexts, embeddings: np.ndarray, held_out: np.ndarray, embedded_by: str) -> None:
        values = {"ids": encoded.ids, "lengths": encoded.lengths, "embeddings": embeddings}
        for name, kind in FILES.items():
            storage.append_bytes(values[name].astype(kind).tobytes(), self.folder / name)
        self.state["held_out"] += (self.texts + np.flatnonzero(held_out)).tolist()
        self.state |= {"texts": self.texts + len(held_out), "tokens": self.state["tokens"] + len(encoded.ids)}
        self.state["embedded_by"] = embedded_by
        storage.write_json(self.state, self.folder / "state.json")

    def finish(self) -> None:
        self.state["complete"] = True
        storage.write_json(self.state, self.folder / "state.json")

    def open(self) -> Corpus:
        def mapped(name: str) -> np.ndarray:
            return np.memmap(self.folder / name, FILES[name], "r") if self._bytes(name) else np.empty(0, FILES[name])

        lengths = np.array(mapped("lengths"), np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        held_out = np.zeros(self.texts, bool)
        held_out[self.state["held_out"]] = True
        embeddings = mapped("embeddings").reshape(-1, self.units)
        return Corpus(batching.EncodedTexts(mapped("ids"), starts, lengths), embeddings, held_out, self.state["embedded_by"])
