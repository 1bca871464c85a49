"""The job: read tables, answer their rows, write them again with the answers."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from halfbert.data import texts
from halfbert.data.phrases import counted
from halfbert.data.tables import locate
from halfbert.options.prediction import STANDARD_INPUT, PredictOptions
from halfbert.prediction import cluster, journal, next_rows, outputs, page, sampling
from halfbert.prediction.answering import Answering, Watcher, answer_rows
from halfbert.prediction.blocks import Source, Unwritten, Writer
from halfbert.prediction.frames import DataFrame, FrameWriter
from halfbert.prediction.inputs import open_all
from halfbert.prediction.label_words import LabelWords
from halfbert.prediction.outputs import Tables
from halfbert.prediction.scorer import Scorer
from halfbert.prediction.summary import Progress, Summary
from halfbert.predictor import manifest
from halfbert.scoring.cascades import MARGIN
from halfbert.system import console, storage
from halfbert.system.console import StopRequest
from halfbert.system.errors import InputError


def predict(options: PredictOptions, _stop: StopRequest) -> Any:
    """Answer the rows of tables: returns the Summary of what was written, or a DataFrame for a DataFrame.

    Raises InputError, naming file, line and column, for a table that cannot be read with certainty or an output that must not
    be replaced; ArtefactError for a damaged predictor; ResourceError for a full disk or a missing package.
    """
    say: Callable[[str], object] = console.say
    if options.output is None:  # the standard output is a table's, or a notebook's
        say = functools.partial(print, file=sys.stderr, flush=True)
    trained_on = manifest.read(options.predictor).text_columns  # that it is there is seen at once; `Scorer` checks its files
    options.text_column = options.text_column or texts.named(trained_on or [texts.DEFAULT])
    if options.ray:
        cluster.check(options)
    return answer_tables(options, trained_on, scorer_of, say, Progress)


def answer_tables(
    options: PredictOptions,
    trained_on: Sequence[str],
    scorer_of: Callable[[PredictOptions], Scorer],
    say: Callable[[str], object],
    progress_of: Callable[[int | None], Progress],
) -> Any:
    """As `predict`, for a predictor of the text columns `trained_on`, which `scorer_of` loads when the tables are open.

    `say` is given the lines for people, and `progress_of` the number of rows, None where it is unknown.
    """
    with _output_held(options.output), _output_held(options.review_file):
        if options.output is not None:
            outputs.check(options.output, options.overwrite)
        if options.report is not None:
            page.check(options.report, options.overwrite)
        sources = open_all(options)
        for source in sources:
            texts.check_as_trained(source.name, source.text_columns, trained_on, "predictor")
        if options.output is not None:
            outputs.check_fits(options.output, sources)
            files = [Path(source.name) for source in sources if Path(source.name).is_file()]
            storage.check_free_space(options.output, sum(file.stat().st_size for file in files))
            storage.remove_leftovers(options.output)
        if options.review is not None and options.review_file is not None:
            next_rows.check(options.review_file, options.review, options.overwrite, sources)
        scorer = scorer_of(options)
        if options.label_column is not None:
            _check_labels(options.label_column, scorer, sources)
        columns = outputs.named(scorer.added(), sources)
        for plain, column in zip(scorer.added(), columns, strict=True):
            if plain.name != column.name:
                say(f"a column {plain.name!r} is there already: the answers stand in {column.name!r}")
        for note in (note for source in sources for note in source.notes):
            say(note)
        if scorer.line:
            say(scorer.line)
        watcher = page.Watcher(scorer) if options.report is not None else None
        to_label = next_rows.collector(options.review, options.review_file, scorer, sources)
        sample = sampling.collector(options, scorer)
        watchers = [each for each in (watcher, to_label, sample) if each is not None]
        if isinstance(sources[0], DataFrame):
            writer = FrameWriter(sources[0], columns)
            summary = _answer(sources, scorer, writer, None, None, say, progress_of, options.label_column, watchers)
            result: Any = writer.frame
        elif options.ray:
            result = summary = cluster.predict(options, sources, scorer, columns, say)
        else:
            result = summary = _write(options, sources, scorer, columns, say, progress_of, watchers)
        summary.drift, failure = sample.finish(sources, say) if sample else (None, None)
        if options.report is not None and watcher is not None:
            page.write_page(options.report, scorer, summary, watcher)
        chosen = to_label.write() if to_label is not None else []
    for line in [*summary.lines(), *chosen]:
        say(line)
    if options.report is not None:
        say(f"page: {options.report}")
    if failure is not None:
        raise failure
    return result


def scorer_of(options: PredictOptions) -> Scorer:
    """The scorer that the options describe, its predictor loaded."""
    scorer = Scorer(
        options.predictor.absolute(),
        options.engine,
        options.device,
        options.threads,
        top=options.top or 0,
        every_probability=options.probabilities,
        rule=options.rule(),
        explain=options.explain,
        uncertainty=options.review is not None,
        then=options.then and options.then.absolute(),
        margin=MARGIN if options.margin is None else options.margin,
    )
    # Loaded and made ready here, so that a damaged predictor or an impossible rule is reported before any work is done.
    scorer.classifier, scorer.decider, scorer.cascade  # noqa: B018
    return scorer


def _check_labels(column: str, scorer: Scorer, sources: Sequence[Source]) -> None:
    """Raise InputError where there are no true labels to hold answers against."""
    if not scorer.one_label:
        raise InputError(f"--label-column {column}: for predictors of one label a text")
    for source in sources:
        locate(source.name, source.columns, [column])


def _output_held(output: Path | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if output is None else storage.output_lock(output)


def _write(
    options: PredictOptions,
    sources: Sequence[Source],
    scorer: Scorer,
    columns: list[Any],
    say: Callable[[str], object],
    progress_of: Callable[[int | None], Progress],
    watchers: Sequence[Watcher],
) -> Summary:
    output = options.output
    if output is None and options.table != [STANDARD_INPUT]:  # rows are only looked at
        return _answer(sources, scorer, Unwritten(), None, None, say, progress_of, options.label_column, watchers)
    with contextlib.ExitStack() as stack:
        so_far = None
        if output is not None:
            so_far = stack.enter_context(journal.kept(output, scorer.made_by(), scorer.kind))
        try:
            with outputs.opened(output, sources, columns, scorer.separator, so_far) as tables:
                return _answer(sources, scorer, tables, output, so_far, say, progress_of, options.label_column, watchers)
        except BrokenPipeError:  # who read the standard output has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None


def _answer(
    sources: Sequence[Source],
    scorer: Scorer,
    writer: Writer | Tables,
    output: Path | None,
    so_far: journal.Journal | None,
    say: Callable[[str], object],
    progress_of: Callable[[int | None], Progress],
    truth: str | None,
    watchers: Sequence[Watcher],
) -> Summary:
    """Answer the rows of the sources and write them; `truth` names the column with the true labels."""
    words = LabelWords(truth) if scorer.explain else None
    summary = Summary(output, scorer.classifier.engine, maxlen=scorer.manifest.maxlen, words=words)
    if scorer.cascade:
        summary.engine += f", then {scorer.cascade.big.engine}"
        summary.then = scorer.cascade.names[1]
    rows = [source.rows for source in sources if source.rows is not None]
    progress = progress_of(sum(rows) if len(rows) == len(sources) else None)
    began = time.monotonic()
    try:
        answer_rows(sources, Answering(scorer, so_far, progress.advance), writer.write, summary, watchers)
    finally:
        progress.close()
    summary.seconds = time.monotonic() - began
    if so_far is not None:
        summary.resumed = so_far.texts
        for note in so_far.notes:
            say(note)
        if so_far.texts:
            say(f"resumed: {counted(so_far.texts, 'text')} had been answered by an earlier run")
    return summary
