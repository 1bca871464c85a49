"""What the page of a distilled student has beside that of a training run: its teacher, its control, and which was saved."""

from typing import Literal

from halfbert.output.page import Card, Column, Section, Series, Table, Words
from halfbert.output.page import Lines as Curves
from halfbert.output.record import Distillation, Record
from halfbert.output.text import card_scores, distillation_lines
from halfbert.output.words import readable
from halfbert.predictor.manifest import Numbers
from halfbert.scoring.intervals import COMPARED


def card(record: Record) -> Card | None:
    """What distillation gained in the score that decides comparisons, with its interval."""
    worth = (record.distillation.worth or {}).get("macro_f1") if record.distillation else None
    if worth is None:
        return None
    state: Literal["good", "bad", "warn"] = "good" if worth.low > 0 else "bad" if worth.high < 0 else "warn"
    return Card("gained by the teacher: macro F1", f"{worth.difference:+.3f}", f"{worth.low:+.3f} to {worth.high:+.3f}", state)


def section(record: Record) -> Section | None:
    """Teacher, student and control on the test rows, and student and control on validation by epoch."""
    found = record.distillation
    if found is None or record.test is None or not found.teacher.test:
        return None
    test = card_scores(record.test)
    student: Numbers = found.student.test if found.student else {**test}
    of_control: Numbers = found.control.test if found.control else {}
    rows = [
        [readable(name), found.teacher.test.get(name), student.get(name), of_control.get(name), *_gain(found, name)]
        for name in dict.fromkeys([*COMPARED[record.task], *test])
        if name in found.teacher.test and name in student
    ]
    columns = [
        Column("score", "label"),
        Column(f"teacher, by {found.teacher.engine}", "number", 4),
        Column("student, by keras", "number", 4),
        Column("control, by keras", "number", 4),
        Column("student less control", "number", 4),
        Column("from", "number", 4),
        Column("to", "number", 4),
    ]
    caption = f"Scores of the {record.data.rows.test:,} test rows; the interval is the paired bootstrap's, 95 %."
    words = [Words(f"{line[:1].upper()}{line[1:]}.") for line in distillation_lines(record.task, record.test, found) if line]
    return Section("Teacher and control", [Table(columns, rows, caption), *_curves(record, found), *words])


def _gain(found: Distillation, name: str) -> list[float | None]:
    worth = (found.worth or {}).get(name)
    return [worth.difference, worth.low, worth.high] if worth else [None, None, None]


def _curves(record: Record, found: Distillation) -> list[Curves]:
    """The score that chose the epochs, of student and control."""
    if found.control is None or not found.chosen_by or f"val_{found.chosen_by}" not in found.control.epochs[0]:
        return []
    epochs = {"student": found.student.epochs if found.student else record.epochs, "control": found.control.epochs}
    key = f"val_{found.chosen_by}"
    series = [
        Series(name, [float(row["epoch"] or 0) for row in rows], [row[key] for row in rows]) for name, rows in epochs.items()
    ]
    title = f"Validation {readable(found.chosen_by)}"
    return [Curves(title, "epoch", readable(found.chosen_by), series, (0.0, 1.0))]
