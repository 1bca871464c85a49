"""The recipe for Spark of docs/scale.md, run as it stands there; skipped where PySpark or Java is not installed."""

import os
import re
import shutil
import sys

import pandas
import pytest
from support import ROOT, example_rows
from table_files import write_table

from halfbert.prediction.scorer import Scorer

TEXTS = [text for text, _ in example_rows(30)]
RECIPE = re.search(r"```python\n(from pyspark.*?)```", (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def test_the_function_of_the_recipe_keeps_rows_and_columns(things):
    """What `mapInPandas` calls: frames in, as many out, of the same rows."""
    function = RECIPE[RECIPE.index("def answered") : RECIPE.index("rows =")]
    names = {"scorer": Scorer(things.folder, engine="onnx", threads=1)}
    exec(function, names)
    frames = [pandas.DataFrame({"n": [1, 2, 3], "text": [TEXTS[0], None, TEXTS[1]]}), pandas.DataFrame({"n": [4], "text": " "})]
    answered = list(names["answered"](iter(frames)))
    assert [list(frame) for frame in answered] == [["n", "text", "label", "confidence", "note"]] * 2
    assert [frame["n"].tolist() for frame in answered] == [[1, 2, 3], [4]]
    first, second = things.classifier.predict(TEXTS[:2])
    assert answered[0]["label"].fillna("none").tolist() == [first, "none", second]
    assert answered[0]["note"].tolist() == ["", "no text", ""]
    assert answered[1]["label"].isna().tolist() == [True]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java")
def test_the_recipe_answers_as_one_process(predict, things, tmp_path, monkeypatch):
    pytest.importorskip("pyspark")
    import pyarrow.parquet
    from pyspark.sql import SparkSession

    (tmp_path / "logs").mkdir()
    write_table(tmp_path / "logs" / "a.parquet", [[text, number] for number, text in enumerate(["", *TEXTS])], ["text", "n"])
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {"spark.ui.enabled": "false", "spark.sql.execution.arrow.maxRecordsPerBatch": "7"}
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        code = RECIPE.replace("/shared/predictors/distilbert-reviews", str(things.folder)).replace("/shared", str(tmp_path))
        exec(compile(code, "docs/scale.md", "exec"), {"__name__": "recipe"})
    finally:
        session.stop()
    files = [tmp_path / "labelled" / name for name in os.listdir(tmp_path / "labelled") if name.endswith(".parquet")]
    rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
    predict(tmp_path / "logs" / "a.parquet", "--output", tmp_path / "alone.parquet")
    alone = pyarrow.parquet.read_table(tmp_path / "alone.parquet").to_pylist()
    assert [{**row, "confidence": None} for row in rows] == [{**row, "confidence": None} for row in alone]
    assert [row["confidence"] for row in rows] == pytest.approx([row["confidence"] for row in alone], abs=2e-6)
