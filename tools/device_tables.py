"""The tables of docs/device.md, from the records of `tools.smaller`, `tools.litert` and `benchmark.py --device-study`."""

import json

from halfbert.benchmark import device_study
from halfbert.data.phrases import counted
from halfbert.output.sheets import markdown_table
from halfbert.system.machine import PROJECT
from tools import litert, smaller
from tools.tables import NAMES

STUDY = PROJECT / "results" / "published" / "device" / "messages.json"


def smaller_table() -> str:
    """A line for each table and way of rounding: megabytes, score, what it is above float32's, and decisions that are equal."""
    heads = ["table, test rows", "way", "MB", "score (95 % interval)", "less the run's, points (95 % interval)"]
    heads += ["decisions equal to the run's", "of another kind of texts"]
    lines = []
    for table, record in smaller.published().items():
        link = f"[{NAMES[table]}](results/published/smaller/{record['name']}.json), {record['rows']['test']:,}"
        for way in record["ways"]:
            score, difference = way["score"], way["difference"]
            points = [f"{100 * difference[end]:+.2f}" for end in ("difference", "low", "high")]
            cells = [f"{way['bytes'] / 1e6:.1f}", f"{score['score']:.4f} ({score['low']:.3f} to {score['high']:.3f})"]
            cells += [f"{points[0]} ({points[1]} to {points[2]})"]
            lines.append([link, way["name"], *cells, f"{way['equal']:.1%}", f"{way['equal_of_another_kind']:.1%}"])
    return markdown_table(heads, lines)


def litert_table() -> str:
    """A line for each table and form: megabytes, and agreement with float32; then texts a second beside onnx-int8."""
    record = json.loads(litert.RECORD.read_text(encoding="utf-8"))
    lines = []
    for each in record["forms"]:
        compared = [f"{each['equal_decisions']:.1%}", f"{each['largest_difference']:.0e}", f"{each['convert_seconds']:.0f}"]
        name = f"{NAMES[each['table']]}, {each['texts']:,}"
        lines.append([name, each["form"], f"{each['bytes'] / 1e6:.1f}", *compared])
    heads = ["table, test texts", "form", "MB", "decisions as `onnx`", "largest difference of a probability", "converted in, s"]
    speeds = []
    for table, speed in record["texts_per_second"].items():
        onnx, lite = speed["onnx-int8"], speed["litert-int8"]
        speeds.append([NAMES[table], f"{onnx:,.0f}", f"{lite:,.0f}", f"{lite / onnx:.2f}"])
    threads = counted(record["environment"]["threads"], "thread")
    return (
        f"{markdown_table(heads, lines)}\n\nTexts a second of whole tables, {threads}, the best of {litert.REPEATS}:\n\n"
        + markdown_table(["table", "onnx-int8", "litert-int8", "ratio"], speeds)
    )


def study_table() -> str:
    """The published study."""
    study = device_study.read(STUDY)
    hardware, load = study.environment.hardware, study.environment.load_average
    return (
        f"{device_study.table(study)}\n\nMedians of {study.repeats} fresh processes each, with {study.seconds:g} s or more of "
        f"single texts at each length, on {hardware['cpu']}; the load average was {load['before']:g} before "
        f"and {load['after']:g} after."
    )
