"""What differs between two runs, by name."""

from halfbert.training.identity import differences, hashed


def test_what_differs_is_named():
    before = {"--epochs": 3, "train rows": hashed([1]), "--layers": [0, 2], "--keep": "x" * 90, "tensorflow": "2.21"}
    assert differences(before, {**before, "--layers": (0, 2)}) == []
    after = {**before, "--epochs": 2, "train rows": hashed([2]), "--keep": "y", "--lr": 0.1}
    assert differences(before, after) == [
        "--epochs was 3, is 2",
        "train rows: not the same",
        f"--keep was {'x' * 24}…{'x' * 24}, is y",
        "--lr was not given, is 0.1",
    ]
    assert differences(before, {**before, "--lr": None}) == []  # a name that is new and not used
