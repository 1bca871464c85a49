"""The embedded table: what data/README.md says of it is so, no two messages are alike, and it is not trivial."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from support import ROOT

from halfbert.data import messages
from halfbert.data.equality import normalise
from halfbert.data.messages import TAGS
from halfbert.data.multiclass import read_multiclass
from halfbert.data.tables import Reading

QUEUES = ["account", "billing", "delivery", "feedback", "order_change", "product_question", "returns", "technical_help"]
LEAST_ROWS = {"train": 700, "test": 200}

# Two different messages share few stretches of five characters: at most 0.18 of those in either, and at most 0.35 of those
# of the shorter one, as these were written. One message with a word exchanged keeps more than 0.6.
LARGEST_OVERLAP = 0.3
LARGEST_SHARE_OF_THE_SHORTER = 0.5
SHORTEST = 40  # stretches; of a message shorter than that ("Refund??"), all may well stand in another


@pytest.fixture(scope="module")
def parts() -> dict[str, list[dict]]:
    """The rows of each part, after its header has been checked."""
    rows_of = {}
    for part in LEAST_ROWS:
        book = openpyxl.load_workbook(messages.TRAIN.with_name(f"messages_{part}.xlsx"), read_only=True)
        assert len(book.sheetnames) == 1
        header, *rows = book.active.iter_rows(values_only=True)
        assert list(header) == ["text", "queue", *TAGS]
        rows_of[part] = [dict(zip(header, row, strict=True)) for row in rows]
    return rows_of


def overlaps(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of texts: the share of common stretches of five characters, of both and of the shorter text."""
    plain = [" ".join(re.findall(r"\w+", text.casefold())) for text in texts]
    found = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False).fit_transform(plain)
    common = (found.astype(np.int32) @ found.T.astype(np.int32)).toarray()
    sizes = common.diagonal()
    shorter = np.minimum(sizes[:, None], sizes[None])
    either = sizes[:, None] + sizes[None] - common
    pairs = np.triu(np.ones_like(common, bool), 1) & (common > 0)
    return (
        np.where(pairs, common / np.maximum(either, 1), 0),
        np.where(pairs & (shorter >= SHORTEST), common / np.maximum(shorter, 1), 0),
    )


def near_duplicates(texts: list[str]) -> list[tuple[str, str]]:
    of_both, of_shorter = overlaps(texts)
    rows, columns = np.nonzero((of_both >= LARGEST_OVERLAP) | (of_shorter >= LARGEST_SHARE_OF_THE_SHORTER))
    return [(texts[row], texts[column]) for row, column in zip(rows, columns, strict=True)]


@pytest.mark.parametrize("part", LEAST_ROWS)
def test_sizes_and_cells(parts, part):
    rows = parts[part]
    assert len(rows) >= LEAST_ROWS[part]
    for number, row in enumerate(rows, 2):
        assert isinstance(row["text"], str) and row["text"] == row["text"].strip() != "", number
        assert all(type(row[tag]) is int and row[tag] in (0, 1) for tag in TAGS), number
        assert 1 <= len(row["text"].split()) <= 120, number
    assert {row["queue"] for row in rows} == set(QUEUES)
    assert all(10 <= sum(row[tag] for row in rows) <= len(rows) / 2 for tag in TAGS)
    counts = [sum(row[tag] for tag in TAGS) for row in rows]
    assert 0 in counts and 1 in counts and max(counts) >= 3


def test_the_readme_agrees(parts):
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    stated = " ".join(readme.split())
    assert "demonstration, no benchmark" in readme and all(f"`{queue}`" in readme for queue in QUEUES)
    sizes = {part: len(rows) for part, rows in parts.items()}
    assert f"`messages_train.xlsx` ({sizes['train']} rows) and `messages_test.xlsx` ({sizes['test']} rows)" in readme
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in readme.splitlines() if line.startswith("| `")]
    lines = {name.strip("`"): (train, test) for name, _, train, test in cells}
    assert list(lines) == ["text", "queue", *TAGS]
    assert lines["text"] == (str(sizes["train"]), str(sizes["test"]))
    for tag in TAGS:
        assert lines[tag] == tuple(str(sum(row[tag] for row in parts[part])) for part in ("train", "test")), tag
    for part, each in zip(("train", "test"), lines["queue"], strict=True):
        assert {f"{count} each" for count in Counter(row["queue"] for row in parts[part]).values()} == {each}
    counts = {part: [sum(row[tag] for tag in TAGS) for row in rows] for part, rows in parts.items()}
    none, several = (
        [sum(test(count) for count in counts[part]) for part in parts] for test in (lambda n: n == 0, lambda n: n > 1)
    )
    assert f"{none[0]} training and {none[1]} test rows have none" in stated
    assert f"{several[0]} and {several[1]} have two or more" in stated
    lengths = [len(row["text"].split()) for rows in parts.values() for row in rows]
    assert f"{min(lengths)} to {max(lengths)} words" in stated


def test_no_two_messages_are_alike(parts):
    texts = [row["text"] for rows in parts.values() for row in rows]
    assert len({normalise(text) for text in texts}) == len(texts)
    assert near_duplicates(texts) == []
    # The measure finds a message that was only touched up.
    texts = [row["text"] for row in parts["train"] if len(row["text"].split()) > 12][:200]
    for text in texts[:20]:
        words = text.split()
        touched_up = " ".join([*words[:5], "something", *words[6:]])
        longer = f"Good evening to all of you at the shop, and sorry to bother you again so soon. {text}"
        assert (text, touched_up) in near_duplicates([*texts, touched_up])
        assert (text, longer) in near_duplicates([*texts, longer])


@pytest.mark.parametrize("settings", [{}, {"ngram_range": (1, 2), "sublinear_tf": True}], ids=["words", "word pairs"])
def test_words_alone_do_not_decide(parts, settings):
    """TF-IDF with logistic regression stays under 0.85 accuracy, and well over chance: it is hard, and it can be learnt."""
    baseline = make_pipeline(TfidfVectorizer(**settings), LogisticRegression(C=10, tol=1e-3, max_iter=1000))
    texts, queues = ([row[column] for row in parts["train"]] for column in ("text", "queue"))
    baseline.fit(texts, queues)
    accuracy = baseline.score(*([row[column] for row in parts["test"]] for column in ("text", "queue")))
    assert 0.4 < accuracy < 0.85


def test_the_reader_takes_every_row_as_it_is(parts):
    data = read_multiclass(Reading(train=messages.TRAIN, test=messages.TEST, text_column="text"), messages.LABEL)
    assert data.labels == QUEUES and data.notes == []
    assert len(data.train) + len(data.val) == len(parts["train"])
    assert data.test.texts == [row["text"] for row in parts["test"]]
    assert Path(data.test.file).name == "messages_test.xlsx"
