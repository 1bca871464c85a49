"""Finished runs of either task, and the figures of pictures, for tests that look into them."""

import pytest


@pytest.fixture(params=["finished", "finished_multilabel"])
def run(request):
    """A finished run of each task in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def drawn(tmp_path, figures):
    """Draws a picture from the given numbers into picture.png and returns its figure."""

    def draw(picture, *numbers, **more):
        picture(*numbers, tmp_path / "picture.png", **more)
        return figures[-1]

    return draw
