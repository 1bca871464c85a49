"""The on-device study: every engine in fresh processes, its table and picture, and phones by a stand-in for adb."""

import dataclasses
import json
import os
import shutil
import stat
from functools import partial

import pytest
import tiny_predictors
from support import end_here, example_rows, write_csv

import halfbert
from halfbert.benchmark import base, browser, device_study, phone
from halfbert.benchmark.device_study import Studied
from halfbert.export.web import checking
from halfbert.options import BenchmarkOptions
from halfbert.system.errors import InputError, ResourceError

end = partial(end_here, script="benchmark")
TIMES = "Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 2.66e+05"
MEMORY = "Memory footprint delta from the start of the tool (MB): init=3.1 overall=64"


def studied(**changes):
    whole = {"predictor": "b", "engine": "onnx", "device": "cpu", "threads": 1, "setting": "cpu, 1 thread", "model": "bert"}
    whole |= {"random_weights": False, "file_bytes": 91_000_000, "peak_bytes": 300_000_000, "load_seconds": 0.5}
    whole |= {"p50_seconds": {"32": 0.008, "128": 0.03}, "samples": {"32": 60, "128": 60}, "score": 0.9, "equal_answers": 1.0}
    return Studied(**{**whole, **changes})


@pytest.fixture
def study():
    small = studied(predictor="d", model="distilbert", file_bytes=69e6, p50_seconds={"32": 0.004, "128": 0.015})
    several = [studied(), small, dataclasses.replace(small, predictor="full", random_weights=True, score=None)]
    return device_study.Study(
        **{"repeats": 3, "seconds": 1.0, "texts": "t", "environment": None, "predictors": [], "studied": several},
        **{"not_run": {}, "on_phone": [], "published": device_study.PAPER},
    )


@pytest.mark.slow
def test_a_tiny_study(tmp_path, tensorflow_ready, capfd):
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 30522, "max_position_embeddings": 512}
    folder, output = tmp_path / "tiny", tmp_path / "study"
    base.make("distilbert", folder, **sizes)
    table = write_csv(tmp_path / "things.csv", example_rows(40))
    how = ("--device-study", "--quick", "--repeats", "2", "--seconds", "0.02", "--rows", "8", "--threads", "1")
    words = ("--allow-disagreement", "--engines", "onnx,onnx-int8", "--texts", table, "--output", output)
    assert end(folder, *how, *words) == 0
    shown = capfd.readouterr()
    assert shown.err == "" and "| tiny | onnx-int8 | cpu, 1 thread |" in shown.out
    assert {file.name for file in output.iterdir()} == {"report.md", "on_device.png"}
    record = json.loads((tmp_path / "study.json").read_text())
    assert [each["engine"] for each in record["studied"]] == ["onnx", "onnx-int8"] and record["not_run"] == {}
    for each in record["studied"]:
        assert each["peak_bytes"] > each["file_bytes"] > 0 and each["load_seconds"] > 0
        assert each["samples"].keys() == {"32", "128"} and each["p50_seconds"]["32"] > 0
        assert all(count >= 2 * device_study.TEXTS for count in each["samples"].values())


def test_the_table_sets_the_pair_against_the_paper(study):
    table = device_study.table(study)
    assert "| b | onnx | cpu, 1 thread | 91.0 | 300 | 0.50 | 8 | 30 | 0.9000 |" in table
    assert "| b / d | onnx | cpu, 1 thread | 2.00 (50%) | 2.00 (50%) |" in table and "b / full" not in table
    assert "BERT's over DistilBERT's: 1.71" in table and "DistilBERT's file: 207 MB" in table


def test_what_could_not_run_stays_in_the_report(study):
    study.not_run["b, litert, cpu, 1 thread"] = "engine litert: needs ai_edge_litert"
    assert "Not measured: b, litert, cpu, 1 thread: engine litert: needs ai_edge_litert." in device_study.table(study)


def test_the_picture_has_a_panel_for_each_length(study, tmp_path):
    device_study.draw(study, tmp_path / "on_device.png")
    assert (tmp_path / "on_device.png").stat().st_size > 10_000


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """Put a stand-in on the path, which notes what it is called with; returns it and the benchmark program."""

    def install(devices="List of devices attached\nabc\tdevice\n", printed=f"{TIMES}\n{MEMORY}\n", code=0):
        answers = tmp_path / "answers"
        answers.mkdir(exist_ok=True)
        (answers / "devices").write_text(devices)
        (answers / "shell").write_text(printed)
        program = tmp_path / "path" / "adb"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nif [ "$1" = devices ]; then cat {answers}/devices; exit 0; fi\n'
            f'case "$2" in */benchmark_model) cat {answers}/shell;; esac\necho "error: no space" >&2\nexit {code}\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    binary = tmp_path / "benchmark_model"
    binary.write_text("of the phone's processor")
    return install, binary


