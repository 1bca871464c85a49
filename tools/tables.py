"""The tables of README.md and docs/, made from the records in results/published/; links are relative to the checkout."""

import json
import operator
import re
import statistics
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

from halfbert.benchmark import record as benchmark_record
from halfbert.benchmark.figures import CHIEF_BATCH, cell_figures, score_of
from halfbert.benchmark.record import Contestant
from halfbert.comparison import record as comparison_record
from halfbert.comparison.wording import span, verdict_line
from halfbert.data.phrases import counted
from halfbert.output import record as training_record
from halfbert.output.sheets import markdown_table
from halfbert.output.words import model_name
from halfbert.system.machine import PROJECT
from halfbert.tuning import record as tuning_record
from halfbert.tuning.space import described

GUARANTEES = "guarantees.json"
PUBLISHED = PROJECT / "results" / "published"
# The full-size pair elsewhere: data, source, scores of DistilBERT and BERT and what they are, how many times as fast.
PAPER, THESIS = "[Sanh et al. 2019](https://arxiv.org/abs/1910.01108)", "Bueno 2022"
PUBLISHED_PAIRS = (
    ("GLUE, nine tasks", PAPER, 0.770, 0.795, "mean score", 668 / 410),
    ("IMDB, 25,000 rows", PAPER, 0.9282, 0.9346, "accuracy", None),
    ("news headlines, 422,000 rows", THESIS, 0.9636, 0.9642, "accuracy", 124.7 / 63.6),
    ("toxic comments, all rows", THESIS, 0.9395, 0.9395, "hamming score", 62.4 / 31.6),
)
CHIEF_SCORE = {"multiclass": "accuracy", "multilabel": "micro_f1"}  # beside macro F1
NAMES = {
    "messages": "messages (embedded)",
    "news": "news headlines",
    "banking77": "banking77",
    "imdb": "IMDB",
    "toxic": "toxic comments",
    "goemotions": "GoEmotions",
    "bbcnews": "BBC news",
    "newsgroups20": "20 newsgroups",
    "debian_sections": "Debian sections",
    "icd10_chapters": "ICD-10 chapters",
}


T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that every published record has, though a record may lack it."""
    if value is None:
        raise ValueError("a published record lacks what its table shows")
    return value


def or_dash(value: T | None, show: Callable[[T], str]) -> str:
    """A value as it is shown, or a dash where there is none."""
    return "–" if value is None else show(value)


def published(task: str) -> list[tuple[str, training_record.Record]]:
    """The committed records of a task's runs, by table and rows, each after a link to its report that names the table."""
    found = [(path.parent.name, training_record.read(path.parent)) for path in (PUBLISHED / task).glob("*/record.json")]
    found.sort(key=lambda run: (list(NAMES).index(run[0].split("-")[0]), run[1].data.rows.train, run[0]))
    return [(f"[{NAMES[name.split('-')[0]]}](results/published/{task}/{name}/report.txt)", record) for name, record in found]


def quality_table() -> str:
    """A line for each committed multiclass record: its scores on the test rows, and what they took."""
    return _scores("multiclass", {"accuracy": "accuracy", "macro F1": "macro_f1"})


def multilabel_table() -> str:
    """A line for each committed multi-label record: its scores on the test rows, and what they took."""
    scores = {
        "mean ROC AUC": "mean_roc_auc",
        "macro F1 at 0.5": "at_half/macro_f1",
        "at thresholds": "at_thresholds/macro_f1",
        "hamming score at 0.5": "at_half/hamming_score",
        "at the thresholds": "at_thresholds/hamming_score",
        "no label ever": "no_label/hamming_score",
    }
    return _scores("multilabel", scores)


def _scores(task: str, scores: dict[str, str]) -> str:
    """Runs that differ only in the seed share a line: the mean of a score, and its lowest and highest."""
    columns = ["table", "rows: train / val / test", "model", *scores, "epoch kept", "epochs", "fit, minutes", "seeds"]
    groups: dict[str, list[training_record.Record]] = {}
    for link, record in published(task):
        groups.setdefault(re.sub(r"-seed\d+", "-seed0", link), []).append(record)
    lines = []
    for link, runs in groups.items():
        record = runs[0]
        rows, precision = record.data.rows, record.options["precision"]
        taught = ["taught"] if known(record.checkpoint).name.endswith("taught") else []
        minutes = statistics.mean(known(run.timing.fit_seconds) for run in runs) / 60
        cells = [link, f"{rows.train:,} / {rows.val:,} / {rows.test:,}"]
        cells += [
            ", ".join([model_name(record.model), *taught, *([] if precision == "float32" else [precision])]),
            *(_spread([_score(run, path) for run in runs]) for path in scores.values()),
            ", ".join(str(run.best_epoch) for run in runs),
        ]
        lines.append([*cells, len(record.epochs), f"{minutes:.1f}", len(runs)])
    return _with_hardware(columns, lines, [vars(record.environment) for _, record in published(task)])


