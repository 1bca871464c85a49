"""Every picture is written whole or not at all, in one style, with letters of any script."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from pictures import DRAW, size_of

from halfbert.system.errors import ResourceError

every_picture = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


@every_picture
def test_a_whole_png_and_nothing_else(draw, tmp_path):
    draw(tmp_path / "picture.png")
    width, height = size_of(tmp_path / "picture.png")
    assert 500 < width < 2000 and 300 < height < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@every_picture
def test_a_missing_folder_is_named_and_not_made(draw, tmp_path):
    with pytest.raises(ResourceError, match="there is no folder .*gone"):
        draw(tmp_path / "gone" / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_earlier_picture(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"the earlier picture")

    def half_written(figure, stream, **options):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half_written)
    with pytest.raises(ResourceError, match=r"picture\.png: No space left on device"):
        DRAW["confusion"](path)
    assert path.read_bytes() == b"the earlier picture"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "picture.png").mkdir()
    with pytest.raises(ResourceError, match=r"cannot write the picture .*picture\.png"):
        DRAW["learning_rate"](tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path):
    script = (
        "import sys; from pathlib import Path; from halfbert.output import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plots.confusion([[1, 0], [0, 1]], ['a', 'b'], Path({str(tmp_path / 'picture.png')!r}))\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, check=True)


def test_the_users_own_settings_neither_change_nor_are_changed(tmp_path):
    DRAW["learning_rate"](tmp_path / "plain.png")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        DRAW["learning_rate"](tmp_path / "settings.png")
        assert matplotlib.rcParams["lines.linewidth"] == 9
        assert matplotlib.rcParams["text.parse_math"]
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "settings.png").read_bytes()
