"""distill.py through its real arguments: whole runs of both tasks, what teaches, the control, what is refused."""

import json
from types import SimpleNamespace

import browser
import numpy as np
import pytest
import tiny_predictors
from support import (
    LABELS,
    VOCABULARY,
    WIDTH,
    end_here,
    example_rows,
    record_of,
    train_here,
    weights_of,
    write_checkpoint,
    write_csv,
)

import halfbert
from halfbert.data.equality import count_shared
from halfbert.models import distilbert_form
from halfbert.models import weights as encoder
from halfbert.system.console import Stopped

TRAINED_ON = {"files": [{"role": "train", "name": "x.csv", "sha256": "0" * 64, "rows": 9}], "split_seed": 3}


@pytest.fixture(scope="session")
def trained_teacher(tmp_path_factory, tiny_bert, tensorflow_ready):
    """A tiny BERT that has learnt what an example's label is, not to be changed, and the table it learnt from."""
    folder = tmp_path_factory.mktemp("teacher")
    table = write_csv(folder / "things.csv", example_rows(300))
    where = ("--output", folder / "bert-things", "--results", folder / "results")
    how = ("--epochs", "12", "--lr", "0.004", "--head", "random", "--seed", "0")
    train_here("--model", "bert", "--checkpoint", tiny_bert, "--train", table, *where, *how)
    assert record_of(folder / "results")["test"]["accuracy"] > 0.7
    return folder / "bert-things", table


@pytest.fixture
def distil(here, monkeypatch):
    """Run distill.py here; returns the record, the student's folder and the output."""
    monkeypatch.setenv("HALFBERT_CACHE", str(here.parent / "cache"))

    def run(folder, *arguments, task="multiclass"):
        said = train_here("--teacher", folder, *arguments, "--output", "student", script="distill")
        return record_of(here / "results" / task / "student"), here / "student", said

    return run


@pytest.fixture
def random_teacher(tmp_path, tensorflow_ready):
    """Make a copy of the tiny BERT predictor with random weights for a task, as if trained on another table."""

    def make(task="multiclass", kind="bert"):
        folder = tiny_predictors.copy(kind, task, tmp_path / f"{kind}-{task}")
        tiny_predictors.change_manifest(folder, data=TRAINED_ON, checkpoint={"name": "tiny"}, threshold_rule="gmean")
        return folder

    return make


