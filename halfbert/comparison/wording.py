"""Numbers as people write them, and the texts of a report, which are templates."""

from typing import Any

from halfbert.comparison.record import Change, Record, ratio
from halfbert.output.sheets import markdown_table
from halfbert.output.words import significant
from halfbert.scoring.intervals import Difference

NAMES = {"tfidf": "TF-IDF", "student": "the distilled student", "distilbert": "DistilBERT", "bert": "BERT"}


def share(part: float | None, whole: float | None) -> str:
    """`part` in per cent of `whole`; "–" where there is no whole."""
    value = ratio(part, whole)
    return "–" if value is None else f"{value:.1%}"


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def interval(change: Change | Difference) -> str:
    """The ends of a difference's interval."""
    return f"{signed(change.low)} to {signed(change.high)}"


def span(change: Change | Difference) -> str:
    """A difference and its interval."""
    return f"{signed(change.difference)}, 95 % interval {interval(change)}"


def verdict_line(record: Record) -> str:
    """The verdict in one paragraph."""
    return one_line(_environment(False).get_template("verdict.jinja").module.verdict(record))


def rule(record: Record) -> str:
    """How the verdict was reached."""
    return one_line(_environment(False).get_template("verdict.jinja").module.rule(record))


def render(template: str, record: Record, **values: Any) -> str:
    """A page of the report; in a template whose name ends with .html all values are escaped."""
    given = {**values, "record": record, "verdict": verdict_line(record), "rule": rule(record)}
    return _environment(template.endswith(".html")).get_template(template).render(given)


def one_line(text: str) -> str:
    """The text with single spaces for line breaks and indents; what was escaped stays so."""
    return type(text)(" ").join(text.split())


def _environment(escape: bool) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halfbert.comparison"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {"interval": interval, "span": span, "markdown_table": markdown_table}
    environment.filters |= {
        "name": NAMES.__getitem__,
        "sentence": lambda words: words[0].upper() + words[1:],
        "signed": signed,
        "significant": significant,
        "million": lambda number: None if number is None else number / 1e6,
        "share": share,
        "times": lambda part, whole: f"{significant(ratio(part, whole), 2)}×",
        "count": "{:,}".format,
        "rough": lambda number: f"{float(f'{number:.2g}'):,.0f}",
        "one_line": one_line,
    }
    return environment