def _score(run: training_record.Record, path: str) -> Any:
    return reduce(operator.getitem, path.split("/"), known(run.test))


def _spread(scores: list[float]) -> str:
    mean = f"{statistics.mean(scores):.4f}"
    return mean if len(scores) == 1 else f"{mean} ({min(scores):.3f}–{max(scores):.3f})"


def long_table() -> str:
    """The runs on the same long texts: what is read of them, the score on the test rows, and what it takes."""
    columns = ["reads", "`--maxlen`", "accuracy (95 % interval)", "fit, minutes", "test texts/s", "pooling"]
    runs = sorted((record for _, record in published("long")), key=lambda run: (run.options["maxlen"], _way(run)))
    lines = []
    for run in runs:
        interval, rows, seconds = known(run.intervals)["accuracy"], run.data.rows.test, known(run.timing.evaluate_seconds)
        lines.append(
            [
                f"[{_way(run)}](results/published/long/imdb-{_way(run)}-{run.options['maxlen']}/report.txt)",
                run.options["maxlen"],
                f"{interval.score:.4f} ({interval.low:.3f}–{interval.high:.3f})",
                f"{known(run.timing.fit_seconds) / 60:.1f}",
                f"{rows / seconds:.0f}",
                or_dash(run.windows, lambda windows: windows.pooling.name),
            ]
        )
    return _with_hardware(columns, lines, [vars(run.environment) for run in runs])


def _way(run: training_record.Record) -> str:
    return str(run.options.get("long", "cut"))


def speed_table() -> str:
    """The races: steady rate and job of each contestant, and their ratios to the Hugging Face Trainer in the same run."""
    columns = ["race", "contestant", "steady, rows/s", "× Trainer", "× ktrain", "job", "seconds", "Trainer's / its"]
    races, lines = _races(), []
    for name, race in races.items():
        same = {result["contestant"]: result for result in race["results"]}
        for result in race["results"]:
            steady = result["steady_rows_per_second"]
            ratios = [f"{steady / same[n]['steady_rows_per_second']:.2f}" if n in same else "–" for n in ("trainer", "ktrain")]
            job = result["job_seconds"]
            seconds, ahead = ("–", "–") if job is None else (f"{job:.1f}", f"{same['trainer']['job_seconds'] / job:.2f}")
            who = [f"{name}, maxlen {race['maxlen']}", result["name"]]
            lines.append([*who, f"{steady:.1f}", *ratios, f"{race['rows']:,} rows", seconds, ahead])
    return _with_hardware(columns, lines, [race["environment"] for race in races.values()])


def ceiling_table() -> str:
    """How near our contestants' steady rate comes to one large matrix product, and where the time of a step goes."""
    measured = [
        (name, result) for name, race in _races().items() for result in race["results"] if "share_by_operation" in result
    ]
    kinds = list(measured[0][1]["share_by_operation"])
    lines = []
    for name, result in measured:
        rate, most = result["products_gflop_per_second"], result["ceiling_gflop_per_second"]
        shares = [f"{result['share_by_operation'][kind]:.0%}" for kind in kinds]
        lines.append([name, result["name"], f"{rate:.0f}", f"{most:.0f}", f"{rate / most:.0%}", *shares])
    columns = ["race", "contestant", "its products, GFLOP/s", "one large product, GFLOP/s", "share", *kinds]
    return markdown_table(columns, lines)


