"""The tables of README.md and docs/, made from the records in results/published/; links are relative to the checkout."""

import dataclasses
import json
import statistics

from halfbert.benchmark import record as benchmark_record
from halfbert.benchmark.figures import CHIEF_BATCH, cell_figures, score_of
from halfbert.benchmark.record import Contestant, Figure
from halfbert.comparison import record as comparison_records
from halfbert.comparison.wording import span, verdict_line
from halfbert.data.phrases import plural
from halfbert.output import record as records
from halfbert.output.sheets import markdown_table
from halfbert.system.machine import PROJECT

PUBLISHED = PROJECT / "results" / "published"
CONTESTANTS = {"tfidf": "TF-IDF", "student": "student", "distilbert": "DistilBERT", "bert": "BERT"}
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
}


def published(task: str) -> list[tuple[str, records.Record]]:
    """The committed records of a task's runs, by table and rows, each after its folder's name."""
    found = [(path.parent.name, records.read(path.parent)) for path in (PUBLISHED / task).glob("*/record.json")]
    order = list(NAMES)
    return sorted(found, key=lambda run: (order.index(_table(run[0])), run[1].data.rows.train, run[0]))


def _table(name: str) -> str:
    return name.split("-")[0]


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
    columns = ["table", "rows: train / val / test", "model", *scores, "epoch kept", "epochs", "fit, minutes", "seed"]
    found, lines = published(task), []
    for name, record in found:
        rows, precision = record.data.rows, record.options["precision"]
        lines.append(
            [
                f"[{NAMES[_table(name)]}](results/published/{task}/{name}/report.txt)",
                f"{rows.train:,} / {rows.val:,} / {rows.test:,}",
                f"{record.model}{'' if precision == 'float32' else f', {precision}'}",
                *(f"{_at(record.test, path):.4f}" for path in scores.values()),
                *(record.best_epoch, len(record.epochs), f"{record.timing.fit_seconds / 60:.1f}", record.split.seed),
            ]
        )
    return _with_hardware(columns, lines, [dataclasses.asdict(record.environment) for _, record in found])


def _at(scores: dict, path: str) -> float:
    for key in path.split("/"):
        scores = scores[key]
    return scores


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
    parts = {name: (race["maxlen"], race["predicting"]) for name, race in _races().items() if race.get("predicting")}
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
    return _with_hardware(columns, lines, [dataclasses.asdict(record.environment) for record in benchmarks])


def _contestant_cells(record: benchmark_record.Record, contestant: Contestant) -> list[str]:
    def figure(scenario: str, batch: int) -> Figure:
        found = cell_figures(record, scenario)
        return next(f for f in found if f.batch == batch and f.who == contestant.who)

    def ratio(batch: int) -> str:
        for pair in record.pairs:
            found = pair.comparison
            if found and pair.a.engine == pair.b.engine and pair.b == contestant.who and pair.case.batch == batch:
                low, high = found.interval
                sure = "" if found.verdict != "inconclusive" else ", inconclusive"
                return f"{found.ratio:.2f} ({low:.2f}–{high:.2f}{sure})"
        return "–"

    score = score_of(record, contestant)
    first_answer = statistics.median(start.first_answer_seconds for start in contestant.cold)
    memory = statistics.median(start.peak_above_import for start in contestant.cold)
    return [
        contestant.predictor,
        contestant.engine,
        f"{1000 * figure('single', 1).seconds_per_call.p50:.2f}",
        f"{figure('offline', CHIEF_BATCH).texts_per_second.median:,.0f}",
        f"{first_answer:.2f}",
        f"{memory / 1e6:.0f}",
        f"{contestant.weight_bytes / 1e6:.0f}",
        "–" if score is None else f"{score[1]:.4f}",
        ratio(1),
        ratio(CHIEF_BATCH),
    ]


def compare_table() -> str:
    """The published comparisons: each contestant on each table, and what is left of BERT's score and seconds."""
    found = {folder.name: comparison_records.read(folder) for folder in (PUBLISHED / "compare").iterdir()}
    columns = ["table: rows trained / tested", "contestant", "macro F1 (95 % interval)"]
    columns += ["accuracy; with many labels micro F1", "of BERT's macro F1", "gain by the teacher (95 % interval)"]
    columns += [f"texts/s, batches of {CHIEF_BATCH}", "× BERT", "weights, MB", "fit, minutes", "epochs", "seeds"]
    lines = []
    for name, record in sorted(found.items(), key=lambda item: list(NAMES).index(item[0])):
        for contestant in record.contestants:
            where = f"results/published/compare/{name}/verdict.md"
            rows, *cells = _compared_cells(record, contestant)
            lines.append([f"[{NAMES[name]}]({where}): {rows}", *cells])
    for data, source, small, large, score, faster in PUBLISHED_PAIRS:
        cells = [f"{data} ({source})", "DistilBERT, full size", "–", f"{small} of {large} ({score})", f"{small / large:.1%}"]
        speed = "–" if faster is None else f"{faster:.2f}"
        lines.append([*cells, "–", "–", speed, "–", "–", "–", "–"])
    return _with_hardware(columns, lines, [dataclasses.asdict(record.environment) for record in found.values()])