@pytest.fixture
def with_model(tmp_path):
    folder = tmp_path / "predictor"
    (folder / "engines" / "litert").mkdir(parents=True)
    (folder / "engines" / "litert" / "model.tflite").write_bytes(b"x" * 1000)
    return folder


def test_a_phone_is_timed_and_left_as_it_was(adb, with_model, tmp_path):
    install, binary = adb
    install()
    phone.require(binary)
    first, second = phone.measure(binary, [with_model], [1, 4], [128])
    assert (first.predictor, first.engine, first.threads, first.tokens) == (
        "predictor",
        "litert",
        1,
        128,
    ) and second.threads == 4
    assert (first.load_seconds, first.mean_seconds) == pytest.approx((0.020283, 0.266))
    assert (first.file_bytes, first.peak_bytes) == (1000, 64 * 2**20)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert f"push {with_model}/engines/litert/model.tflite {phone.FOLDER}/model.tflite" in calls
    assert (
        any("--num_threads=4" in call and "--input_layer_shape=1,128" in call for call in calls)
        and calls[-1] == f"shell rm -rf {phone.FOLDER}"
    )


def test_no_phone_is_one_line(adb, with_model, tmp_path, monkeypatch):
    install, binary = adb
    with pytest.raises(InputError, match=r"--adb .*none: no such file; give LiteRT's benchmark_model"):
        phone.require(tmp_path / "none")
    monkeypatch.setattr(phone.shutil, "which", lambda _: None)
    with pytest.raises(ResourceError, match="adb is not on the path"):
        phone.require(binary)
    monkeypatch.undo()
    install(devices="List of devices attached\nabc\tunauthorized\n")
    with pytest.raises(ResourceError, match="no phone is attached, or none that allows debugging"):
        phone.require(binary)
    install(devices="List of devices attached\na\tdevice\nb\tdevice\n")
    with pytest.raises(ResourceError, match="2 phones are attached"):
        phone.require(binary)
    install(printed="cannot execute\n", code=0)
    with pytest.raises(ResourceError, match=r"printed no times of model\.tflite; its last line: error: no space"):
        list(phone.measure(binary, [with_model], [1], [32]))
    install(code=1)
    with pytest.raises(ResourceError, match=r"adb shell failed \(error: no space\)"):
        list(phone.measure(binary, [with_model], [1], [32]))


def test_options_that_do_not_go_together():
    for words, line in (
        ({"adb": "x"}, "--adb: goes with --device-study"),
        ({"prepare": True, "device_study": True}, "--prepare and"),
    ):
        with pytest.raises(InputError, match=line):
            BenchmarkOptions(predictors=["p"], **words)
    chosen = BenchmarkOptions(predictors=["p"], device_study=True)
    assert {"onnx", "onnx-int8"} <= set(chosen.engines) and "keras" not in chosen.engines
    assert chosen.output.name == "messages-device"


@pytest.mark.slow
def test_pages_are_timed_in_a_browser(tmp_path, tensorflow_ready, monkeypatch):
    pytest.importorskip("playwright")
    if not any(map(shutil.which, checking.EXECUTABLES)):
        pytest.skip("no Chromium is installed")
    monkeypatch.setattr(device_study, "LENGTHS", (8, tiny_predictors.MAXLEN))
    folder, output = tiny_predictors.copy("bert", "multiclass", tmp_path / "tiny"), tmp_path / "study"
    texts = [text for text, _ in example_rows(40)]
    answers = halfbert.load(folder, "onnx", allow_disagreement=True).predict(texts)
    table = write_csv(tmp_path / "things.csv", list(zip(texts, answers, strict=True)))
    how = ("--device-study", "--browser", "--repeats", "2", "--seconds", "0.05", "--rows", "8", "--threads", "1")
    words = ("--engines", "onnx", "--texts", table, "--label-column", "label", "--output", output)
    assert end(folder, *how, *words) == 0
    page = next(each for each in device_study.read(tmp_path / "study.json").studied if each.engine == "browser, int8")
    assert page.score > 0.7  # of labels that float32 gave
    assert page.file_bytes > 4_000_000 and page.peak_bytes > 30_000_000
    assert page.samples["8"] >= 2 * device_study.TEXTS and 0 < page.p50_seconds["8"] < page.load_seconds


def test_a_browser_that_is_missing_is_said_before(tmp_path, capfd, monkeypatch):
    assert end(tmp_path, "--browser") == 2
    assert capfd.readouterr().err.startswith("error: --browser: goes with --device-study (")
    monkeypatch.setattr(checking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="--browser: needs playwright and Chromium, not installed here"):
        checking.require(browser.OPTION)