def predicting_table() -> str:
    """The races' predicting part: texts a second and one text's median of each contestant, against those of the peers."""
    columns = ["texts", "contestant", "texts/s", "× ktrain", "× pipeline", "one text, p50 ms", "ktrain's / its"]
    columns += ["pipeline's / its", "share of ceiling", "decides as Keras"]
    lines = []
    parts = {name: (race["maxlen"], race["predicting"]) for name, race in _races().items()}
    for name, (maxlen, part) in parts.items():
        peers = [next(r for r in part["results"] if r["contestant"] == peer) for peer in ("ktrain", "trainer")]
        for result in part["results"]:
            rate, p50 = result["predict_rows_per_second"], result["single_p50_ms"]
            rates = [f"{rate / peer['predict_rows_per_second']:.2f}" for peer in peers]
            singles = [f"{peer['single_p50_ms'] / p50:.2f}" for peer in peers]
            share, equal = (
                "–" if result[key] is None else f"{result[key]:.{digits}%}"
                for key, digits in (("share_of_ceiling", 0), ("equal_decisions", 1))
            )
            who = [f"{part['texts']:,} {name}, maxlen {maxlen}", result["name"]]
            lines.append([*who, f"{rate:.0f}", *rates, f"{p50:.2f}", *singles, share, equal])
    return _with_hardware(columns, lines, [part["environment"] for _, part in parts.values()])


def benchmark_table() -> str:
    """The published benchmarks: each predictor behind each engine, and the ratios to the first predictor by the same engine."""
    benchmarks = [benchmark_record.read(file) for file in sorted((PUBLISHED / "benchmark").glob("*.json"), reverse=True)]
    columns = ["predictor", "engine", "one text, p50 ms", f"texts/s, batches of {CHIEF_BATCH}", "first answer, s"]
    columns += ["memory above imports, MB", "weights, MB", "score", "BERT's seconds / its, one text", "in batches"]
    lines = [_contestant_cells(record, contestant) for record in benchmarks for contestant in record.contestants]
    return _with_hardware(columns, lines, [vars(record.environment) for record in benchmarks])


def _contestant_cells(record: benchmark_record.Record, contestant: Contestant) -> list[str]:
    single, offline = (
        next(f for f in cell_figures(record, scenario) if f.batch == batch and f.who == contestant.who)
        for scenario, batch in (("single", 1), ("offline", CHIEF_BATCH))
    )

    def ratio(batch: int) -> str:
        for pair in record.pairs:
            found = pair.comparison
            if found and pair.a.engine == pair.b.engine and pair.b == contestant.who and pair.case.batch == batch:
                low, high = found.interval
                sure = "" if found.verdict != "inconclusive" else ", inconclusive"
                return f"{found.ratio:.2f} ({low:.2f}–{high:.2f}{sure})"
        return "–"

    memory = statistics.median(known(start.peak_above_import) for start in contestant.cold)
    return [
        contestant.predictor,
        contestant.engine,
        f"{1000 * known(single.seconds_per_call.p50):.2f}",
        f"{offline.texts_per_second.median:,.0f}",
        f"{statistics.median(start.first_answer_seconds for start in contestant.cold):.2f}",
        f"{memory / 1e6:.0f}",
        f"{known(contestant.weight_bytes) / 1e6:.0f}",
        or_dash(score_of(record, contestant), lambda score: f"{score[1]:.4f}"),
        ratio(1),
        ratio(CHIEF_BATCH),
    ]


def compare_table() -> str:
    """The published comparisons: each contestant on each table, and what is left of BERT's score and seconds."""
    records = {name: comparison_record.read(folder) for name in NAMES if (folder := PUBLISHED / "compare" / name).is_dir()}
    columns = ["table: rows trained / tested", "contestant", "macro F1 (95 % interval)"]
    columns += ["accuracy; with many labels micro F1", "of BERT's macro F1", "gain by the teacher (95 % interval)"]
    columns += [f"texts/s, batches of {CHIEF_BATCH}", "× BERT", "weights, MB", "fit, minutes", "epochs", "seeds"]
    lines = [_compared_cells(name, record, contestant) for name, record in records.items() for contestant in record.contestants]
    for data, source, small, large, score, faster in PUBLISHED_PAIRS:
        cells = [f"{data} ({source})", "DistilBERT, full size", "–", f"{small} of {large} ({score})", f"{small / large:.1%}"]
        lines.append([*cells, "–", "–", or_dash(faster, "{:.2f}".format), "–", "–", "–", "–"])
    return _with_hardware(columns, lines, [vars(record.environment) for record in records.values()])


