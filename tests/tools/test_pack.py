"""What a mini model was taught, packed into the package."""

import json

import pytest

from halfbert.models import checkpoints, mini
from tools import pack


@pytest.mark.parametrize("model", sorted(mini.TAUGHT_SHA256))
def test_what_is_in_the_package_is_packed_to_the_same_bytes(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "cache"))
    taught = checkpoints.find(model, checkpoints.MINI).folder
    record = mini.TAUGHT / f"{model}.json"
    (taught / "distillation.json").write_bytes(record.read_bytes())
    published = dict(mini.LESSON_SHA256), dict(mini.TAUGHT_SHA256)
    monkeypatch.setattr(mini, "TAUGHT", tmp_path / "packed")
    mini.TAUGHT.mkdir()
    pack.pack(model, taught)
    said = capsys.readouterr().out
    assert published[0][model] in said and published[1][model] in said
    assert published == (mini.LESSON_SHA256, mini.TAUGHT_SHA256)
    assert json.loads((mini.TAUGHT / record.name).read_text()) == json.loads(record.read_text())
