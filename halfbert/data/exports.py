"""Exports of labelling tools, known by their shape, as tables: a row for each annotated text, the labels as lists of names.

- doccano (backend/data_export): objects with `id`, `text` and `label`, a list of names; a project of spans has lists of
  [start, end, name] there.
- Label Studio (labelstud.io/guide/task_format): tasks with `data` and `annotations`, whose `result` has choices under the name
  that the labelling interface gave them; its JSON-MIN puts these beside the data, one choice as text, several as a list.
"""

from collections.abc import Sequence
from typing import Any

from halfbert.data.cells import cell_text, quoted
from halfbert.data.phrases import counted, listed_names
from halfbert.system.errors import InputError

DOCCANO, LABEL_STUDIO, JSON_MIN = "doccano", "Label Studio", "Label Studio, JSON-MIN"
OF_DOCCANO = ("label", "labels", "cats")  # where its versions and projects keep the labels
OF_JSON_MIN = {"annotator", "annotation_id", "lead_time"}
SPANS_REFUSED = "spans of the text and not labels of the whole text; export a project of text classification"

NumberedRow = tuple[int, dict[str, Any]]


def flattened(file: str, rows: list[NumberedRow]) -> tuple[list[NumberedRow], str, list[str]]:
    """(rows, tool, notes): the rows of a table with labels in columns, and the tool that wrote it, "" if it is no export."""
    fields = [row for _, row in rows]
    if not fields:
        return rows, "", []
    if all(isinstance(row.get("data"), dict) and isinstance(_annotations(row), list) for row in fields):
        flat, choices = _of_tasks(rows)
        columns = f"the choices {listed_names(choices)}" if choices else "no choices"
        return flat, LABEL_STUDIO, [f"{file}: an export of Label Studio, {counted(len(rows), 'task')}, with {columns}"]
    if all(row.keys() >= OF_JSON_MIN for row in fields):
        return rows, JSON_MIN, [f"{file}: a JSON-MIN export of Label Studio"]
    column = next((name for name in OF_DOCCANO if all(isinstance(row.get(name), list) for row in fields)), None)
    if column and all({"id", "text"} <= row.keys() for row in fields):
        return rows, DOCCANO, [f"{file}: an export of doccano, with the labels in {column!r}"]
    return rows, "", []


def _annotations(task: dict[str, Any]) -> Any:
    return task.get("annotations", task.get("completions"))  # as versions before 1.0 call them


def _of_tasks(tasks: Sequence[NumberedRow]) -> tuple[list[NumberedRow], list[str]]:
    """A row for each annotation, as Label Studio's other exports have it, and the names of the choices.

    A task without an annotation, or with cancelled ones alone, is a row without them.
    """
    rows: list[NumberedRow] = []
    annotated: list[bool] = []
    choices: dict[str, None] = {}
    for number, task in tasks:
        kept: list[Any] = [one for one in _annotations(task) if isinstance(one, dict) and not one.get("was_cancelled")]
        for annotation in kept or [None]:
            found: dict[str, list[Any]] = {}
            for result in (annotation or {}).get("result") or []:
                name, value = str(result.get("from_name")), result.get("value")
                names = value.get("choices") if isinstance(value, dict) else None
                found.setdefault(name, []).extend(names if isinstance(names, list) else [value])
                if isinstance(names, list):
                    choices[name] = None
            rows.append((number, {**task["data"], **found}))
            annotated.append(annotation is not None)
    for (_, row), has_answers in zip(rows, annotated, strict=True):
        for name in choices:
            row.setdefault(name, [] if has_answers else None)
    return rows, list(choices)


def names_of(value: Any, place: str, tool: str) -> list[str] | None:
    """The names of the labels in a cell of an export of that tool; None where nobody has annotated the row.

    Raises InputError, beginning with `place`, for spans and other annotations than labels of the whole text.
    """
    if value is None:
        return [] if tool == JSON_MIN else None  # which has annotated rows alone
    names: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and isinstance(item.get("choices"), list):
            names += names_of(item["choices"], place, tool) or []
        elif isinstance(item, list | dict):
            raise InputError(f"{place}: holds {quoted(str(item))}, {SPANS_REFUSED}")
        else:
            names += [name for name in [cell_text(item, place)] if name is not None]
    return list(dict.fromkeys(names))
