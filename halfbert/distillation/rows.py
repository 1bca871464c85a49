"""The rows of a distillation: labels in the teacher's order, no test row that trained the teacher, texts without labels."""

from halfbert.data import multiclass
from halfbert.data.cells import quoted
from halfbert.data.equality import count_shared, normalise, shared
from halfbert.data.phrases import counted, listed, row_word
from halfbert.data.tables import Data, Layout
from halfbert.data.texts import check_as_trained
from halfbert.distillation.teacher import Teacher
from halfbert.options import DistillOptions
from halfbert.output.record import Unlabelled
from halfbert.predictor.manifest import DataFile
from halfbert.system import machine
from halfbert.system.console import say
from halfbert.system.errors import InputError


def check(teacher: Teacher, data: Data, options: DistillOptions) -> None:
    """Put the labels into the teacher's order, and make sure that no test row trained it.

    Raises InputError if the labels are not the teacher's, or a row to test on has trained the teacher or chosen its epoch.
    """
    stated = teacher.predictor.manifest.text_columns
    check_as_trained(data.train.file, data.text_columns, stated, f"teacher {teacher.name}")
    known = teacher.predictor.manifest.labels
    differing = {"lacks": set(known) - set(data.labels), "also has": set(data.labels) - set(known)}
    if any(differing.values()):
        found = [f"{what} {listed(sorted(map(quoted, names)))}" for what, names in differing.items() if names]
        raise InputError(f"{data.train.file}: its labels are not those of the teacher {teacher.name}: it {', '.join(found)}")
    data.labels = list(known)
    if teacher.train_texts is None:
        _check_files(teacher, data, options)
    else:
        _check_texts(teacher, teacher.train_texts, data, options)


def _check_texts(teacher: Teacher, train_texts: str, data: Data, options: DistillOptions) -> None:
    """Compare the test texts with those that trained the teacher, whatever files either are from."""
    seen = shared(train_texts + teacher.val_texts, data.test.texts)
    if options.keep_leaks:  # what this table itself has on both sides, the user has decided to keep
        kept = {normalise(text) for part in (data.train, data.val) for text in part.texts}
        seen = [known and normalise(text) not in kept for known, text in zip(seen, data.test.texts, strict=True)]
    numbers = [str(number) for number, known in zip(data.test.numbers, seen, strict=True) if known]
    if numbers:
        word = row_word(data.test.file)
        raise InputError(
            f"{data.test.file}: {len(numbers):,} of the {counted(len(seen), 'test row')} trained the teacher "
            f"{teacher.name} or chose its epoch ({word} {listed(numbers)}), so the student's scores would be too good; "
            + ("leave them out, or " if options.test else "")
            + f"{_own_split(teacher, data)}; or test on other rows with --test FILE"
        )
    validated = count_shared(train_texts, data.val.texts)
    if validated:
        say(
            f"note: {validated:,} of the {counted(len(data.val), 'validation row')} trained the teacher, so validation "
            f"scores are too good; the test scores are not affected"
        )


def _own_split(teacher: Teacher, data: Data) -> str:
    """What gives the test rows that the teacher was tested on."""
    train, val, test = teacher.files["train"], teacher.files.get("val"), teacher.files.get("test")
    if test:
        return f"use the file that the teacher was tested on, --test {test.name}"
    same = any(file["role"] == "train" and file["sha256"] == train.sha256 for file in data.files)
    as_it_was = "" if same else f" (as it was then, SHA-256 {train.sha256[:12]}…)"
    without = f"--val {val.name}, without --test" if val else "without --val and --test"
    return f"repeat the teacher's split: --train {train.name}{as_it_was} --split-seed {teacher.split_seed}, {without}"


def _check_files(teacher: Teacher, data: Data, options: DistillOptions) -> None:
    """What can be compared with a predictor of an earlier version, which holds no digests of its texts."""
    here, trained_on = {file["role"]: file["sha256"] for file in data.files}, teacher.files["train"].sha256
    other_split = "test" in teacher.files or options.split_seed != teacher.split_seed
    if here.get("test") == trained_on or ("test" not in here and here["train"] == trained_on and other_split):
        raise InputError(
            f"{data.test.file}: the teacher {teacher.name} was trained on rows to test on; {_own_split(teacher, data)}"
        )
    say(
        f"note: the teacher {teacher.name} was saved by an earlier version, without digests of its texts: only files and split "
        f"seed were compared, so test rows may have trained it"
    )


def read_unlabelled(options: DistillOptions, data: Data) -> tuple[list[str], Unlabelled | None]:
    """The distinct texts of --unlabelled that occur in no part of `data`, and what the record says of the file.

    With --keep-leaks those that occur in the test or validation rows are kept. Raises InputError as every reading does.
    """
    if options.unlabelled is None:
        return [], None
    texts, file = read_texts(options.unlabelled, "unlabelled", options)
    parts = {part: {normalise(text) for text in rows.texts} for part, rows in data.parts()}
    held_out = set() if options.keep_leaks else parts["test"] | parts["val"]
    distinct: dict[str, str] = {}
    for text in texts:
        distinct.setdefault(normalise(text), text)
    unseen = {name: text for name, text in distinct.items() if name not in held_out}
    used = [text for name, text in unseen.items() if name not in parts["train"]]
    dropped = len(distinct) - len(unseen)
    say(
        f"{file.name}: {counted(file.rows, 'text')} without labels; {len(used):,} are used, {dropped:,} dropped that "
        f"occur in the validation or test rows, the others repeat texts"
    )
    return used, Unlabelled(file.name, file.sha256, file.rows, len(used), dropped)


def read_texts(source: str, role: str, options: DistillOptions) -> tuple[list[str], DataFile]:
    """The texts of a table, whose labels are not read, and the file as records describe it."""
    layout = Layout.of(options)
    rows, table = multiclass.read_texts(source, options.text_column, layout=layout, drop_missing=options.drop_missing)
    for note in table.notes:
        say(f"  {note}")
    file = DataFile(role=role, name=machine.shareable(rows.file), sha256=table.sha256, rows=len(rows))
    return rows.texts, file