def test_a_whole_run_with_its_record(trained_teacher, distil, here):
    """Teacher, loss parts, unlabelled texts, control and worth stand in the record; the student is a predictor like others."""
    folder, table = trained_teacher
    test_texts = [text for text, _ in example_rows(40, seed=8)]
    test = write_csv(here / "test.csv", [*zip(test_texts, LABELS * 13 + LABELS[:1], strict=True)])
    unlabelled = [*(text for text, _ in example_rows(60, seed=9)), "the old cat", "The  old cat", *test_texts[:5]]
    more = write_csv(here / "more.csv", [(text,) for text in unlabelled], ("text",))
    how = ("--train", table, "--test", test, "--unlabelled", more, "--epochs", "2", "--lr", "0.003")
    record, student, said = distil(folder, *how)

    found = record["distillation"]
    told = json.loads((folder / "halfbert.json").read_text())
    assert found["teacher"]["name"] == "bert-things" and found["teacher"]["engine"] in ("onnx", "onnx-int8")
    assert found["teacher"]["weights_sha256"] == told["files"]["tf_model.h5"]
    assert found["layers"] == [0] and found["temperature"] == 2.0
    assert found["weights"] == {"soft": 5.0, "supervised": 2.0, "cosine": 1.0}
    in_train = {text for text, _ in example_rows(300)}
    used = {text for text in unlabelled if text not in in_train and text not in test_texts} - {"The  old cat"}
    assert found["unlabelled"]["rows"] == 67 and found["unlabelled"]["used"] == len(used)
    assert found["unlabelled"]["leaks_dropped"] == 5 and "5 dropped that occur in the validation or test rows" in said
    for row in record["epochs"]:
        parts = [row[f"train_{part}"] for part in ("soft", "supervised", "cosine")]
        assert row["train_loss"] == pytest.approx(5 * parts[0] + 2 * parts[1] + parts[2], rel=1e-4)
    assert [row["epoch"] for row in found["control"]["epochs"]] == [1, 2]
    for score in ("accuracy", "macro_f1"):
        worth = found["worth"][score]
        assert worth["first"] == pytest.approx(record["test"][score])
        assert worth["second"] == pytest.approx(found["control"]["test"][score])
        assert worth["low"] <= worth["difference"] <= worth["high"] and worth["rows"] == 40
    assert f"the teacher, bert-things (also on {len(used)} texts without labels): accuracy" in said
    assert f"(teacher by {found['teacher']['engine']}, student by keras)" in said and "40 test rows, answered by keras" in said
    own = told["test"]["accuracy"]
    assert (
        found["teacher"]["own_test"]["accuracy"] == own and f"by keras on the test rows of that run: accuracy {own:.4f}" in said
    )
    assert record["engine"] == "keras" and found["kept"] == "student" and found["student"] is None
    page = (here / "results" / "multiclass" / "student" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Teacher and control</h2>" in page and "gained by the teacher: macro F1" in page
    assert f"teacher, by {found['teacher']['engine']}" in page and "paired bootstrap over 40 test rows" in page
    with browser.browser() as running:
        browser.check(running, here / "results" / "multiclass" / "student" / "report.html")
    assert "the teacher, bert-things" in (student / "README.md").read_text() and "paired bootstrap over 40 test rows" in said
    assert record["options"]["maxlen"] == told["maxlen"] and record["timing"]["teacher_seconds"] > 0
    manifest = json.loads((student / "halfbert.json").read_text())
    assert manifest["teacher"]["name"] == "bert-things" and manifest["labels"] == list(LABELS)
    # Whoever learns from this student is not tested on what it has seen, or its teacher before it.
    seen, of_teacher = manifest["data"], told["data"]
    assert len(seen["train_texts"]) == 8 * (270 + len(used)) and count_shared(seen["train_texts"], used) == len(used)
    assert of_teacher["val_texts"] in seen["val_texts"] and count_shared(of_teacher["val_texts"], in_train) == 30

    import halfbert

    texts = ["the old cat", "a drill"]
    answers = halfbert.load(student, "keras").predict_proba(texts)
    np.testing.assert_allclose(answers, halfbert.load(student, "ktrain").predict_proba(texts), atol=1e-5)


def test_the_student_of_many_labels(random_teacher, distil, here):
    """Its labels, thresholds' rule and task are the teacher's; the order of the table's columns is of no matter."""
    folder = random_teacher("multilabel")
    rows = [(text, *(int(label == other) for other in reversed(LABELS))) for text, label in example_rows(80)]
    table = write_csv(here / "tags.csv", rows, ("text", *reversed(LABELS)))
    record, student, said = distil(folder, "--train", table, "--epochs", "1", task="multilabel")
    assert record["task"] == "multilabel" and record["data"]["labels"] == list(LABELS)
    assert record["options"]["threshold"] == "gmean" and record["options"]["split_seed"] == 3
    manifest = json.loads((student / "halfbert.json").read_text())
    assert manifest["threshold_rule"] == "gmean" and len(manifest["thresholds"]) == 3
    assert set(record["distillation"]["worth"]) == {"micro_f1", "macro_f1"} and "micro F1" in said
    assert record["epochs"][0]["train_soft"] > 0
    bare = write_csv(here / "bare.csv", [(f"my old saw number {row}", 0, 0, 0) for row in range(9)], ("text", *LABELS))
    record, *_ = distil(folder, "--train", table, "--test", bare, "--epochs", "1", "--overwrite", task="multilabel")
    assert record["distillation"]["worth"] == {}


def test_the_student_learns_from_the_teacher_on_unlabelled_rows_alone(trained_teacher, distil, here):
    """The labels are wrong and weigh nothing: what the student answers right, the teacher has taught it."""
    folder, _ = trained_teacher
    table = write_csv(here / "wrong.csv", [(text, LABELS[number % 3]) for number, (text, _) in enumerate(example_rows(61)[1:])])
    test = write_csv(here / "test.csv", example_rows(150, seed=8))
    more = write_csv(here / "more.csv", [(text,) for text, _ in example_rows(600, seed=9)], ("text",))
    how = ("--train", table, "--test", test, "--unlabelled", more, "--layers", "0,1", "--weight-supervised", "0")
    record, _, _ = distil(folder, *how, "--epochs", "4", "--lr", "0.003", "--head", "random")
    assert "train_supervised" not in record["epochs"][0]
    worth = record["distillation"]["worth"]["accuracy"]
    assert worth["first"] > 0.7 and worth["low"] > 0.1


def test_the_control_is_the_same_student_without_the_teacher(trained_teacher, distil, here, tmp_path):
    """Its epochs are those of a training run on the teacher's DistilBERT form."""
    folder, table = trained_teacher
    how = ("--train", table, "--epochs", "2", "--lr", "0.003", "--rows", "60")
    record, _, _ = distil(folder, *how, "--keep", "2")
    encoder.export_safetensors(encoder.read(folder), tmp_path / "bert")
    distilbert_form.write(tmp_path / "bert", tmp_path / "form", [0, 1])
    maxlen = ("--maxlen", str(record["options"]["maxlen"]))
    train_here("--model", "distilbert", "--checkpoint", tmp_path / "form", *how, *maxlen, "--output", "plain")
    plain = record_of(here / "results" / "multiclass" / "plain")
    for mine, theirs in zip(record["distillation"]["control"]["epochs"], plain["epochs"], strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
    assert record["distillation"]["control"]["test"]["accuracy"] == pytest.approx(plain["test"]["accuracy"], abs=0.04)


@pytest.mark.parametrize(("save", "kept"), [("student", "student"), ("better", "control"), ("control", "control")])
def test_the_control_is_saved_on_request_or_where_validation_has_it_higher(trained_teacher, distil, monkeypatch, save, kept):
    folder, table = trained_teacher
    from halfbert.distillation import course

    monkeypatch.setattr(course, "_validation", lambda *_: ("macro_f1", 0.5, 0.4 if save == "control" else 0.6))
    record, student, said = distil(folder, "--train", table, "--rows", "30", "--epochs", "1", "--lr", "0.003", "--save", save)
    found, manifest = record["distillation"], json.loads((student / "halfbert.json").read_text())
    assert found["kept"] == kept and ("train_soft" in record["epochs"][0]) == (kept == "student")
    assert ("warning: the control is better on validation" in said) == (save == "student")
    assert manifest["test"]["accuracy"] == record["test"]["accuracy"] and record["tfidf"]
    if kept == "student":
        assert found["student"] is None and manifest["teacher"]["name"] == "bert-things"
        assert "the student is saved; validation macro F1: student 0.5000, control 0.6000" in said
        return
    assert record["epochs"] == found["control"]["epochs"] and "train_soft" in found["student"]["epochs"][0]
    assert record["test"]["accuracy"] == found["control"]["test"]["accuracy"] == found["worth"]["accuracy"]["second"]
    assert (
        "teacher" not in manifest and "the control, fitted without the teacher, is saved" in (student / "README.md").read_text()
    )


def test_student_and_control_are_compared_by_what_chose_their_epochs():
    from halfbert.distillation.course import _validation

    def fit(score, loss):
        epochs = [{"val_macro_f1": 0.9, "val_loss": 0.1}, {"val_macro_f1": score, "val_loss": loss}]
        return SimpleNamespace(history=SimpleNamespace(epochs=epochs, best_epoch=2))

    assert _validation("multiclass", fit(0.5, 2.0), fit(0.6, 3.0)) == ("macro_f1", 0.5, 0.6)
    assert _validation("multiclass", fit(None, 2.0), fit(0.6, 3.0)) == ("negative loss", -2.0, -3.0)


def test_no_control_and_a_student_of_ones_own(trained_teacher, distil, tiny_distilbert):
    folder, table = trained_teacher
    how = ("--train", table, "--rows", "30", "--epochs", "1", "--no-control", "--temperature", "1", "--weight-cosine", "0")
    record, student, said = distil(folder, *how, "--checkpoint", tiny_distilbert)
    found = record["distillation"]
    assert found["control"] is None and found["worth"] is None and "without the teacher" not in said
    assert found["layers"] is None and found["temperature"] == 1.0 and "train_cosine" not in record["epochs"][0]
    assert record["checkpoint"]["name"] == tiny_distilbert.name and record["model"] == "distilbert"
    assert "the student keeps" in said and weights_of(student)


def test_windows_learn_the_pooled_answer_to_their_text(random_teacher, distil, here, tiny_distilbert):
    """A teacher and a student in windows, each of its own length; --long is the teacher's unless it is given."""
    folder = random_teacher()
    tiny_predictors.change_manifest(folder, maxlen=12, long="windows", pooling={"name": "max"})
    table = write_csv(
        here / "long.csv", [(f"{text} " * (1 + n % 4), label) for n, (text, label) in enumerate(example_rows(60))]
    )
    more = write_csv(here / "more.csv", [("the old cat " * 9,), ("bread",)], ("text",))
    how = (
        "--train",
        table,
        "--unlabelled",
        more,
        "--checkpoint",
        tiny_distilbert,
        "--epochs",
        "1",
        "--no-control",
        "--no-tfidf",
    )
    record, student, said = distil(folder, *how, "--maxlen", "8")
    assert record["options"]["long"] == "windows" and record["windows"]["texts"] == record["data"]["rows"]["train"] + 2
    assert "cosine loss is left out" in said and "train_cosine" not in record["epochs"][0]
    assert len(halfbert.load(student, "onnx", "cpu").encode(["the old cat " * 9]).windows) == 2
    record, student, _ = distil(folder, *how, "--long", "cut", "--overwrite")
    assert (record["options"]["long"], record["options"]["maxlen"], record["windows"]) == ("cut", 12, None)


def test_a_signal_in_the_control_costs_the_control_alone(trained_teacher, distil, here, monkeypatch):
    from halfbert.training import fit as training

    folder, table = trained_teacher
    begin, epochs = training.BestEpoch.on_epoch_begin, []

    def interrupted(self, epoch, logs=None):
        epochs.append(epoch)
        if len(epochs) == 2:
            self.stop._handle(15, None)
        begin(self, epoch, logs)

    monkeypatch.setattr(training.BestEpoch, "on_epoch_begin", interrupted)
    with pytest.raises(Stopped):
        distil(folder, "--train", table, "--rows", "30", "--epochs", "1")
    record = record_of(here / "results" / "multiclass" / "student")
    assert record["test"] and record["stopped"] is None and record["distillation"]["control"] is None
    assert (here / "student" / "halfbert.json").is_file()


def refused(capsys, *arguments) -> tuple[int, str]:
    code = end_here(*arguments, "--output", "student", script="distill")
    return code, capsys.readouterr().err


def test_what_does_not_fit_the_teacher_is_named(random_teacher, here, capsys, tiny_bert, tmp_path):
    folder, distilbert, table = random_teacher(), random_teacher(kind="distilbert"), write_csv(here / "a.csv", example_rows(60))
    own = write_checkpoint(tmp_path / "own", "distilbert")
    (own / "vocab.txt").write_text("\n".join([*VOCABULARY[:-1], "spade"]) + "\n")
    for teacher, more, code, message in (
        (tiny_bert, (), 3, "no predictor"),
        ("nowhere", (), 2, "no such folder"),
        (folder, ("--checkpoint", own), 2, "its tokenizer is not that of the teacher"),
        (distilbert, (), 2, "a DistilBERT already"),
        (folder, ("--keep", "3"), 2, "layers 0 to 1"),
    ):
        ended, line = refused(capsys, "--teacher", teacher, "--train", table, *more)
        assert ended == code and message in line
    assert not list(here.glob("student*")) and not (here / "results").exists()


def test_the_student_is_not_tested_on_what_trained_the_teacher(trained_teacher, here, capsys):
    """The digests in its manifest show it, whatever the files are called."""
    folder, _ = trained_teacher
    again = write_csv(here / "again.csv", [(text.upper(), label) for text, label in example_rows(300)])
    code, line = refused(capsys, "--teacher", folder, "--train", again, "--split-seed", "5")
    assert code == 2 and "of the 30 test rows trained the teacher" in line and "--split-seed 0, without --val" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "0", "--keep", "1"], "give one of them"),
        (["--keep", "1", "--model", "bert"], "give one of them"),
        (["--no-control", "--save", "better"], "there is no control to save"),
        (["--weight-soft", "0", "--weight-cosine", "0"], "teaches nothing"),
        (["--objective", "mlm", "--train", "a.csv"], "--output"),
        (["--objective", "mlm", "--train", "a.csv", "--output", "a", "--test", "b.csv"], "--test has no effect"),
        (["--layers", "0,x"], "'x' is not an integer"),
        (["--temperature", "0"], "above 0"),
        (["--label-columns", "a,b"], "one label per text"),
    ],
)
def test_options_that_contradict_each_other(random_teacher, here, capsys, arguments, message):
    code = end_here("--teacher", random_teacher(), *arguments, script="distill")
    assert code == 2 and message in capsys.readouterr().err


