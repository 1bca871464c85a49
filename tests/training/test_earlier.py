"""--from: what a fit takes over of a predictor, what it says of labels and rows, and what it refuses."""

import json

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, end_here, example_rows, record_of, tagged_rows, train_here, weights_of, write_csv

from halfbert.data.equality import count_shared, digests

NOTHING_LEARNT = ("--epochs", "1", "--lr", "1e-12", "--no-tfidf")
HEAD = {"multiclass": "distilbert", "multilabel": "bert"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    from halfbert.training import steps

    monkeypatch.setattr(steps, "prove_engines", lambda *_: None)


@pytest.fixture
def predictor(tmp_path, tensorflow_ready):
    """A copy of the tiny predictor of a task, which was trained on the texts it is given."""

    def make(task="multiclass", train_texts=(), val_texts=()):
        folder = tiny_predictors.copy(HEAD[task], task, tmp_path / f"earlier-{task}")
        data = {"train_texts": digests(train_texts), "val_texts": digests(val_texts)}
        tiny_predictors.change_manifest(folder, data=data, model=HEAD[task])
        return folder

    return make


def table(task, folder, change=lambda label: label, rows=90):
    """A table whose labels are changed, of which None is left out."""
    if task == "multiclass":
        found = [(text, change(label)) for text, label in example_rows(rows)]
        return write_csv(folder / "new.csv", [(text, label) for text, label in found if label])
    found = tagged_rows(rows)
    names = {label: change(label) for label in LABELS}
    header = ("text", *(name for name in names.values() if name))
    kept = [label for label, name in names.items() if name]
    return write_csv(
        folder / "new.csv",
        [(text, *(int(label in [tag.strip("+") for tag in tags]) for label in kept)) for text, tags in found],
        header,
    )


def head(folder):
    """The classifier's (units,) kernel column and bias of each label, and what does not depend on the labels."""
    labels = json.loads((folder / "halfbert.json").read_text())["labels"]
    weights = {name.split("/")[-3] + "/" + name: value for name, value in weights_of(folder).items()}
    (kernel,) = [value for name, value in weights.items() if name.endswith("classifier/kernel:0") and "pre_" not in name]
    (bias,) = [value for name, value in weights.items() if name.endswith("classifier/bias:0") and "pre_" not in name]
    columns = {label: np.append(kernel[:, number], bias[number]) for number, label in enumerate(labels)}
    return columns, sorted(float(np.abs(value).sum()) for name, value in weights.items() if "/classifier/" not in name)


CHANGES = {
    "same": (lambda label: label, "the head is kept for 3 labels\n"),
    "renamed": (lambda label: "meal" if label == "food" else label, '2 labels; 1 new ("meal"); 1 gone ("food")\n'),
    "fewer": (lambda label: None if label == "animal" else label, '2 labels; 1 gone ("animal")\n'),
    "others": (lambda label: label.upper(), "kept for 0 labels; 3 new"),
}


@pytest.mark.parametrize("task", HEAD)
@pytest.mark.parametrize("change", CHANGES)
def test_the_head_is_kept_for_labels_that_stay(task, change, predictor, here, tmp_path):
    changed, said_of_labels = CHANGES[change]
    folder = predictor(task)
    train = table(task, tmp_path, changed)
    where = ("--train", train, "--output", "next", "--results", "results/next")
    said = train_here("--from", folder, *where, *NOTHING_LEARNT, script=f"train_{task}")
    assert said_of_labels in said and "kept head" in said
    (before, encoder), (after, encoder_after) = head(folder), head(here / "next")
    assert set(after) == {changed(label) for label in LABELS if changed(label)}
    for label in after:
        if label in before:
            np.testing.assert_allclose(after[label], before[label], atol=1e-6)
        else:
            assert all(np.abs(after[label] - column).max() > 0.01 for column in before.values())
    np.testing.assert_allclose(encoder_after, encoder, rtol=1e-5, atol=1e-6)
    record = record_of(here / "results/next")
    assert record["continued"]["kept"] == [label for label in after if label in before]
    assert record["model"] == HEAD[task] and record["options"]["maxlen"] == tiny_predictors.MAXLEN
    assert record["checkpoint"]["name"] == folder.name


def test_a_label_more(predictor, here, tmp_path):
    """A new label beside all that there were."""
    folder = predictor()
    rows = [
        *example_rows(90),
        *((f"the very new {n} {w} thing", "number") for n in "!." for w in ("old", "big", "small", "my")),
    ]
    rows += [(f"{word} is number", "number") for word in ("old", "new", "big", "small", "here", "there")]
    where = ("--train", write_csv(tmp_path / "more.csv", rows), "--output", "next", "--results", "results/next")
    said = train_here("--from", folder, *where, *NOTHING_LEARNT)
    assert 'kept for 3 labels; 1 new ("number")' in said
    assert set(head(here / "next")[0]) == {*LABELS, "number"}


def test_rows_that_the_predictor_has_seen_are_told(predictor, here, tmp_path, capsys):
    rows = example_rows(120)
    held_out = write_csv(tmp_path / "held_out.csv", rows[90:])
    new = write_csv(tmp_path / "new.csv", rows[:90])
    seen = [text for text, _ in rows]
    folder = predictor(train_texts=[*seen[5:10], seen[100]], val_texts=[seen[101]])
    words = ("--from", folder, "--train", new, "--test", held_out, "--output", "next", "--results", "results/next")
    assert end_here(*words) == 2
    line = capsys.readouterr().err
    assert "2 of the 30 test rows trained" in line and "12, 13" in line and "--keep-leaks" in line and line.count("\n") == 1
    said = train_here(*words, "--keep-leaks", *NOTHING_LEARNT)
    assert "2 of the 30 test rows trained" in said
    # Whoever goes on from this one is told of the rows of both.
    data = json.loads((here / "next/halfbert.json").read_text())["data"]
    assert count_shared(data["train_texts"], seen[100:101]) == 1 and count_shared(data["val_texts"], seen[101:102]) == 1
    assert count_shared(data["train_texts"], seen[:90]) == 81


def test_validation_rows_that_trained_it_are_a_note(predictor, here, tmp_path):
    rows = example_rows(90)
    val = write_csv(tmp_path / "val.csv", example_rows(120)[90:])
    folder = predictor(train_texts=[text for text, _ in example_rows(120)[90:94]])
    where = ("--train", write_csv(tmp_path / "new.csv", rows), "--val", val, "--output", "next", "--results", "r")
    assert "4 of the 30 validation rows trained" in train_here("--from", folder, *where, *NOTHING_LEARNT)


def test_what_does_not_fit_the_predictor_is_refused(predictor, here, tmp_path, capsys, tiny_distilbert):
    folder, train = predictor(), table("multiclass", tmp_path)

    def refused(*words, code=2, script="train_multiclass"):
        assert end_here("--train", train, *words, script=script) == code
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "--checkpoint and --from" in refused("--from", folder, "--checkpoint", tiny_distilbert)
    assert "--head and --from" in refused("--from", folder, "--head", "random")
    assert "--cv and --from" in refused("--from", folder, "--cv", "3")
    assert "is a distilbert" in refused("--from", folder, "--model", "bert")
    assert "train_multiclass" in refused("--from", folder, script="train_multilabel")
    assert "no such folder" in refused("--from", tmp_path / "nowhere")
    assert "--model" in refused()
    assert "no predictor of this project" in refused("--from", tiny_distilbert, code=3)
    with open(folder / "tf_model.h5", "r+b") as file:
        file.write(b"damaged")
    assert "altered or damaged" in refused("--from", folder, code=3)
    assert not list(here.iterdir())
