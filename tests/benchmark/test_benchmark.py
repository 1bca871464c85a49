"""A tiny benchmark through its real arguments, in processes of its own: what it writes, and how it fails."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import tiny_predictors
from support import end_here, example_rows, write_csv

import halfbert
from halfbert.benchmark import base as benchmark_base
from halfbert.benchmark import plan as benchmark_plan
from halfbert.benchmark import process as benchmark_process
from halfbert.benchmark import record as benchmark_records
from halfbert.options import BenchmarkOptions
from halfbert.system.errors import ResourceError

end = partial(end_here, script="benchmark")


@pytest.fixture
def table(tmp_path):
    return write_csv(tmp_path / "things.csv", example_rows(40))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tensorflow_ready):
    """A BERT and a DistilBERT of two narrow layers and random weights, as --base makes them in full size."""
    folder = tmp_path_factory.mktemp("tiny")
    common = {"vocab_size": 30522, "max_position_embeddings": 512}
    bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    distilbert = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    for model, sizes in (("bert", bert), ("distilbert", distilbert)):
        benchmark_base.make(model, folder / f"tiny-{model}", **common, **sizes)
    return folder


@pytest.fixture
def small(tmp_path, tiny):
    """Copies of the tiny predictors, to be written into."""
    return shutil.copytree(tiny, tmp_path / "predictors")


@pytest.mark.slow
def test_a_tiny_benchmark(small, tmp_path, table, capfd):
    """Both predictors behind onnx, each repeat in its own processes: record, tables and pictures stand where promised."""
    output = tmp_path / "results" / "benchmark" / "things"
    quick = ("--quick", "--repeats", "1", "--seconds", "0.02", "--rows", "8", "--threads", "1")
    where = ("--texts", table, "--output", output)
    both = (small / "tiny-bert", small / "tiny-distilbert")
    assert end(*both, "--engines", "onnx", "--allow-disagreement", *quick, *where) == 0
    shown = capfd.readouterr()
    assert shown.err == "" and "quick look" in shown.out and str(output) in shown.out
    plots = {"latency.png", "throughput.png", "speed_size_accuracy.png"}
    assert {path.name for path in output.iterdir()} == {"report.html", "report.md", "report.xlsx", *plots}
    assert {path.name for path in output.parent.iterdir()} == {"things", "things.json"}
    record = benchmark_records.read(output.parent / "things.json")
    assert record.schema_version == 1 and record.quick is True and record.environment.command
    assert record.environment.versions["onnxruntime"] and record.environment.hardware["cpus"]
    assert record.ceilings["1"] > 0.1
    for name, model in (("tiny-bert", "bert"), ("tiny-distilbert", "distilbert")):
        found = record.predictor(name)
        assert found.model == model and 900_000 < found.parameters < 1_100_000 and found.folder_bytes > 3_600_000
        assert sum(record.texts.tokens[name].histogram.values()) == 8
    for contestant in record.contestants:
        assert contestant.not_run is None and contestant.weight_bytes > 3_500_000
        (start,) = contestant.cold
        assert start.first_answer_seconds > start.import_seconds + start.load_seconds > 0
        assert start.gpu_peak is None and start.peak_above_import > 1_000_000
        # One text, batches of 8 and 32; natural and fixed; end to end and the model alone; and the paper's pass.
        assert len(contestant.cases) == 2 * 2 * 3 + 1
        for case in contestant.cases:
            (block,) = case.blocks
            calls = case.texts // case.batch
            assert len(block.seconds) % calls == 0 and min(block.seconds) > 0 and block.warm_up_seconds
            assert len(block.seconds) == calls == 8 if case.scenario == "paper" else sum(block.seconds) > 0.01
            assert case.lengths != "fixed" or len(block.warm_up_seconds) == 1  # all of one length, so of one shape
    against = {(pair.a.predictor, pair.b.predictor): pair.comparison for pair in record.pairs}
    assert set(against) == {("tiny-bert", "tiny-bert"), ("tiny-bert", "tiny-distilbert")}
    assert against["tiny-bert", "tiny-distilbert"].interval
    report = (output / "report.md").read_text(encoding="utf-8")
    for heading in ("One text at a time", "Many texts", "Cold start", "One pass", "Pairs", "Published"):
        assert f"## {heading}" in report
    assert end(small / "tiny-bert", *where) == 2 and "--overwrite" in capfd.readouterr().err


@pytest.mark.slow
def test_prepare_proves_and_a_benchmark_does_so_by_itself(small, tmp_path, table, capfd):
    """--prepare writes graphs and figures; without it, what lacks figures is compared before it is timed."""
    folder = small / "tiny-bert"
    assert end(folder, "--prepare", "--engines", "onnx,onnx-int8", "--texts", table, "--threads", "1") == 0
    said = capfd.readouterr().out
    found = json.loads((folder / "halfbert.json").read_text())["agreement"]
    assert set(found) == {"onnx", "onnx-int8"} and found["onnx"]["rows"] == 40 and found["onnx"]["equal_decisions"] == 1.0
    assert "onnx: 100.00% of 40 decisions equal to keras" in said and "halfbert.load takes " in said
    assert [key.split(" of ")[0] for key in json.loads((folder / "halfbert.json").read_text())["speeds"]] == ["1 thread"]
    assert (folder / "engines" / "onnx" / "graph.onnx").is_file()
    figure = {**found["onnx"], "equal_decisions": 0.5}
    manifest = json.loads((folder / "halfbert.json").read_text())
    (folder / "halfbert.json").write_text(json.dumps({**manifest, "agreement": {"onnx": figure}}))
    quick = ("--quick", "--repeats", "1", "--seconds", "0.01", "--rows", "8", "--threads", "1", "--scenarios", "cold")
    where = ("--texts", table, "--output", tmp_path / "results" / "x")
    assert end(folder, "--engines", "onnx", *quick, *where) == 3  # what was compared and refused is not compared anew
    said = capfd.readouterr()
    assert "50.00%" in said.err and "comparing" not in said.out


def test_the_worker_makes_texts_of_exactly_so_many_tokens(tiny):
    from halfbert import load
    from halfbert.benchmark.worker import of_length

    user = load(tiny / "tiny-bert", "onnx", "cpu", 1, allow_disagreement=True)
    text = " ".join(["unbelievably", "hyperparameterised", "cat", "naïve", "日本"] * 40)
    for tokens in (5, 17, 128):
        made = of_length(user, text, tokens)
        assert user.encode([made]).full_lengths.tolist() == [tokens]
    assert made.startswith("unbelievably hyperparameterised cat")


def test_full_size_is_what_was_published(tensorflow_ready):
    import transformers

    for config, layers in ((transformers.BertConfig(), 12), (transformers.DistilBertConfig(), 6)):
        assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (768, layers, 30522)
        own = benchmark_base.SIZES[config.model_type]
        assert {name: config.to_dict()[name] for name in own} == own and config.vocab_size == benchmark_base.VOCABULARY


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_full_size_without_tensorflow(model, tmp_path, monkeypatch):
    """Of the same parameters, and onnx and torch can read it: here in small."""
    monkeypatch.setattr(benchmark_base.engines, "installed", lambda name: False)
    small = {"bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}}
    small["distilbert"] = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    benchmark_base.make(model, tmp_path / model, **small[model])
    monkeypatch.undo()
    user = halfbert.load(tmp_path / model, "onnx", "cpu", 1, allow_disagreement=True)
    answers = user.predict_proba(["the cat", "a dog is here"])
    assert answers.shape == (2, 2) and np.isfinite(answers).all()
    subject = benchmark_plan.describe(tmp_path / model, random_weights=True)
    assert subject.described.random_weights and subject.described.sizes.layers == 2


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["predictors/none"], 2, "predictors/none: no such folder"),
        (["{tiny}/tiny-bert", "--engines", "tflite"], 2, "'tflite' is not a list of"),
        (["{tiny}/tiny-bert", "{tiny}/tiny-bert"], 2, "two predictors are called 'tiny-bert'"),
        (["{tiny}/tiny-bert", "--devices", "gpu", "--engines", "onnx-int8", "--allow-disagreement"], 4, "on the gpu"),
        (["{tiny}/tiny-bert", "--texts", "none.csv"], 2, "none.csv: no such file"),
        (["{tiny}"], 3, "halfbert.json is missing"),
    ],
)
def test_failures(arguments, code, reason, tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    quick = ("--quick", "--rows", "8", "--threads", "1")
    assert end(*(argument.format(tiny=tiny) for argument in arguments), *quick) == code
    error = capfd.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_predictor_of_several_columns_is_given_rows_of_them(small, tmp_path, capfd):
    tiny_predictors.change_manifest(small / "tiny-bert", text_columns=["title", "body"])
    quick = ("--quick", "--rows", "8", "--threads", "1", "--output", tmp_path / "x")
    assert end(small / "tiny-bert", *quick) == 2
    said = "tiny-bert: answers rows of 2 columns, 'title', 'body'; give a table with them as --texts, and name them with"
    assert said in capfd.readouterr().err
    long = [("word " * 200, f"body {number}", "x") for number in range(8)]
    rows = write_csv(tmp_path / "rows.csv", long, ("title", "body", "label"))
    options = BenchmarkOptions(predictors=[small / "tiny-bert"], quick=True, texts=rows, text_column="title,body")
    texts = benchmark_plan.read_texts(options)
    benchmark_plan.check_columns([benchmark_plan.describe(small / "tiny-bert")], texts)
    assert all(text.startswith("[SEP] word") for text in texts.by_lengths["fixed"])  # however short they are cut


def test_an_altered_predictor(small, tmp_path, capfd):
    with open(small / "tiny-bert" / "tf_model.h5", "ab") as stream:
        stream.write(b"x")
    assert end(small / "tiny-bert", "--output", tmp_path / "x") == 3
    assert "tf_model.h5" in capfd.readouterr().err


def test_a_worker_that_dies_says_why():
    with pytest.raises(ResourceError, match="the timed process: TypeError"):
        benchmark_process.Worker({}, 1)
