"""Which engines may answer for a predictor: those whose answers were compared with the reference's, and are close enough.

The figures are those that `halfbert.predictor.proving` writes into the manifest; they hold for the weights, the configuration
and the engine's recipe that they were measured with.
"""

from halfbert.predictor import engines
from halfbert.predictor.manifest import Agreement, Predictor
from halfbert.system.errors import ArtefactError, ResourceError


def require(predictor: Predictor, engine: str) -> None:
    """Raise ArtefactError, with the figures, if an engine's answers were not compared or differ too much."""
    declared, figures = engines.find(engine), _figures(predictor, engine)
    if declared.least_equal is None:
        return
    if figures is None:
        raise ArtefactError(
            f"engine {engine}: never compared with keras for these weights, so not trusted; to compare it: "
            f"halfbert benchmark {predictor.folder} --prepare --engines {engine} (or pass allow_disagreement)"
        )
    if not _close_enough(declared, figures):
        raise ArtefactError(
            f"engine {engine}: {figures.equal_decisions:.2%} of {figures.rows:,} decisions equal those of {figures.reference}, "
            f"{declared.least_equal:.0%} are required, and the probabilities differ by up to {figures.largest_difference:.1e}; "
            f"choose another engine (or pass allow_disagreement)"
        )


def is_proven(predictor: Predictor, engine: str) -> bool:
    """Whether an engine was compared for these weights and is close enough."""
    figures = _figures(predictor, engine)
    return figures is not None and _close_enough(engines.find(engine), figures)


def automatic(predictor: Predictor, device: str) -> list[str]:
    """The engines that may answer on a device (cpu, gpu or auto), the fastest first: installed, and proven or the reference.

    Raises ResourceError, with what to do, if there is none.
    """
    candidates = engines.fastest_first(device)
    allowed = [name for name in candidates if engines.find(name).least_equal is None or is_proven(predictor, name)]
    usable = [name for name in allowed if engines.installed(name)]
    if not usable:
        unproven = [name for name in candidates if name not in allowed and engines.installed(name)]
        advice = f"; or pass engine={unproven[0]!r} and allow_disagreement, as it was never compared" if unproven else ""
        needed = allowed[0]
        missing = " and ".join(engines.missing(needed))
        raise ResourceError(
            f"{predictor.folder}: no engine can answer: {needed} needs {missing} ({engines.find(needed).install}){advice}"
        )
    return usable


def _figures(predictor: Predictor, engine: str) -> Agreement | None:
    """An engine's figures, if they were measured with the present weights, configuration and recipe."""
    figures = predictor.manifest.agreement.get(engine)
    current = figures is not None and figures.made_from == predictor.made_from(engines.find(engine).recipe(predictor))
    return figures if current else None


def _close_enough(engine: engines.Engine, figures: Agreement) -> bool:
    limit = engine.largest_difference
    equal = engine.least_equal is not None and figures.equal_decisions >= engine.least_equal
    return equal and (limit is None or figures.largest_difference <= limit)
