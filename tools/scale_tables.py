"""The parts of docs/scale.md: what one process and Ray's workers measured, and what follows from it for long tables."""

import json
import math
import statistics
from typing import Any

from halfbert.output.sheets import markdown_table
from halfbert.prediction.parts import PART_ROWS
from tools.tables import PUBLISHED

PRICE, CPUS = 0.80, 16  # an example: of a machine for an hour, and its processors
BILLION, MACHINES = 10**9, (1, 4, 16)
ALONE = "one process, 1 thread"


def scale_table() -> str:
    """What one process and Ray's workers take to answer the same rows."""
    record = _scale()
    hardware, load = record["hardware"], record["load_average"]
    rows = [
        [
            name,
            *(", ".join(f"{each:.1f}" for each in seconds[which]) for which in ("all", "few")),
            f"{_steady(name):,.0f}",
            f"{_steady(name) / _steady(ALONE):.2f}",
        ]
        for name, seconds in record["seconds"].items()
    ]
    columns = ["", f"seconds, {record['rows']:,} rows", f"seconds, {record['few_rows']} rows", "rows/s", f"× {ALONE}"]
    return (
        f"{markdown_table(columns, rows)}\n\n"
        f"Comments of GoEmotions, no two equal, in {record['files']} files; {record['engine']}, DistilBERT form of the mini "
        f"pair; {hardware['cpus']} processors of {hardware['cpu']}, Ray {record['versions']['ray']}, load average "
        f"{load[0]:.1f} before and {load[1]:.1f} after (`python -m tools.scale`; rounds in turn). Few rows show what it takes "
        f"to start the workers, each of which loads the engine, and to end; rows/s are of the median round, without the "
        f"quickest start. The start of a cluster on this machine took {record['cluster_start_seconds']:.0f} s more. A worker "
        f"took {record['worker_bytes'] / 1e6:,.0f} MB of memory at most, with weights of "
        f"{record['weights_bytes'] / 1e6:.0f} MB."
    )


def cost() -> str:
    """What a million texts cost, step by step."""
    rate, hours, price = _rate(), _hours(10**6, 1), PRICE / CPUS
    return (
        f"1,000,000 texts ÷ {rate:,.0f} rows/s of a worker = {10**6 / rate:,.0f} s = {hours:.3f} worker-hours. A "
        f"machine of {CPUS} processors runs {CPUS} workers; if it costs, for example, {PRICE:.2f} an hour, a worker-hour costs "
        f"{PRICE:.2f} ÷ {CPUS} = {price:.3f}. A million texts: {hours:.3f} × {price:.3f} = **{hours * price:.4f}**."
    )


def billion() -> str:
    """Files, parts, workers, time, memory and cost of a billion rows."""
    record, rate = _scale(), _rate()
    size, parts = record["file_bytes"] / record["rows"], math.ceil(10**6 / PART_ROWS)
    rows = [
        [
            f"{machines} × {CPUS}",
            f"{machines * CPUS}",
            f"{rate * machines * CPUS:,.0f}",
            f"{_hours(BILLION, machines * CPUS):,.1f}",
            f"{math.ceil(record['worker_bytes'] * CPUS / 1e9)} GB",
            f"{size * rate * machines * CPUS / 1e6:,.1f} MB/s",
            f"{_hours(BILLION, machines * CPUS) * machines * PRICE:,.2f}",
        ]
        for machines in MACHINES
    ]
    columns = ["machines × processors", "workers", "rows/s", "hours", "memory of a machine", "read from disk", "cost"]
    return (
        f"Texts like those above, {size:,.0f} bytes of parquet each, are {size * BILLION / 1e9:,.0f} GB: 1,000 files of a "
        f"million rows, {parts:,} parts each, {parts * 1000:,} parts in all. A part takes a worker "
        f"{10**6 / parts / rate / 60:.1f} minutes, which is what a killed worker loses, and how long the last part can "
        f"keep the others waiting. From {rate:,.0f} rows/s of a worker and {PRICE:.2f} an hour of a machine:\n\n"
        f"{markdown_table(columns, rows)}"
    )


def _rate() -> float:
    """Rows a second of a worker."""
    return _steady("Ray, 1 worker")


def _steady(name: str) -> float:
    """Rows a second, once the run has started."""
    record = _scale()
    seconds = record["seconds"][name]
    return (record["rows"] - record["few_rows"]) / (statistics.median(seconds["all"]) - min(seconds["few"]))


def _hours(rows: int, workers: int) -> float:
    return rows / _rate() / workers / 3600


def _scale() -> dict[str, Any]:
    return json.loads((PUBLISHED / "predict" / "scale.json").read_text())