def test_the_general_students_perplexity_falls_towards_its_teachers(here, tmp_path, tensorflow_ready):
    """Texts of one word again and again. The checkpoint that is made answers as the student did: kernels stand the right way
    round, and it is one that --checkpoint takes."""
    import transformers
    from safetensors.numpy import load_file

    from halfbert.distillation import masked_language
    from halfbert.models import batching

    bert = tiny_predictors.hand_made_bert(tmp_path / "bert")
    train, held_out = ([(" ".join([word] * times),) for word in VOCABULARY[5:] for times in of] for of in (range(4, 14), (12,)))
    texts, val = write_csv(here / "texts.csv", train, ("text",)), write_csv(here / "val.csv", held_out, ("text",))
    how = (
        "--objective",
        "mlm",
        "--teacher",
        bert,
        "--train",
        texts,
        "--val",
        val,
        "--keep",
        "1",
        "--epochs",
        "8",
        "--lr",
        "0.01",
    )
    said = train_here(*how, "--output", "general", script="distill")
    record = json.loads((here / "general" / "distillation.json").read_text())
    found = record["perplexity"]
    assert found["teacher"] < 5 and found["start"] > 4 * found["teacher"]
    assert found["student"] - found["teacher"] < 0.3 * (found["start"] - found["teacher"])
    assert record["layers"] == [0] and record["epochs"][-1]["train_soft"] < 0.8 * record["epochs"][0]["train_soft"]
    assert record["epochs"][record["best_epoch"] - 1]["val_perplexity"] == found["student"] and "perplexity" in said

    tokenizer = transformers.AutoTokenizer.from_pretrained(here / "general")
    model = masked_language.load(transformers.TFDistilBertForMaskedLM, here / "general")
    encoded, _ = batching.encode(tokenizer, [text for (text,) in held_out], record["maxlen"])
    again = masked_language.perplexity(model, encoded, masked_language.hiding(tokenizer))
    assert again == pytest.approx(found["student"], rel=1e-4)
    made = load_file(here / "general" / "model.safetensors")
    assert made["vocab_transform.weight"].shape == (WIDTH, WIDTH)
    table = write_csv(here / "things.csv", example_rows(60))
    how = ("--train", table, "--epochs", "1", "--lr", "1e-9", "--head", "random")
    train_here("--model", "distilbert", "--checkpoint", "general", *how)
    trained = weights_of(here / "predictors/distilbert-things")
    (words,) = [value for name, value in trained.items() if "word_embeddings" in name]
    np.testing.assert_allclose(words, made["distilbert.embeddings.word_embeddings.weight"], atol=1e-6)


