"""The table of docs/explain.md, from the committed measurements of faithfulness."""

from dataclasses import dataclass

import msgspec

from halfbert.output.sheets import markdown_table
from halfbert.system.machine import PROJECT
from tools.faithfulness import Faithfulness

FOLDER = PROJECT / "results" / "published" / "explain"
TABLES = {"banking77": "banking77", "goemotions": "GoEmotions", "imdb": "IMDB"}
GRADIENTS = "-gradients"  # records of the engine keras


@dataclass
class _Record:
    """What the table reads of a record."""

    texts: int
    median_words: float
    methods: list[Faithfulness]


def explain_table() -> str:
    """A line for each table and method."""
    lines, about = [], []
    for name, title in TABLES.items():
        record = _read(name)
        about.append(f"{title} {record.texts} texts of {record.median_words:.0f} words")
        gradients = [one for one in _read(name + GRADIENTS).methods if one.method != "random"]
        for one in (*record.methods, *gradients):
            figures = [_with_interval(one.comprehensiveness, one.comprehensiveness_interval)]
            figures += [_with_interval(one.sufficiency, one.sufficiency_interval), f"{one.milliseconds:,.0f}"]
            lines.append([title, one.method, *figures])
    heads = ["table", "method", "comprehensiveness", "sufficiency", "ms a text"]
    return f"{markdown_table(heads, lines)}\n\nTest texts, drawn at random: {', '.join(about)} (medians, with punctuation)."


def _read(name: str) -> _Record:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=_Record)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