def tune_table() -> str:
    """The published searches: the lead of the best trial on validation rows, what luck explains, and scores on test rows."""
    records = {name: tuning_record.read(folder) for name in NAMES if (folder := PUBLISHED / "tune" / name).is_dir()}
    if not records:
        return "Not measured yet."
    columns = ["table", "validation rows", "trials (finished)", "minutes", "lead of the best", "explained by luck", "p", "kept"]
    columns += ["default, macro F1 on test rows", "winner", "difference (95 % interval)"]
    lines = []
    for name, record in records.items():
        lead, default = known(record.lead), known(record.default)
        scores = [fit.test["macro_f1"] for fit in (default, record.winner)]
        lines.append(
            [
                f"[{NAMES[name]}](results/published/tune/{name}/report.txt)",
                f"{lead.rows:,}",
                f"{len(record.trials)} ({lead.models})",
                f"{record.seconds / 60:.0f}",
                f"{lead.lead:.4f}",
                f"{lead.luck:.4f}",
                f"{lead.p_value:.2g}",
                "the default" if record.default_is_kept else described(record.winner.setting),
                *(f"{score.score:.4f} ({score.low:.3f}–{score.high:.3f})" for score in scores),
                or_dash(record.differences, lambda differences: span(differences["macro_f1"])),
            ]
        )
    return _with_hardware(columns, lines, [vars(record.environment) for record in records.values()])


def summary_table() -> str:
    """The published comparison on banking77 in four columns."""
    record = comparison_record.read(PUBLISHED / "compare" / "banking77")
    lines = []
    for contestant in record.contestants:
        score, speed = contestant.scores["macro_f1"], known(contestant.best_speed)
        scores = f"{score.score:.3f} ({score.low:.3f}–{score.high:.3f})"
        figures = [f"{speed.texts_per_second:,.0f}", f"{speed.weight_bytes / 1e6:.0f}"]
        lines.append([model_name(contestant.name, short=True), scores, *figures])
    columns = ["model", "macro F1 (95 % interval)", "texts a second", "MB"]
    return _with_hardware(columns, lines, [vars(record.environment)])


def verdict() -> str:
    """The verdict of a published comparison, as it is given."""
    return f"> {verdict_line(comparison_record.read(PUBLISHED / 'compare' / 'banking77'))}"


def _compared_cells(table: str, record: comparison_record.Record, contestant: comparison_record.Contestant) -> list[str]:
    bert, name, speed = record.contestants[-1], contestant.name, known(contestant.best_speed)
    chief, second = contestant.scores["macro_f1"], contestant.scores[CHIEF_SCORE[record.task]]
    taught = record.teaching if name == "student" else None
    rows = f"{contestant.rows:,} / {record.data.rows.test:,}"
    return [
        f"[{NAMES[table]}](results/published/compare/{table}/verdict.md): {rows}",
        model_name(name, short=True),
        f"{chief.score:.4f} ({chief.low:.3f}–{chief.high:.3f})",
        f"{second.score:.4f}",
        f"{chief.score / bert.scores['macro_f1'].score:.1%}",
        or_dash(taught, lambda teaching: span(teaching.difference)),
        f"{speed.texts_per_second:,.0f}",
        f"{speed.texts_per_second / known(bert.best_speed).texts_per_second:.2f}",
        f"{speed.weight_bytes / 1e6:.0f}",
        f"{contestant.mean_fit_seconds / 60:.1f}",
        "–" if name in ("tfidf", "static") else str(record.options["epochs"] or "default"),
        str(len(contestant.fit_seconds)),
    ]


def distill_table() -> str:
    """The published distillations with texts without labels: teacher, student and control on the same test rows."""
    columns = ["table", "labelled rows: train / val", "texts without labels", "seed", "epochs", "teacher", "student"]
    columns += ["control", "student less control (95 % interval)", "student's fit, minutes"]
    runs, lines = published("distill"), []
    for link, record in runs:
        taught, rows = known(record.distillation), record.data.rows
        worth = known(taught.worth)["accuracy"]
        accuracies = (known(known(taught.teacher.test)["accuracy"]), worth.first, worth.second)
        cells = [link, f"{rows.train:,} / {rows.val:,}", f"{known(taught.unlabelled).used:,}", record.options["seed"]]
        cells += [len(record.epochs), *(f"{accuracy:.4f}" for accuracy in accuracies), span(worth)]
        lines.append([*cells, f"{known(record.timing.fit_seconds) / 60:.1f}"])
    return _with_hardware(columns, lines, [vars(record.environment) for _, record in runs])


