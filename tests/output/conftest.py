"""The figures of pictures, for tests that look into them."""

import pytest

from halfbert.output import drawing


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written."""
    seen = []
    write = drawing._write

    def remember(figure, path):
        seen.append(figure)
        write(figure, path)

    monkeypatch.setattr(drawing, "_write", remember)
    return seen
