"""What the page shows of a predictor beside its answers."""

import json

from serving_predictors import proven
from tiny_predictors import change_manifest

from halfbert.predictor import manifest
from halfbert.serving.page.about import MAX_ERRORS, pictures


def test_card_and_guarantees(server, things):
    found = server.request("GET", "/v1/predictors/things/about").json
    assert found["card"] == (things / "README.md").read_text() and found["pictures"] == []
    possible = [rate for rate in MAX_ERRORS if server.predict(["cat"], max_error=rate).status == 200]
    assert found["max_errors"] == possible and possible
    assert server.request("GET", "/v1/predictors/tags/about").json["max_errors"] == []
    assert server.request("GET", "/v1/predictors/none/about").status == 404
    assert server.request("GET", "/v1/predictors/things/pictures/..%2fREADME.md").status == 404


def test_pictures_are_those_of_the_same_run(tmp_path):
    folder = proven(tmp_path / "predictors" / "cats")
    change_manifest(folder, test={"accuracy": 0.5})
    stated = manifest.read(folder)
    assert pictures(folder, stated) == {}
    results = tmp_path / "results" / "multiclass" / "cats"
    results.mkdir(parents=True)
    (results / "confusion.png").write_bytes(b"\x89PNG")
    for content, names in (("{", []), ("[]", []), ('{"test": null}', [])):
        (results / "record.json").write_text(content)
        assert list(pictures(folder, stated)) == names
    for accuracy, names in ((0.4, []), (0.5, ["confusion.png"])):
        (results / "record.json").write_text(json.dumps({"test": {"accuracy": accuracy, "macro_f1": 1}}))
        assert list(pictures(folder, stated)) == names
    change_manifest(folder, test=None)
    assert pictures(folder, manifest.read(folder)) == {}