def streaming() -> str:
    """Memory and speed of answering a long table, in a sentence each."""
    record = json.loads((PUBLISHED / "predict" / "streaming.json").read_text())
    memory, speed = record["memory"], record["speed"]
    share, turns = speed["table_against_list"]["processor"], len(speed["rounds"]["list"])
    return (
        f"{memory['rows']:,} short texts of a csv file took {memory['peak_bytes'] / 1e6:,.0f} MB of memory at most, with a "
        f"predictor of {memory['predictor_bytes'] / 1e6:.1f} MB, and of a larger one more by its size. Answering "
        f"{speed['rows']:,} headlines of a file ran at {share:.0%} of the speed of `halfbert.load(...).predict` on a list of "
        f"them, by processor time (median of {turns} turns; {speed['engine']}, {counted(speed['threads'], 'thread')}; "
        f"`python -m tools.streaming`)."
    )


def guarantees_table() -> str:
    """The published guarantees: in how many of the draws each could be given and was violated, and what it left to people."""
    records = {
        name: json.loads(file.read_text()) for name in NAMES if (file := PUBLISHED / "guarantees" / name / GUARANTEES).is_file()
    }
    columns = ["table", "error", "validation rows", "guaranteed", "draws", "could be given in", "violated in"]
    columns += ["violated, epoch chosen by other rows", "answered (mean)", "error (mean)"]
    lines, notes = [], []
    for name, record in records.items():
        for guarantee in record["promises"]:
            cells = [
                f"[{NAMES[name]}](results/published/guarantees/{name}/report.txt)",
                guarantee["risk"],
                f"{guarantee['rows']:,}",
            ]
            cells += [f"{guarantee['max_error']:.0%}", f"{guarantee['draws']:,}", f"{guarantee['made']:.1%}"]
            cells += [f"{guarantee[key]:.1%}" for key in ("broken", "broken_other_epoch", "answered")]
            lines.append([*cells, or_dash(guarantee["error"], lambda error: f"{error:.1%}")])
        share = record["max_review"]
        low, middle, high = (f"{found:.1%}" for found in share["found"])
        notes.append(
            f"On {NAMES[name]}, `max_review={share['share']}` with {share['rows']:,} validation rows sent {middle} of the "
            f"others to people (5 % to 95 % of the draws: {low} to {high})."
        )
    table = _with_hardware(columns, lines, [record["environment"] for record in records.values()])
    return "\n\n".join([table, " ".join(notes)])


def labelling_table() -> str:
    """Macro F1 with rows chosen for labelling, by method, and how much better they are than random ones."""
    files = [file for name in NAMES if (file := PUBLISHED / "review" / f"{name}.json").is_file()]
    records = [json.loads(file.read_text()) for file in files]
    columns = ["table", "rows at first", "then", "chosen by", "seeds", "macro F1", "above random rows (95 %)"]
    lines = []
    for record in records:
        rows, name = record["rows"], record["table"]
        for method, by_seed in record["macro_f1"].items():
            gain = record["differences"].get(method)
            lines.append(
                [
                    f"[{NAMES[name]}](results/published/review/{name}.json)",
                    f"{rows['first rows']:,}",
                    "–" if method == "first rows" else f"{rows['chosen']:,}",
                    "–" if method == "first rows" else method,
                    len(by_seed),
                    f"{statistics.fmean(by_seed.values()):.3f}",
                    or_dash(gain, lambda gain: f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"),
                ]
            )
    return _with_hardware(columns, lines, [record["environment"] for record in records])


def _races() -> dict[str, dict[str, Any]]:
    return json.loads((PUBLISHED / "race.json").read_text())["races"]


def _with_hardware(columns: list[str], rows: list[list], environments: list[dict]) -> str:
    """A table, and one sentence on the machine, the threads and the versions that all the figures share."""
    described = {
        f"{counted(e['threads'], 'thread')} of {e['hardware']['cpu']} ({', '.join(e['hardware']['vector_extensions'])}), "
        f"TensorFlow {e['versions']['tensorflow']}, Python {e['versions']['python']}"
        for e in environments
    }
    return f"{markdown_table(columns, rows)}\n\nMeasured on {'; and on '.join(sorted(described))}."
