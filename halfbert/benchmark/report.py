"""Tables of a benchmark, made from its record alone: Markdown for people, a workbook for spreadsheets.

Wherever two times are set against each other, the seconds, their ratio and the share of time saved stand side by side, each
under its name: "faster by x %" would leave open which of them is meant.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from halfbert.benchmark import statistics as timing
from halfbert.benchmark.figures import WHO, cell_figures, chief_batch, contestant_key, measured, predictor_of, score_of
from halfbert.output import sheets
from halfbert.system import storage
from halfbert.system.errors import InputError

SANH = "Sanh et al. 2019, arXiv:1910.01108"
PUBLISHED = [
    {"what": "parameters", "bert": 110e6, "distilbert": 66e6, "unit": "parameters", "source": f"{SANH}, table 3"},
    {
        "what": "one pass over STS-B's development texts, one at a time, on a CPU",
        "bert": 668.0,
        "distilbert": 410.0,
        "unit": "s",
        "source": f"{SANH}, table 3",
    },
    {
        "what": "one pass over the test texts of the news aggregator",
        "bert": 124.7,
        "distilbert": 63.6,
        "unit": "s",
        "source": "Bueno 2022, results",
    },
    {"what": "score (GLUE)", "bert": 79.5, "distilbert": 77.0, "unit": "points", "source": f"{SANH}, table 1"},
]
MARKDOWN = "report.md"
SAMPLES = re.compile(r"\[\s+([-+.\deE,\s]+?)\s+\]")  # a list of numbers, one a line


# ---------------------------------------------------------------------------------------------------------------------------
# Markdown


def markdown(record: dict, pictures: Sequence[str] = ()) -> str:
    """The whole report: what was measured and how, every table, the published figures, and how to read them."""
    parts = [
        _heading(record),
        _not_run(record),
        _sizes(record),
        _single(record),
        _offline(record),
        _cold(record),
        _paper(record),
        _pairs(record),
        _published(record),
        [f"![{name}]({name})" for name in pictures],
        _reading(record),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _heading(record: dict) -> list[str]:
    texts, machine, protocol = record["texts"], record["environment"], record["protocol"]
    hardware = machine["hardware"]
    load = machine["load_average"]
    lines = [
        f"# Benchmark: {', '.join(predictor['name'] for predictor in record['predictors'])}",
        "",
    ]
    if record["quick"]:
        lines += ["**A quick look: too few repeats and too short blocks to quote figures from.**", ""]
    if record["stopped"]:
        lines += [f"**Stopped by {record['stopped']} before all was measured.**", ""]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lengths = "; ".join(
        f"{name}: {spread['min']:g} to {spread['max']:g}, median {spread['median']:g}"
        for name, spread in texts["tokens"].items()
    )
    return [
        *lines,
        f"- Texts: {texts['used']:,} of the {texts['rows']:,} of {texts['name']}; tokens a text ({lengths}).",
        f"- Machine: {hardware['cpu']} ({', '.join(hardware['vector_extensions']) or 'no wide vectors told'}), "
        f"{hardware['cpus']} processors, governor {machine['governor'] or 'not told'}, load average {load['before']} before "
        f"and {load['after']} after.",
        f"- Versions: {versions}.",
        f"- {protocol['repeats']} repeats of {protocol['seconds']:g} s a case, each in a fresh process. Blocks run again, as "
        f"others used more than {protocol['foreign_limit']:.0%} of the processors: {_again(record)}.",
    ]


def _again(record: dict) -> str:
    blocks = [block for _, case in measured(record) for block in case["blocks"]]
    blocks += [block for pair in record["pairs"] for block in pair["blocks"]]
    again = sum(len(block["set_aside"]) for block in blocks)
    disturbed = sum(block["disturbed"] for block in blocks)
    if all(block["foreign_share"] is None for block in blocks):
        return "not known, this system does not tell"
    return f"{again} of {len(blocks)}; still disturbed in the end: {disturbed}"


def _not_run(record: dict) -> list[str]:
    rows = [[c["predictor"], c["engine"], c["setting"], c["not_run"]] for c in record["contestants"] if c["not_run"]]
    return ["## Not measured", "", sheets.markdown_table(["predictor", "engine", "setting", "why"], rows)] if rows else []


def _sizes(record: dict) -> list[str]:
    all_lengths = dict.fromkeys(figure["lengths"] for figure in record["figures"] if figure["scenario"] == "offline")
    rows = []
    for contestant in _ran(record):
        predictor, score = predictor_of(record, contestant["predictor"]), score_of(record, contestant)
        shares = [_ceiling_share(record, contestant, lengths) for lengths in all_lengths]
        rows.append(
            [
                *_who(contestant),
                f"{predictor['parameters'] / 1e6:.1f} M",
                f"{contestant['weight_bytes'] / 1e6:.1f}",
                f"{predictor['folder_bytes'] / 1e6:.1f}",
                "–" if score is None else f"{score[1]:.4f} ({score[0]})",
                _share(contestant["equal_answers"]),
                *shares,
            ]
        )
    heads = ["predictor", "engine", "setting", "parameters", "weights, MB", "folder, MB", "score", "answers equal to keras"]
    heads += [f"share of ceiling, {_lengths(record, lengths)}" for lengths in all_lengths]
    ceilings = ", ".join(f"{rate:.0f} GFLOP/s with {threads} thread(s)" for threads, rate in record["ceilings"].items())
    return ["## Sizes and scores", "", sheets.markdown_table(heads, rows), "", f"Ceiling: {ceilings or 'not measured'}."]


def _ceiling_share(record: dict, contestant: dict, lengths: str) -> str:
    """The best share over the batches, of the model alone."""
    shares = [
        figure["share_of_ceiling"]
        for figure in cell_figures(record, "offline", lengths, "model")
        if contestant_key(figure) == contestant_key(contestant)
    ]
    return _share(max((share for share in shares if share is not None), default=None))


def _single(record: dict) -> list[str]:
    return _by_setting(
        record,
        "single",
        "## One text at a time",
        "Milliseconds: p50 / p90 / p95 / p99 over all samples; – where there are too few samples for it.",
        lambda figures_: [_milliseconds(figures_[0]["seconds_per_call"])] if figures_ else ["–"],
        [""],
    )


def _milliseconds(seconds: dict) -> str:
    known = (seconds[f"p{percent}"] for percent in timing.PERCENTILES)
    return " / ".join("–" if value is None else short(1000 * value) for value in known)


def _offline(record: dict) -> list[str]:
    batches = sorted({figure["batch"] for figure in record["figures"] if figure["scenario"] == "offline"})

    def cells(found: list[dict]) -> list[str]:
        rates = {figure["batch"]: figure["texts_per_second"] for figure in found}
        return [f"{short(rates[b]['median'])} ± {short(rates[b]['mad'])}" if b in rates else "–" for b in batches]

    note = "Texts a second: median over the repeats ± median absolute deviation; least and greatest are in the workbook."
    return _by_setting(record, "offline", "## Many texts", note, cells, [f", batch {batch}" for batch in batches])


def _by_setting(record: dict, scenario: str, heading: str, note: str, cells, column_ends: list[str]) -> list[str]:
    """A table with the settings side by side: `cells(figures of a line and setting)` gives a cell for each column end."""
    found = [figure for figure in record["figures"] if figure["scenario"] == scenario]
    settings = list(dict.fromkeys(figure["setting"] for figure in found))
    keys = list(dict.fromkeys(tuple(f[name] for name in ("predictor", "engine", "lengths", "part")) for f in found))
    rows = []
    for key in keys:
        line = [f for f in found if tuple(f[name] for name in ("predictor", "engine", "lengths", "part")) == key]
        row = [key[0], key[1], _lengths(record, key[2]), key[3]]
        for setting in settings:
            row += cells([figure for figure in line if figure["setting"] == setting])
        rows.append(row)
    heads = ["predictor", "engine", "lengths", "measured"]
    heads += [f"{setting}{end}" for setting in settings for end in column_ends]
    return [heading, "", note, "", sheets.markdown_table(heads, rows)] if rows else []


def _cold(record: dict) -> list[str]:
    rows = []
    for contestant in _ran(record):
        if not contestant["cold"]:
            continue
        row = list(_who(contestant))
        for name in ("first_answer_seconds", "import_seconds", "load_seconds"):
            seconds = timing.describe([start[name] for start in contestant["cold"]])
            row.append(
                f"{short(seconds['median'])} ± {short(seconds['mad'])} ({short(seconds['min'])}–{short(seconds['max'])})"
            )
        row += [_megabytes(contestant["cold"], name) for name in ("resident_after_import", "peak_above_import", "gpu_peak")]
        rows.append(row)
    heads = ["predictor", "engine", "setting", "first answer, s", "of it imports", "of it loading"]
    heads += ["memory after imports, MB", "peak above that, MB", "GPU peak, MB"]
    note = "Median ± median absolute deviation (least–greatest) from the start of a process, files in the system's cache."
    return ["## Cold start and memory", "", note, "", sheets.markdown_table(heads, rows)] if rows else []


def _megabytes(starts: list[dict], name: str) -> str:
    values = [start[name] for start in starts if start[name] is not None]
    return short(float(np.median(values)) / 1e6) if values else "–"


def _paper(record: dict) -> list[str]:
    rows = [
        [
            *_who(figure),
            f"{figure['texts']:,}",
            *(short(figure["seconds_per_pass"][name]) for name in ("median", "mad", "min", "max")),
        ]
        for figure in record["figures"]
        if figure["scenario"] == "paper"
    ]
    heads = ["predictor", "engine", "setting", "texts", "seconds, median", "MAD", "min", "max"]
    return ["## One pass over the texts, one at a time, on the CPU", "", sheets.markdown_table(heads, rows)] if rows else []


def _pairs(record: dict) -> list[str]:
    rows = []
    for pair in record["pairs"]:
        found = pair["comparison"]
        if found is None:
            continue
        low, high = found["interval"]
        rows.append(
            [
                _side(pair["a"]),
                _side(pair["b"]),
                pair["a"]["setting"],
                _case(record, pair["case"]),
                *(short(1000 * found[f"{side}_seconds_per_text"]) for side in "ab"),
                f"{found['ratio']:.2f}",
                f"{low:.2f}–{high:.2f}",
                f"×/÷ {found['itself_spread']:.2f}",
                _share(found["time_saved"]) if found["verdict"] != "inconclusive" else "–",
                found["verdict"],
            ]
        )
    heads = ["A", "B", "setting", "case", "A, ms a text", "B, ms a text", "ratio of seconds A/B", "95 % interval"]
    heads += ["A against itself", "share of A's time saved by B", "verdict"]
    note = (
        "Blocks A B B A in turn, both processes alive, a fresh pair for each repeat; geometric mean of the blocks' ratios and "
        "its bootstrap interval. A ratio within the spread of A against itself is inconclusive."
    )
    return ["## Pairs", "", note, "", sheets.markdown_table(heads, rows)] if rows else []


def _side(contestant: dict) -> str:
    return f"{contestant['predictor']}, {contestant['engine']}"


def _published(record: dict) -> list[str]:
    """Published figures, and beside them those of the first BERT and the first DistilBERT that were measured here."""
    first = {kind: next((p for p in record["predictors"] if p["model"] == kind), None) for kind in ("bert", "distilbert")}
    if None in first.values():
        return []
    rows = [_versus(entry["what"], entry["bert"], entry["distilbert"], entry["unit"], entry["source"]) for entry in PUBLISHED]
    here = f"{first['bert']['name']} and {first['distilbert']['name']}, this run"
    rows.append(_versus("parameters", *(p["parameters"] for p in first.values()), "parameters", here))
    by_engine = {}
    for figure in record["figures"]:
        if figure["scenario"] == "paper":
            by_engine.setdefault((figure["engine"], figure["setting"]), {})[figure["predictor"]] = figure["seconds_per_pass"][
                "median"
            ]
    for (engine, setting), seconds in by_engine.items():
        if all(predictor["name"] in seconds for predictor in first.values()):
            values = [seconds[predictor["name"]] for predictor in first.values()]
            rows.append(_versus(f"one pass over the texts, one at a time: {engine}, {setting}", *values, "s", here))
    scores = [predictor["score"] for predictor in first.values()]
    if None not in scores and scores[0]["name"] == scores[1]["name"]:
        values = [100 * score["value"] for score in scores]
        rows.append(_versus(f"score ({scores[0]['name']} on the runs' test rows)", *values, "points", here))
    heads = ["what", "BERT", "DistilBERT", "ratio BERT/DistilBERT", "share saved", "share kept", "source"]
    return ["## Published, and measured here", "", sheets.markdown_table(heads, rows)]


def _versus(what: str, bert: float, distilbert: float, unit: str, source: str) -> list[str]:
    shown = [f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:.4g} {unit}" for value in (bert, distilbert)]
    return [what, *shown, f"{bert / distilbert:.2f}", _share(1 - distilbert / bert), _share(distilbert / bert), source]


def _reading(record: dict) -> list[str]:
    protocol = record["protocol"]
    return [
        "## How to read this",
        "",
        "- *End to end* is what a user calls: texts in, labels out, tokenising included. *Model* is the network alone, on "
        "the same batches, tokenised and padded before. A call ends when its answer is in main memory; a device has finished "
        "by then.",
        f"- *Natural* lengths are those of the texts; *{protocol['fixed_tokens']} tokens* are texts joined until they are "
        "longer, and cut there.",
        "- Every shape was called once before it was timed; those calls are reported apart (workbook, `warm_up_seconds`).",
        f"- A percentile is told where at least {timing.SAMPLES_BEYOND} samples lie beyond it. All samples stand in the "
        f"record, those of disturbed blocks included; such a block is measured up to {protocol['most_attempts']} times, and "
        "the least disturbed counts.",
        "- *Peak above imports* is the greatest resident memory less that after the runtime's imports.",
        "- *Share of ceiling*: operations of the encoder's matrix products for the texts' own tokens (padding is not counted "
        "as work, and what an engine skips is not taken off), divided by the seconds of the model alone, over the rate of one "
        "2048 × 2048 float32 product with as many threads in the same run, numpy's or ONNX Runtime's, whichever is faster; the "
        "best batch. int8 engines are set against the same float32 ceiling, so they may pass it.",
        "- An engine that takes texts alone, as ktrain's does, shows no model alone, and nothing at fixed lengths beyond its "
        "maxlen.",
    ]


def _ran(record: dict) -> list[dict]:
    return [contestant for contestant in record["contestants"] if not contestant["not_run"]]


def _who(row: dict) -> tuple[str, str, str]:
    return row["predictor"], row["engine"], row["setting"]


def _lengths(record: dict, lengths: str) -> str:
    return f"{record['protocol']['fixed_tokens']} tokens" if lengths == "fixed" else lengths


def _case(record: dict, case: dict) -> str:
    return "one text" if case["batch"] == 1 else f"batch {case['batch']}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def short(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


# ---------------------------------------------------------------------------------------------------------------------------
# Workbook


def write_workbook(record: dict, path: Path) -> None:
    """Write the figures, starts, pairs and predictors as sheets."""
    starts = [
        {**dict(zip(WHO, contestant_key(contestant), strict=True)), **start}
        for contestant in record["contestants"]
        for start in contestant["cold"]
    ]
    pairs = [
        {**{f"{side}_{name}": pair[side][name] for side in "ab" for name in WHO}, **pair["case"], **pair["comparison"]}
        for pair in record["pairs"]
        if pair["comparison"]
    ]
    contestants = [
        {name: value for name, value in contestant.items() if name not in ("cold", "cases")}
        for contestant in record["contestants"]
    ]
    tables = {"figures": record["figures"], "contestants": contestants, "predictors": record["predictors"]}
    sheets.write_workbook(path, {**tables, "cold": starts, "pairs": pairs})


# ---------------------------------------------------------------------------------------------------------------------------
# Files and lines


def record_file(output: Path) -> Path:
    """Where the record of a benchmark stands: beside the folder of its tables and pictures."""
    return output.with_name(f"{output.name}.json")


def check_output(output: Path, overwrite: bool) -> None:
    """Raise InputError where record or folder are there already, or cannot be written."""
    storage.check_output(output, "--output", overwrite, marker=MARKDOWN)
    if record_file(output).exists() and not overwrite:
        raise InputError(f"--output {output}: {record_file(output)} is already there; --overwrite replaces it")


def write_record(record: dict, file: Path) -> None:
    """Write the record as JSON; the samples of a block stand on one line."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    storage.write_text(SAMPLES.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n", file)


