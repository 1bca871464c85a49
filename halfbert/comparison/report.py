"""Verdict, tables and pages of a comparison, made from its record alone.

`sections` says once what there is to say; `markdown` and `html` only set it in type. The page needs no network and no other
file: its pictures stand in it.
"""

import base64
import html as html_library
from dataclasses import dataclass, field
from pathlib import Path

from halfbert.comparison import plots as comparison_plots
from halfbert.comparison.course import RECORD
from halfbert.comparison.judging import SCORES, SPEED_BATCH
from halfbert.output.sheets import markdown_table, write_csv, write_workbook
from halfbert.system import storage

NAMES = {"tfidf": "TF-IDF", "student": "the distilled student", "distilbert": "DistilBERT", "bert": "BERT"}
PLAIN = "ktrain"  # the engine of those who do nothing about speed
WORST_LABELS = 15

STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1, p { max-width: 46rem; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { border-left: .35rem solid #0072B2; background: #eef5fa; padding: .8rem 1rem; font-size: 1.1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
th { vertical-align: bottom; white-space: normal; min-width: 4.5rem; }
img { display: block; width: 100%; max-width: 34rem; height: auto; }
footer { color: #666; font-size: .85rem; margin-top: 2rem; overflow-wrap: anywhere; }
"""


@dataclass
class Section:
    """A heading, what stands below it in words, and maybe a table (heads first) and a picture's file name."""

    title: str
    words: list[str]
    table: list[list[str]] = field(default_factory=list)
    picture: str | None = None


# ---------------------------------------------------------------------------------------------------------------------------
# The verdict in words


def verdict_line(record: dict) -> str:
    """The verdict, one paragraph in plain words."""
    found = record["verdict"]
    small, large, limit = NAMES[found["small"]], NAMES[found["reference"]], _limit(found["margin"])
    comparison = next(c for c in record["comparisons"] if c["small"] == found["small"])
    figures, gain = _figures(record, comparison), _gain(record, found["small"], found["reference"])
    others = " ".join(_other(record, name, word) for name, word in found["judged"].items() if name != found["small"])
    if found["found"] == "good enough":
        better = " It even scores higher." if comparison["difference"]["low"] > 0 else ""
        line = f"Ship {small}: {figures}, {gain}. The interval lies wholly above {limit}, so it is good enough.{better}"
    elif found["found"] == "too weak":
        line = f"Ship {large}: {small} loses too much: {figures}; the interval lies wholly below {limit}. It would give {gain}."
    else:
        rows = found["rows_to_tell"]
        more = (
            f"About {float(f'{rows:.2g}'):,.0f} test rows would tell, if the difference stays"
            if rows
            else "No number of rows that is to be had would tell"
        )
        line = (
            f"These test rows cannot tell whether {small} is good enough: {figures}; the interval holds {limit}. {more}. "
            f"Until then {large} is the safe one to ship. {_sentence(small)} would give {gain}."
        )
    return f"{line} {others}".strip()


def rule(record: dict) -> str:
    """How the verdict is come to."""
    found = record["verdict"]
    order = [NAMES[contestant["name"]] for contestant in record["contestants"]]
    return (
        f"Rule: the contestants are taken from the smallest to the largest ({', '.join(order)}). Shipped is the first whose "
        f"difference to {order[-1]} in {_score_name(record)} has a 95 % interval wholly above {_limit(found['margin'])} (the "
        f"margin, --margin). One whose interval lies wholly below is too weak; one whose interval holds that value is open. If "
        f"none is surely good enough, {order[-1]} is shipped. The interval says what other test rows could change, for the "
        f"seeds that were run; both answer the same rows, so that what is hard for both cancels out."
    )


def _figures(record: dict, comparison: dict) -> str:
    found = comparison["difference"]
    seeds = "1 seed" if found["seeds"] == 1 else f"{found['seeds']} seeds"
    return (
        f"{_score_name(record)} {found['first']:.3f} against {NAMES[comparison['large']]}'s {found['second']:.3f} (difference "
        f"{span(found)}, paired bootstrap on {found['rows']:,} test rows, {seeds})"
    )


def span(found: dict) -> str:
    """A difference and its interval, in words."""
    return f"{signed(found['difference'])}, 95 % interval {signed(found['low'])} to {signed(found['high'])}"


def _other(record: dict, name: str, word: str) -> str:
    found = next(c for c in record["comparisons"] if c["small"] == name)["difference"]
    says = {
        "good enough": "is surely good enough as well",
        "too weak": "is too weak",
        "open": "may or may not do",
    }
    return f"{_sentence(NAMES[name])} {says[word]} (difference {span(found)})."


def _gain(record: dict, small: str, large: str) -> str:
    """What the small one saves, as far as it was measured."""
    one, other = (_contestant(record, name) for name in (small, large))
    disk = f"{_factor(one['folder_bytes'] / other['folder_bytes'])} the disk"
    rates = [best_speed(contestant) for contestant in (one, other)]
    if None in rates:
        return disk
    return f"{_factor(rates[0]['texts_per_second'] / rates[1]['texts_per_second'])} the rows a second, {disk}"


def best_speed(contestant: dict) -> dict | None:
    """The speeds of a contestant's fastest engine; None where none was measured."""
    return next((speed for speed in contestant["speeds"] if speed["engine"] == contestant["best_engine"]), None)


def _contestant(record: dict, name: str) -> dict:
    return next(contestant for contestant in record["contestants"] if contestant["name"] == name)


def _score_name(record: dict) -> str:
    return next(iter(SCORES[record["task"]].values()))


def _limit(margin: float) -> str:
    return signed(-margin) if margin else "0"


def _factor(ratio: float) -> str:
    return f"{ratio:.2f}×" if ratio < 1 else f"{ratio:.1f}×" if ratio < 10 else f"{ratio:,.0f}×"


def _sentence(name: str) -> str:
    return name[0].upper() + name[1:]


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.{decimals}f}".replace("-", "−")


# ---------------------------------------------------------------------------------------------------------------------------
# What there is to say


def sections(record: dict) -> list[Section]:
    """All of the report below the verdict; pictures are those that `comparison_plots.draw` makes."""
    found = [_quality(record), _differences(record), *_teaching(record)]
    found += [_speed(record), _labels(record), _lengths(record)]
    return [*found, *_curve(record), *_suspects(record), _method(record)]


def _quality(record: dict) -> Section:
    names = SCORES[record["task"]]
    heads = ["contestant", *(f"{name} (95 % interval)" for name in names.values()), "seeds", "rows", "fit, s", "weights from"]
    rows = [
        [
            NAMES[contestant["name"]],
            *(f"{score['score']:.3f} ({score['low']:.3f}–{score['high']:.3f})" for score in contestant["scores"].values()),
            str(len(contestant["fit_seconds"])),
            f"{contestant['rows']:,}",
            f"{sum(contestant['fit_seconds']) / len(contestant['fit_seconds']):,.0f}",
            contestant["checkpoint"] or "–",
        ]
        for contestant in record["contestants"]
    ]
    words = "Scores are means of the seeds; a seed of logistic regression would change nothing, so it has one."
    return Section("Quality", [words], [heads, *rows], comparison_plots.QUALITY)


def _differences(record: dict) -> Section:
    names = SCORES[record["task"]]
    heads = ["contestant", f"{_score_name(record)}, difference (95 % interval)"]
    heads += [f"{name}, kept (points)" for name in names.values()]
    heads += ["only it is right", "only the largest is", "McNemar p", "same answers"]
    rows = []
    for comparison in record["comparisons"]:
        difference, test = comparison["difference"], comparison["mcnemar"]
        rows.append(
            [
                NAMES[comparison["small"]],
                f"{signed(difference['difference'])} ({signed(difference['low'])} to {signed(difference['high'])})",
                *(_kept(comparison["retained"][key]) for key in names),
                f"{test['only_first']:,}",
                f"{test['only_second']:,}",
                "<0.001" if test["p_value"] < 0.001 else f"{test['p_value']:.3f}",
                f"{comparison['agreement']:.1%}",
            ]
        )
    words = (
        "McNemar's exact test, and the rows that are right or answered the same, are of the first seed; a row is right where "
        "every label of it is."
    )
    return Section(f"Against {NAMES[record['verdict']['reference']]}", [words], [heads, *rows])


def _teaching(record: dict) -> list[Section]:
    found = record["teaching"]
    if found is None:
        return []
    gains = [
        f"{signed(difference['difference'])} in {SCORES[record['task']][key]} (95 % interval {signed(difference['low'])} to "
        f"{signed(difference['high'])})"
        for key, difference in found["differences"].items()
    ]
    sure = found["difference"]["low"] > 0
    words = (
        f"The student against DistilBERT, which had the same beginning, rows, epochs and seeds, and no teacher: "
        f"{', '.join(gains)}. {'The teaching was worth it.' if sure else 'That the teaching is worth it is not sure here.'}"
    )
    return [Section("What the teacher was worth", [words])]


def _kept(retained: dict) -> str:
    share = "–" if retained["ratio"] is None else f"{retained['ratio']:.1%}"
    return f"{share} ({signed(retained['points'], 1)})"


def _speed(record: dict) -> Section:
    heads = ["contestant", "engine", f"texts a second, batches of {SPEED_BATCH}", "one text, ms", "first answer, s"]
    heads += ["memory above imports, MB", "weights, MB", "folder, MB", "parameters, M"]
    price = record["options"]["price_per_hour"]
    heads += [f"cost of a million texts at {price:g} an hour"] if price else []
    rows = []
    for contestant in record["contestants"]:
        best = best_speed(contestant)
        shown = [speed for speed in contestant["speeds"] if speed is best or speed["engine"] == PLAIN]
        for speed in sorted(shown, key=lambda speed: -speed["texts_per_second"]):
            peak = speed["peak_above_import"]
            rows.append(
                [
                    NAMES[contestant["name"]],
                    speed["engine"],
                    short(speed["texts_per_second"]),
                    short(1000 * speed["single_seconds"]),
                    short(speed["first_answer_seconds"]),
                    "–" if peak is None else short(peak / 1e6),
                    short(speed["weight_bytes"] / 1e6),
                    short(contestant["folder_bytes"] / 1e6),
                    short(contestant["parameters"] / 1e6),
                    *([short(price / 3600 * 1e6 / speed["texts_per_second"])] if price else []),
                ]
            )
    words = [
        "Each contestant by its fastest engine and by plain ktrain, on the test file's texts, tokenising included: the "
        "benchmark's quick look, too short to quote figures from (benchmark.py takes the time). The verdict's ratio is of the "
        "fastest engines."
    ]
    if not rows:
        return Section("Speed, memory, size", ["Speed was not measured."])
    return Section("Speed, memory, size", words, [heads, *rows], comparison_plots.SPEED)


def _labels(record: dict) -> Section:
    small, large = record["verdict"]["small"], record["verdict"]["reference"]
    rows = sorted(record["per_label"], key=lambda row: row["f1"][small] - row["f1"][large])
    lost = sum(row["f1"][small] < row["f1"][large] for row in rows)
    heads = ["label", "test rows", *(f"{NAMES[name]}, F1" for name in (small, large)), "difference"]
    table = [
        [
            row["label"],
            f"{row['rows']:,}",
            *(f"{row['f1'][name]:.3f}" for name in (small, large)),
            signed(row["f1"][small] - row["f1"][large]),
        ]
        for row in rows[:WORST_LABELS]
    ]
    left_out = f"; the {WORST_LABELS} of largest loss stand here, all in the workbook" if len(rows) > WORST_LABELS else ""
    words = f"{_sentence(NAMES[small])} scores lower than {NAMES[large]} on {lost} of {len(rows)} labels{left_out}."
    return Section(f"Where {NAMES[small]} loses: labels", [words], [heads, *table], comparison_plots.LABELS)


def _lengths(record: dict) -> Section:
    small, large = record["verdict"]["small"], record["verdict"]["reference"]
    names = [contestant["name"] for contestant in record["contestants"]]
    heads = ["words a text", "test rows", *(f"{NAMES[name]}, right" for name in names), "points"]
    table = [
        [
            "–".join(str(words) for words in dict.fromkeys(row["words"])),
            f"{row['rows']:,}",
            *(f"{row['right'][name]:.1%}" for name in names),
            signed(100 * (row["right"][small] - row["right"][large]), 1),
        ]
        for row in record["lengths"]
    ]
    words = [
        f"Points are those of {NAMES[small]} less those of {NAMES[large]}. disagreements.csv lists every test row that the two "
        f"answer differently ({record['disagreements']:,}), with its text."
    ]
    return Section(f"Where {NAMES[small]} loses: text lengths", words, [heads, *table], comparison_plots.LENGTHS)


def _curve(record: dict) -> list[Section]:
    if not record["learning_curve"]:
        return []
    sizes = sorted({point["rows"] for point in record["learning_curve"]})
    score = {(point["name"], point["rows"]): point["score"] for point in record["learning_curve"]}
    names = [contestant["name"] for contestant in record["contestants"]]
    small, large, half, whole = record["verdict"]["small"], record["verdict"]["reference"], *sizes[-2:]
    by_rows, by_size = score[small, whole] - score[small, half], score[large, whole] - score[small, whole]
    more = "the rows" if by_rows > by_size else "the larger model"
    words = (
        f"From {half:,} to {whole:,} rows {NAMES[small]} gained {signed(by_rows)}; {NAMES[large]} on {whole:,} rows is "
        f"{signed(by_size)} from it. So far {more} made more of a difference. First seed alone: three points are a hint."
    )
    table = [[NAMES[name], *(f"{score[name, size]:.3f}" for size in sizes)] for name in names]
    heads = [f"{_score_name(record)} after training on", *(f"{size:,} rows" for size in sizes)]
    return [Section("Would more rows help more?", [words], [heads, *table], comparison_plots.CURVE)]


def _suspects(record: dict) -> list[Section]:
    found = record["label_errors"]
    if found is None:
        return []
    share = found["suspected_test"] / found["test_rows"]
    words = (
        f"{found['suspected']:,} of {found['rows']:,} rows ({found['suspected'] / found['rows']:.1%}) likely bear a wrong "
        f"label, {found['suspected_test']:,} of them test rows: were they all wrong, no model could be right on more than "
        f"{1 - share:.1%} of the test rows. Judged out of fold by TF-IDF and logistic regression with cleanlab, which errs as "
        f"well; label_errors.csv lists them, worst first."
    )
    return [Section("Likely label errors", [words])]


def _method(record: dict) -> Section:
    data, machine = record["data"], record["environment"]
    files = ", ".join(f"{file['name']} (SHA-256 {file['sha256'][:12]}…)" for file in data["files"])
    hardware, rows = machine["hardware"], data["rows"]
    vectors = ", ".join(hardware["vector_extensions"]) or "no wide vectors told"
    words = [
        *record["notes"],
        f"Data: {files}; {rows['train']:,} rows trained, {rows['val']:,} chose the epoch, {rows['test']:,} tested; one split "
        f"(seed {data['split_seed']}) for all. Each fit ran in a process of its own.",
        f"Machine: {hardware['cpu']} ({vectors}), {machine['threads']} threads. "
        f"{', '.join(f'{name} {version}' for name, version in machine['versions'].items())}.",
        f"All figures: {RECORD} and comparison.xlsx.",
    ]
    return Section("How it was done", words)


def short(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


# ---------------------------------------------------------------------------------------------------------------------------
# Setting it in type


def heading(record: dict) -> str:
    """The title of the report."""
    return f"Which one to ship: {record['data']['files'][0]['name']}"


def markdown(record: dict) -> str:
    """verdict.md: the verdict first, then everything else."""
    lines = [f"# {heading(record)}", "", f"**{verdict_line(record)}**", "", rule(record)]
    for section in sections(record):
        lines += ["", f"## {section.title}"]
        lines += [line for words in section.words for line in ("", words)]
        if section.table:
            lines += ["", markdown_table(section.table[0], section.table[1:], right=True)]
        if section.picture:
            lines += ["", f"![{section.title}]({section.picture})"]
    return "\n".join(lines) + "\n"


def html(record: dict, folder: Path) -> str:
    """report.html: the same on one page, with the pictures of `folder` in it; nothing is fetched, nothing runs."""
    escape = html_library.escape
    body = [f"<h1>{escape(heading(record))}</h1>", f'<p class="verdict">{escape(verdict_line(record))}</p>']
    body.append(f"<p>{escape(rule(record))}</p>")
    for section in sections(record):
        body.append(f"<h2>{escape(section.title)}</h2>")
        body += [f"<p>{escape(words)}</p>" for words in section.words]
        if section.table:
            heads, *rows = [[escape(cell) for cell in row] for row in section.table]
            lines = ["".join(f"<th>{cell}</th>" for cell in heads), *("".join(f"<td>{c}</td>" for c in row) for row in rows)]
            body.append('<div class="scroll"><table>' + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>")
        if section.picture:
            data = base64.b64encode((folder / section.picture).read_bytes()).decode()
            body.append(f'<p><img alt="{escape(section.title)}" src="data:image/png;base64,{data}"></p>')
    machine = record["environment"]
    body.append(f"<footer>halfbert, commit {escape(str(machine['commit']))}</footer>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(heading(record))}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


# ---------------------------------------------------------------------------------------------------------------------------
# Files


def write(record: dict, folder: Path) -> None:
    """Write everything into a results folder that is being made; `private` rows go into csv files and nowhere else."""
    private = record["private"]
    record = {key: value for key, value in record.items() if key != "private"}
    record["disagreements"] = len(private["disagreements"])
    comparison_plots.draw(record, folder)
    storage.write_text(markdown(record), folder / "verdict.md")
    storage.write_text(html(record, folder), folder / "report.html")
    for name, rows in private.items():
        if rows:
            write_csv(folder / f"{name}.csv", list(rows[0]), rows)
    write_workbook(folder / "comparison.xlsx", _sheets(record))
    storage.write_json(record, folder / RECORD)


def _sheets(record: dict) -> dict[str, list[dict]]:
    verdict = {"verdict": verdict_line(record), "rule": rule(record)}
    speeds = [{"contestant": c["name"], **speed} for c in record["contestants"] for speed in c["speeds"]]
    contestants = [{key: value for key, value in c.items() if key not in ("speeds", "parts")} for c in record["contestants"]]
    return {
        "verdict": [{"what": what, "words": words} for what, words in verdict.items()],
        "contestants": contestants,
        "against the largest": record["comparisons"],
        "speed": speeds,
        "labels": record["per_label"],
        "lengths": record["lengths"],
        "learning curve": record["learning_curve"],
    }


def closing(record: dict, output: Path) -> str:
    """The last lines of a comparison."""
    return f"\n{verdict_line(record)}\n\nreport: {output / 'report.html'}   tables and record beside it"
