"""The wheel: built, installed beside nothing but what it declares, and used from another folder."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from support import ROOT, script_environment

pytestmark = pytest.mark.slow
MOST_BYTES = 300e6


def closure(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """The installed distributions that requirements lead to, by name; extras are left out."""
    found, waiting = {}, list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = importlib.metadata.distribution(requirement.name)
        if distribution.name not in found:
            found[distribution.name] = distribution
            waiting += distribution.requires or []
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> SimpleNamespace:
    """A virtual environment that holds the wheel and links to what its base install declares: its `python`, what it `needs`."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "results", "predictors", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    wheel = next(folder.glob("halfbert-*.whl"))
    subprocess.run(
        [*pip, "--python", folder / "venv" / "bin" / "python", "install", "--no-deps", "--no-index", wheel], check=True
    )
    needs = closure(importlib.metadata.PathDistribution(next(site.glob("halfbert-*.dist-info"))).requires)
    for distribution in needs.values():
        for top in {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    return SimpleNamespace(python=folder / "venv" / "bin" / "python", needs=needs)


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Python of the new environment, in a folder without the checkout."""
    done = subprocess.run([python, *arguments], cwd=cwd, env=script_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_the_command_and_the_package_work_from_another_folder(installed, tmp_path):
    assert "train-multiclass" in run(installed.python.with_name("halfbert"), "--help", cwd=tmp_path).stdout
    assert (
        run(installed.python, "-c", "import halfbert; print(halfbert.__file__)", cwd=tmp_path)
        .stdout.strip()
        .endswith("site-packages/halfbert/__init__.py")
    )
    missing = (
        "from importlib.util import find_spec; print([m for m in ('tensorflow', 'torch', 'transformers') if find_spec(m)])"
    )
    assert run(installed.python, "-c", missing, cwd=tmp_path).stdout == "[]\n"


def test_the_embedded_messages_and_templates_are_in_the_wheel(installed, tmp_path):
    site = Path(run(installed.python, "-c", "import halfbert; print(halfbert.__path__[0])", cwd=tmp_path).stdout.strip())
    packed = {file.relative_to(site) for file in site.rglob("*") if file.suffix not in (".pyc",) and file.is_file()}
    tracked = subprocess.run(["git", "ls-files", "halfbert"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert packed == {Path(name).relative_to("halfbert") for name in tracked}


def test_an_existing_predictor_answers_without_tensorflow(installed, tmp_path, finished):
    shutil.copytree(finished.output, tmp_path / "things")
    texts = [text for text, _ in finished.test_rows[:6]]
    code = f"import halfbert; c = halfbert.load('things'); print(c.engine, c.predict({texts!r}))"
    engine, answers = run(installed.python, "-c", code, cwd=tmp_path).stdout.split(maxsplit=1)
    assert engine.startswith("onnx")
    import halfbert

    assert json.loads(answers.replace("'", '"')) == halfbert.load(finished.output, "keras").predict(texts)


def test_the_base_install_answers_tables(installed, tmp_path, finished):
    shutil.copytree(finished.output, tmp_path / "things")
    texts = [text for text, _ in finished.test_rows[:6]]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for source, output in (("in.jsonl", "out.csv"), ("out.csv", "out.xlsx"), ("out.xlsx", "out.jsonl")):
        run(installed.python, "-m", "halfbert", "predict", "things", source, "--output", output, cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == texts and [row["label"] for row in rows] == [row["predicted_label"] for row in rows]
    command = [installed.python, "-m", "halfbert", "predict", "things", "in.jsonl", "--output", "out.parquet"]
    done = subprocess.run(command, cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 4 and "parquet needs the package pyarrow, not installed here: pip install" in done.stderr


@pytest.mark.parametrize("verb", ["train-multiclass", "train-multilabel", "distill", "compare", "tune", "benchmark"])
def test_what_the_base_install_cannot_do_it_says_in_one_line(verb, installed, finished, tmp_path):
    required = {"compare": [], "tune": [], "benchmark": [finished.output], "distill": ["--teacher", finished.output]}
    command = [installed.python, "-m", "halfbert", verb, *required.get(verb, ["--model", "bert"])]
    done = subprocess.run(command, cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), done.stderr
    extra = "train,tune" if verb == "tune" else "train"
    assert f"pip install 'halfbert[{extra}]'" in done.stderr and not list(tmp_path.iterdir())


def test_the_base_install_is_small(installed):
    """Bytes on disk of all that the base install brings, as its distributions record them."""
    sizes = {name: sum(file.size or 0 for file in each.files) for name, each in installed.needs.items()}
    assert sum(sizes.values()) < MOST_BYTES, sizes
