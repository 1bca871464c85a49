"""JSON arrays, and the exports of labelling tools: the same rows in every shape, and a line for what is no label."""

import json

import pytest
from table_files import every_row, numbered, read, read_labels, refused, write_table

ROWS = [{"text": text, "label": label} for text, label in numbered(30)]
TAGS = [["late", "rude"], ["late"], [], ["rude"]] * 15


def written(path, rows):
    lines = path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1), encoding="utf-8")
    return path


def doccano(labels):
    return [
        {"id": 7 + index, "text": f"text number {index}", "label": names, "Comments": []} for index, names in enumerate(labels)
    ]


def annotation(names, **more):
    value = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": names}}
    return {"id": 1, "was_cancelled": False, "result": [value] if names else [], **more}


def label_studio(labels):
    return [
        {"id": 7, "data": {"text": f"text number {index}", "source": "shop"}, "annotations": [annotation(names)]}
        for index, names in enumerate(labels)
    ]


def json_min(labels):
    """As label-studio-converter writes it: one choice as text, several in an object, none left out."""
    rows = []
    for index, names in enumerate(labels):
        value = {} if not names else {"label": names[0] if len(names) == 1 else {"choices": names}}
        stamps = {"annotator": 1, "annotation_id": index, "created_at": "2026-01-01", "lead_time": 2.5}
        rows.append({"text": f"text number {index}", "id": index, **value, **stamps})
    return rows


ONE = [[label] for _, label in numbered(30)]


@pytest.mark.parametrize(
    ("name", "rows", "note"),
    [
        ("t.json", ROWS, None),
        ("t.jsonl", doccano(ONE), "an export of doccano, with the labels in 'label'"),
        ("t.json", doccano(ONE), "an export of doccano, with the labels in 'label'"),
        ("t.json", label_studio(ONE), "an export of Label Studio, 30 tasks, with the choices 'label'"),
        ("t.json", json_min(ONE), "a JSON-MIN export of Label Studio"),
    ],
)
def test_one_label_in_every_shape(tmp_path, name, rows, note):
    data, plain = read(written(tmp_path / name, rows)), read(written(tmp_path / "plain.jsonl", ROWS))
    assert every_row(data) == every_row(plain) and data.labels == plain.labels and data.counts == plain.counts
    assert [line.removeprefix(f"{tmp_path / name}: ") for line in data.notes] == [note][: bool(note)]


@pytest.mark.parametrize("shape", [doccano, label_studio, json_min])
def test_any_number_of_labels_in_every_shape(tmp_path, shape):
    data = read_labels(written(tmp_path / "t.json", shape(TAGS)), label_column="label")
    assert [labels for *_, labels in every_row(data)] == list(map(tuple, TAGS))


def test_a_json_file_may_hold_an_object_a_line(tmp_path):
    (tmp_path / "t.json").write_text("\n".join(map(json.dumps, ROWS)))
    assert every_row(read(tmp_path / "t.json")) == every_row(read(written(tmp_path / "plain.jsonl", ROWS)))


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ('[{"text": "a"', "the file is not JSON"),
        ("[1, 2]", "row 1 is not a JSON object"),
        ('[{"text": "a", "label": "b"}, null]', "row 2 is not a JSON object"),
        ('"text"', "holds no JSON array"),
        ('[{"text": "a", "text": "b"}]', "a name stands twice"),
        ('{"rows": [\n1]}', "line 1 is not JSON"),
        (f"{'[' * 200_000}", "not JSON"),
        ("[]", "has no column 'text'"),
        (" ", "is empty"),
    ],
)
def test_broken_arrays_are_named(tmp_path, content, fragment):
    (tmp_path / "t.json").write_text(content)
    refused(tmp_path / "t.json", "t.json", fragment)


def test_rows_of_an_array_are_called_rows(tmp_path):
    refused(written(tmp_path / "t.json", [*ROWS, {"text": "a"}]), "in 1 row: row 31")


def test_rows_that_nobody_annotated_are_missing(tmp_path):
    tasks = [
        *label_studio(ONE),
        {"data": {"text": "left"}, "annotations": []},
        {"data": {"text": "skipped"}, "annotations": [annotation(["neg"], was_cancelled=True)]},
    ]
    path = written(tmp_path / "t.json", tasks)
    for reader in (read, read_labels):
        refused(path, "column 'label' is empty or blank in 2 rows: row 31, 32", reader=reader, label_column="label")
    assert len(every_row(read(path, drop_missing=True))) == 30
    unsure = written(tmp_path / "u.jsonl", doccano([*ONE, []]))
    refused(unsure, "in 1 line: line 31")


def test_an_annotated_task_without_a_choice_has_no_label(tmp_path):
    path = written(tmp_path / "t.json", label_studio([*TAGS, []]))
    assert every_row(read_labels(path, label_column="label"))[-1][2] == ()
    refused(written(tmp_path / "u.json", label_studio([*ONE, []])), "in 1 row: row 31")


def test_a_task_that_two_people_annotated_is_two_rows(tmp_path):
    tasks = label_studio(ONE)
    tasks[0]["annotations"].append(annotation(["pos"]))
    data = read(written(tmp_path / "t.json", tasks))
    assert [row[2] for row in every_row(data) if row[0] == 1] == ["neg", "pos"]
    assert data.counts["conflicting_texts"] == 1


SPAN = {"from_name": "label", "type": "labels", "value": {"start": 0, "end": 4, "text": "text", "labels": ["LOC"]}}


@pytest.mark.parametrize("reader", [read, read_labels])
@pytest.mark.parametrize(
    "rows",
    [
        [{"id": 1, "text": "a b", "label": [[0, 1, "LOC"]]}] * 30,
        [{"id": 1, "text": "a b", "label": [{"id": 1, "label": "LOC", "start_offset": 0, "end_offset": 1}]}] * 30,
        [{"data": {"text": "a b"}, "annotations": [{"result": [SPAN]}]}] * 30,
    ],
    ids=["doccano", "doccano with ids", "Label Studio"],
)
def test_spans_are_refused(tmp_path, rows, reader):
    fragments = ("row 1, column 'label': holds", "spans of the text", "export a project of text classification")
    refused(written(tmp_path / "t.json", rows), *fragments, reader=reader, label_column="label")


def test_several_labels_where_one_is_expected(tmp_path):
    for rows in (doccano([["a", "b"], *ONE]), label_studio([["a", "b"], *ONE]), json_min([["a", "b"], *ONE])):
        refused(written(tmp_path / "t.json", rows), "row 1, column 'label': holds the list", "train_multilabel.py")


def test_lists_of_one_name_are_labels_in_exports_alone(tmp_path):
    refused(written(tmp_path / "t.jsonl", [{"text": "a", "label": ["b"]}] * 30), "where one label is expected")
    assert len(every_row(read(write_table(tmp_path / "t.csv", numbered(30))))) == 30
