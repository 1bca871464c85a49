"""Every picture is written whole or not at all, in one style, with letters of any script."""

import shutil
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import fontManager
from pictures import DRAW, size_of
from support import ROOT

from halfbert.output import fonts, multilabel_plots, plots, words
from halfbert.system.errors import ResourceError


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())
def test_a_whole_png_and_nothing_else_or_the_missing_folder_is_named(draw, tmp_path):
    draw(tmp_path / "picture.png")
    width, height = size_of(tmp_path / "picture.png")
    assert 500 < width < 2000 and 300 < height < 2000
    with pytest.raises(ResourceError, match="there is no folder .*gone"):
        draw(tmp_path / "gone" / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_disk_that_fills_up_leaves_the_earlier_picture_and_a_folder_in_the_way_is_refused(tmp_path, monkeypatch):
    def half_written(figure, stream, **options):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "picture.png"
    path.write_bytes(b"the earlier picture")
    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", half_written)
        with pytest.raises(ResourceError, match=r"picture\.png: No space left on device"):
            DRAW["confusion"](path)
    assert path.read_bytes() == b"the earlier picture"
    path.unlink()
    path.mkdir()
    with pytest.raises(ResourceError, match=r"cannot write the picture .*picture\.png"):
        DRAW["learning_rate"](path)
    assert list(tmp_path.iterdir()) == [path]


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path):
    script = (
        "import sys; from pathlib import Path; from halfbert.output import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plots.confusion([[1, 0], [0, 1]], ['a', 'b'], Path({str(tmp_path / 'picture.png')!r}))\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=ROOT, check=True)


def test_the_users_own_settings_neither_change_nor_are_changed(tmp_path):
    DRAW["learning_rate"](tmp_path / "plain.png")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        DRAW["learning_rate"](tmp_path / "settings.png")
        assert matplotlib.rcParams["lines.linewidth"] == 9
        assert matplotlib.rcParams["text.parse_math"]
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "settings.png").read_bytes()


@pytest.fixture
def few_fonts(monkeypatch):
    """Only the fonts that come with matplotlib are installed; nothing was reported yet."""
    own = [font for font in fontManager.ttflist if font.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    monkeypatch.setattr(fonts, "_reported", set())
    fonts._candidates.cache_clear()
    yield own
    fonts._candidates.cache_clear()


def test_letters_that_no_font_has_are_one_note_and_no_warning(tmp_path, few_fonts, capsys, recwarn):
    labels = ["配送延迟", "plain", "नमस्ते", "two\nlines $x^$"]
    for draw in (plots.confusion, lambda matrix, *rest: multilabel_plots.cooccurrence(np.array(matrix), *rest)):
        draw(np.eye(4, dtype=int).tolist(), labels, tmp_path / "picture.png")
    (note,) = capsys.readouterr().out.splitlines()
    assert note.startswith("note: no installed font has त न म स 延 迟 送 配: pictures show boxes") and "fonts-noto-cjk" in note
    assert not [warning for warning in recwarn if "lyph" in str(warning.message)]


def test_letters_are_drawn_in_a_font_that_has_them(few_fonts, drawn, capsys):
    letter = "\U0001d4d0"  # a mathematical script letter
    assert letter not in fonts._letters(fonts._file_of(fonts.BASE))
    pictures = [drawn(plots.confusion, [[1, 0], [0, 1]], [label, "plain"]) for label in (letter, "A")]
    strange, plain = (figure.axes[0].get_yticklabels()[0] for figure in pictures)
    base, other = strange.get_fontfamily()
    assert base == fonts.BASE and any(letter in fonts._letters(font.fname) for font in few_fonts if font.name == other)
    assert plain.get_fontfamily() == ["sans-serif"] and capsys.readouterr().out == ""


def test_a_font_installed_since_matplotlibs_list_was_made_is_found(tmp_path, few_fonts, monkeypatch):
    new = shutil.copy(fonts._file_of(fonts.BASE), tmp_path / "new.ttf")
    (tmp_path / "broken.ttf").write_text("no font")
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(tmp_path / "broken.ttf"), str(new)])
    fonts._candidates()
    assert str(new) in [font.fname for font in fontManager.ttflist]
    assert fonts._letters(str(tmp_path / "broken.ttf")) == frozenset()


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("plain", "plain"),
        ("two\r\nlines\u2028and\ttabs ", "two lines and tabs"),
        ("bell\x07", "bell\\x07"),
        ("x" * 51, f"{'x' * 24}…{'x' * 24}"),
        ("配" * 26, f"{'配' * 12}…{'配' * 12}"),  # two columns each
        ("e\u0301" * 60, "e\u0301" * 24 + "…" + "e\u0301" * 24),  # no accent is parted from its letter
        ("👩\u200d🚒" * 10, "👩\u200d🚒" * 10),
    ],
)
def test_labels_are_shortened_by_what_a_reader_sees(label, shown):
    assert words.shortened(label) == shown
    assert words.columns(shown) <= words.LONGEST_LABEL


def test_columns():
    assert [words.columns(text) for text in ("", "abc", "配送", "e\u0301", "नि", "a\u200d")] == [0, 3, 4, 1, 2, 1]
    assert words.padded("配\n送", 8) == "配 送   "