def summary_table() -> str:
    """The published comparison on banking77 in four columns."""
    record = comparison_records.read(PUBLISHED / "compare" / "banking77")
    lines = []
    for contestant in record.contestants:
        score, speed = contestant.scores["macro_f1"], contestant.best_speed
        assert speed
        scores = f"{score.score:.3f} ({score.low:.3f}–{score.high:.3f})"
        figures = [f"{speed.texts_per_second:,.0f}", f"{speed.weight_bytes / 1e6:.0f}"]
        lines.append([CONTESTANTS[contestant.name], scores, *figures])
    columns = ["model", "macro F1 (95 % interval)", "texts a second", "MB"]
    return _with_hardware(columns, lines, [dataclasses.asdict(record.environment)])


def verdict() -> str:
    """The verdict of a published comparison, as it is given."""
    return f"> {verdict_line(comparison_records.read(PUBLISHED / 'compare' / 'banking77'))}"


def _compared_cells(record: comparison_records.Record, contestant: comparison_records.Contestant) -> list[str]:
    bert, name, speed = record.contestants[-1], contestant.name, contestant.best_speed
    chief, second = contestant.scores["macro_f1"], contestant.scores[CHIEF_SCORE[record.task]]
    taught = record.teaching if name == "student" else None
    assert speed and bert.best_speed
    return [
        f"{contestant.rows:,} / {record.data.rows.test:,}",
        CONTESTANTS[name],
        f"{chief.score:.4f} ({chief.low:.3f}–{chief.high:.3f})",
        f"{second.score:.4f}",
        f"{chief.score / bert.scores['macro_f1'].score:.1%}",
        span(taught.difference) if taught else "–",
        f"{speed.texts_per_second:,.0f}",
        f"{speed.texts_per_second / bert.best_speed.texts_per_second:.2f}",
        f"{speed.weight_bytes / 1e6:.0f}",
        f"{contestant.mean_fit_seconds / 60:.1f}",
        "–" if name == "tfidf" else str(record.options["epochs"]),
        str(len(contestant.fit_seconds)),
    ]


def distill_table() -> str:
    """The published distillations with texts without labels: teacher, student and control on the same test rows."""
    columns = ["table", "labelled rows: train / val", "texts without labels", "seed", "epochs", "teacher", "student"]
    columns += ["control", "student less control (95 % interval)", "student's fit, minutes"]
    found, lines = published("distill"), []
    for name, record in found:
        told, rows = record.distillation, record.data.rows
        worth = told.worth["accuracy"]
        accuracies = (told.teacher.test["accuracy"], worth.first, worth.second)
        cells = [
            f"[{NAMES[_table(name)]}](results/published/distill/{name}/report.txt)",
            f"{rows.train:,} / {rows.val:,}",
            f"{told.unlabelled.used:,}",
            str(record.options["seed"]),
            str(len(record.epochs)),
            *(f"{accuracy:.4f}" for accuracy in accuracies),
            span(comparison_records.Change(worth.difference, worth.low, worth.high)),
            f"{record.timing.fit_seconds / 60:.1f}",
        ]
        lines.append(cells)
    return _with_hardware(columns, lines, [dataclasses.asdict(record.environment) for _, record in found])


def _races() -> dict[str, dict]:
    return json.loads((PUBLISHED / "race.json").read_text())["races"]


def _with_hardware(columns: list[str], rows: list[list], environments: list[dict]) -> str:
    """A table, and one sentence on the machine, the threads and the versions that all the figures share."""
    described = {
        f"{plural(e['threads'], 'thread')} of {e['hardware']['cpu']} ({', '.join(e['hardware']['vector_extensions'])}), "
        f"TensorFlow {e['versions']['tensorflow']}, Python {e['versions']['python']}"
        for e in environments
    }
    return f"{markdown_table(columns, rows)}\n\nMeasured on {'; and on '.join(sorted(described))}."