def agreement_line(engine: str, found: dict) -> str:
    """How alike an engine answers, in a line for the console."""
    return (
        f"{engine}: {found['equal_decisions']:.2%} of {found['rows']:,} decisions equal to keras, largest difference "
        f"of a probability {found['largest_difference']:.1e}"
    )


def closing(record: dict, output: Path) -> str:
    """The last lines of a benchmark: the chief figures of each contestant, and where everything is."""
    offline = cell_figures(record, "offline")
    batch = chief_batch({figure["batch"] for figure in offline})
    one = {contestant_key(figure): figure for figure in cell_figures(record, "single")}
    many = {contestant_key(figure): figure for figure in offline if figure["batch"] == batch}
    lines = ["", f"{'':52}{'one text, p50':>15}{f'batch {batch}' if batch else 'many texts':>16}"]
    for contestant in _ran(record):
        key = contestant_key(contestant)
        p50 = one[key]["seconds_per_call"]["p50"] if key in one else None
        latency = "–" if p50 is None else f"{short(1000 * p50)} ms"
        rate = f"{short(many[key]['texts_per_second']['median'])} texts/s" if key in many else "–"
        lines.append(f"{', '.join(map(str, _who(contestant))):52}{latency:>15}{rate:>16}")
    if record["quick"]:
        lines.append("a quick look: too little to quote figures from")
    return "\n".join([*lines, f"record: {record_file(output)}   tables and plots: {output}"])
