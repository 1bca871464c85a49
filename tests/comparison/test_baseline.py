"""The TF-IDF baseline: fit, speed, likely label errors."""

from support import TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.comparison import baseline
from halfbert.comparison.jobs import read_json
from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.system import processes
from halfbert.training import steps


def multiclass(folder, rows):
    return MulticlassOptions(model="bert", train=write_csv(folder / "things.csv", rows))


def multilabel(folder, rows):
    return MultilabelOptions(model="bert", train=write_tags(folder / "tags.csv", rows), threshold="f1")


def test_one_label_per_text_is_learnt_and_the_saved_model_timed_in_a_process_of_its_own(tmp_path):
    options, results = multiclass(tmp_path, example_rows(150)), tmp_path / "results"
    baseline.fit_and_test(options, str(results))
    data, record, (probabilities, numbers) = (
        steps.read(options.task, options),
        records.read(results),
        records.read_answers(results),
    )
    assert record.test["accuracy"] == 1.0 > record.test["commonest_label"]["accuracy"]
    assert numbers.tolist() == data.test.numbers and probabilities.shape == (15, 3)
    assert [data.labels[n] for n in probabilities.argmax(axis=1)] == data.test.labels
    best = max(score["val_macro_f1"] for score in record.validation)
    assert record.validation[0]["val_macro_f1"] == best and record.options["c"] == record.validation[0]["c"]
    job = {"do": "time", "results": str(results), "texts": ["the old cat"] * 40, "seconds": 0.05}
    processes.run(baseline.COMMAND, "speed", {**job, "file": str(tmp_path / "speed.json")})
    found = read_json(tmp_path / "speed.json")
    assert min(found["texts_per_second"], found["single_seconds"], found["first_answer_seconds"]) > 0
    assert found["weight_bytes"] == record.size.folder_bytes == (results / baseline.MODEL).stat().st_size


def test_any_number_of_labels_is_learnt(tmp_path):
    baseline.fit_and_test(multilabel(tmp_path, tagged_rows(200)), str(tmp_path / "results"))
    record, (probabilities, _) = records.read(tmp_path / "results"), records.read_answers(tmp_path / "results")
    assert record.test["at_thresholds"]["macro_f1"] > 0.9 > record.test["no_label"]["macro_f1"]
    assert len(record.test["thresholds"]) == 3 and probabilities.shape == (record.data.rows.test, 3)


def test_likely_label_errors(tmp_path):
    """Of one label in a process as a comparison runs it, of many labels in this one."""
    rows, tagged, file = example_rows(150), tagged_rows(600), tmp_path / "found.json"
    (text, label), (tagged_text, tags) = rows[40], tagged[40]
    rows[40] = (text, "tool" if label != "tool" else "food")
    job = {"do": "suspect", **baseline.job(multiclass(tmp_path, rows)), "c": 10.0, "file": str(file)}
    processes.run(baseline.COMMAND, "label errors", job)
    found = read_json(file)
    assert found["rows"] == 150
    assert [(row["row"], row["given"], row["suggested"]) for row in found["found"]] == [(42, rows[40][1], label)]
    tagged[40] = (tagged_text, tuple(tag for tag in TAGS if (tag in tags) != (tag == TAGS[0])))
    baseline.suspect(multilabel(tmp_path, tagged), 10.0, str(file))
    (line,) = [row for row in read_json(file)["found"] if row["row"] == 42]
    part = next(part for part, rows in steps.read("multilabel", multilabel(tmp_path, tagged)).parts() if 42 in rows.numbers)
    assert (line["part"], line["file"], line["text"], line["given"]) == (
        part,
        "tags.csv",
        tagged_text,
        "; ".join(tagged[40][1]),
    )
