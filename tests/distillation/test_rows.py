"""Which rows teach and test a student, from small tables; the teacher is a manifest alone."""

import tracemalloc

import pytest
from support import LABELS, example_rows, write_csv

from halfbert.data.equality import digests
from halfbert.data.multiclass import read_multiclass
from halfbert.data.tables import Data, Reading
from halfbert.distillation import pretraining, rows
from halfbert.distillation.teacher import Teacher
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import DataFile, Manifest, Predictor, TrainingData
from halfbert.system.errors import InputError


def read(**given) -> Data:
    return read_multiclass(Reading(text_column="text", **given), "label")


def teacher_of(folder, data: Data, with_digests: bool = True) -> Teacher:
    """A teacher named "bert" that was trained on a table that was read."""
    texts = (digests(data.train.texts), digests(data.val.texts)) if with_digests else (None, None)
    files = [DataFile(**file) for file in data.files]
    manifest = Manifest("multiclass", list(LABELS), None, 32, data=TrainingData(files, 0, *texts))
    return Teacher(Predictor(folder / "bert", manifest, {}), "tiny", 0, {file.role: file for file in files})


def check(teacher: Teacher, data: Data, **options) -> None:
    rows.check(teacher, data, DistillOptions(teacher="bert", split_seed=options.pop("seed", 0), **options))


def changed(text: str) -> str:
    """An equal text, in other letters and with a zero-width space in front."""
    return f"\u200b{text.upper()} "


def test_training_rows_that_also_stand_in_val_change_the_split(tmp_path):
    """They are dropped before it is drawn, so the seed is the teacher's and the test rows are not."""
    table = write_csv(tmp_path / "things.csv", example_rows(400))
    val = write_csv(tmp_path / "val.csv", example_rows(430)[300:])
    teacher = teacher_of(tmp_path, read(train=table))
    with pytest.raises(InputError) as refused:
        check(teacher, read(train=table, val=val), train=table, val=val)
    message = str(refused.value)
    assert " of the 30 test rows trained the teacher bert or chose its epoch (line " in message
    assert "repeat the teacher's split: --train things.csv --split-seed 0, without --val and --test; or" in message
    check(teacher, read(train=table), train=table)  # as the message says
    again = write_csv(tmp_path / "again.csv", example_rows(400)[::-1])  # the same rows split otherwise in another order
    with pytest.raises(InputError, match="test rows trained the teacher"):
        check(teacher, read(train=again), train=again)


@pytest.mark.parametrize("source", ["train", "val"])
def test_rows_are_recognised_in_other_files_and_spellings(tmp_path, source):
    known = read(train=write_csv(tmp_path / "things.csv", example_rows(60)))
    part = getattr(known, source)
    new = example_rows(24, seed=5)
    test = [*new, *((changed(text), label) for text, label in zip(part.texts[:3], part.labels, strict=False))]
    test = write_csv(tmp_path / "test.csv", test)
    other = write_csv(tmp_path / "other.csv", example_rows(60, seed=7))
    with pytest.raises(InputError, match=r"3 of the 27 test rows .*\(line 26, 27, 28\).*leave them out") as refused:
        check(teacher_of(tmp_path, known), read(train=other, test=test), train=other, test=test)
    assert f"--train things.csv (as it was then, SHA-256 {known.files[0]['sha256'][:12]}…) --split-seed 0" in str(refused.value)


def test_the_teachers_own_test_file_is_named_and_its_training_rows_may_train_the_student(tmp_path, capsys):
    table, test = write_csv(tmp_path / "a.csv", example_rows(90)), write_csv(tmp_path / "b.csv", example_rows(30, seed=6))
    teacher = teacher_of(tmp_path, read(train=table, test=test))
    with pytest.raises(InputError, match="use the file that the teacher was tested on, --test b.csv"):
        check(teacher, read(train=table), train=table)
    check(teacher, read(train=table, test=test), train=table, test=test)
    assert not capsys.readouterr().out
    check(teacher, read(train=table, test=test, seed=4), train=table, test=test, seed=4)  # other validation rows
    assert "validation rows trained the teacher" in capsys.readouterr().out


def test_leaks_that_are_kept_on_purpose_are_no_others(tmp_path):
    leaking, test = write_csv(tmp_path / "a.csv", example_rows(90)), write_csv(tmp_path / "b.csv", example_rows(100)[80:])
    given = {"train": leaking, "test": test, "keep_leaks": True}
    teacher = teacher_of(tmp_path, read(**given))
    check(teacher, read(**given), **given)
    other = write_csv(tmp_path / "c.csv", example_rows(90, seed=6))
    with pytest.raises(InputError, match="10 of the 20 test rows"):
        check(teacher, read(**{**given, "train": other}), **{**given, "train": other})


def test_of_an_earlier_predictor_files_and_seed_are_compared(tmp_path, capsys):
    table = write_csv(tmp_path / "things.csv", example_rows(90))
    test = write_csv(tmp_path / "test.csv", example_rows(30, seed=6))
    teacher = teacher_of(tmp_path, read(train=table), with_digests=False)
    with pytest.raises(InputError, match="trained on rows to test on; repeat the teacher's split: .*--split-seed 0"):
        check(teacher, read(train=table, seed=5), train=table, seed=5)
    with pytest.raises(InputError, match="things.csv: the teacher bert was trained"):
        check(teacher, read(train=test, test=table), train=test, test=table)
    check(teacher, read(train=table), train=table)
    assert "only files and split seed were compared" in capsys.readouterr().out
    tested_elsewhere = teacher_of(tmp_path, read(train=table, test=test), with_digests=False)
    with pytest.raises(InputError, match="trained on rows to test on.*--test test.csv"):
        check(tested_elsewhere, read(train=table), train=table)


def test_other_labels_are_named_and_the_order_is_the_teachers(tmp_path):
    table = write_csv(tmp_path / "things.csv", example_rows(60))
    teacher, data = teacher_of(tmp_path, read(train=table)), read(train=table)
    data.labels.reverse()
    check(teacher, data, train=table)
    assert data.labels == list(LABELS)
    data.labels[2] = "robot"
    with pytest.raises(InputError, match='it lacks "tool", also has "robot"'):
        check(teacher, data, train=table)


def test_texts_are_made_of_as_many_columns_as_the_teachers(tmp_path):
    table = write_csv(
        tmp_path / "t.csv", [(text, text, label) for text, label in example_rows(120)], ("title", "text", "label")
    )
    alone, both = read(train=table), read_multiclass(Reading(text_column="title,text", train=table), "label")
    teacher = teacher_of(tmp_path, alone)
    says = "t.csv: 2 text columns, and the teacher bert was trained on 1, 'text'; name as many with --text-column"
    with pytest.raises(InputError, match=says):
        check(teacher, both, train=table)
    check(teacher, alone, train=table)


def test_one_long_text_among_many_takes_no_memory_for_the_others(tmp_path):
    texts = [(f"text {number}",) for number in range(2000)]
    table = write_csv(tmp_path / "texts.csv", [*texts, ("long " * 20_000,)], ("text",))
    options = DistillOptions(teacher="bert", objective="mlm", train=table, output=tmp_path / "general")
    tracemalloc.start()
    train, val, _ = pretraining.read_texts(options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(train) == 1801 and len(val) == 200
    assert peak < 20e6, f"{peak / 1e6:.0f} MB"