def test_a_teacher_without_a_masked_language_head_is_refused(here, tiny_bert, capsys):
    texts = write_csv(here / "texts.csv", [(text,) for text, _ in example_rows(30)], ("text",))
    for teacher, expected in ((tiny_bert, 2), ("mini", 2), ("./nowhere", 2), ("nobody/nothing", 4)):
        code, line = refused(capsys, "--objective", "mlm", "--train", texts, "--teacher", teacher)
        assert code == expected and f"--teacher {teacher}" in line and "--checkpoint" not in line
        assert ("has no masked-language head" in line) == (teacher in (tiny_bert, "mini"))
    assert not (here / "student").exists()


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_an_absent_device_ends_the_general_objective_with_one_line(
    here, tmp_path, tensorflow_ready, device, capsys, monkeypatch
):
    monkeypatch.delenv("TPU_NAME", raising=False)
    texts = write_csv(here / "texts.csv", [(text,) for text, _ in example_rows(30)], ("text",))
    how = (
        "--objective",
        "mlm",
        "--train",
        texts,
        "--teacher",
        tiny_predictors.hand_made_bert(tmp_path / "bert"),
        "--device",
        device,
    )
    code, line = refused(capsys, *how)
    assert code == 4 and device.upper() in line and "cpu" in line
    assert not (here / "student").exists()
