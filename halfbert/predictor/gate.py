"""Which engines may answer for a predictor: those whose answers were compared with the reference's, and are close enough.

The figures are those that `halfbert.predictor.proving` writes into the manifest; they hold for the weights, the configuration
and the engine's recipe that they were measured with.
"""

from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system.errors import ResourceError


def objection(predictor: Predictor, engine: str) -> str | None:
    """Why an engine's answers are not trusted, with the figures; None if they are."""
    declared, figures = engines.find(engine), predictor.manifest.agreement.get(engine)
    if declared.least_equal is None:
        return None
    if figures is None or figures.made_from != predictor.made_from(declared.recipe()):
        return (
            f"engine {engine}: never compared with keras for these weights, so not trusted; to compare it: "
            f"halfbert benchmark {predictor.folder} --prepare --engines {engine} (or pass allow_disagreement)"
        )
    if figures.equal_decisions >= declared.least_equal and figures.largest_difference <= declared.largest_difference:
        return None
    return (
        f"engine {engine}: {figures.equal_decisions:.2%} of {figures.rows:,} decisions equal those of {figures.reference}, "
        f"{declared.least_equal:.0%} are required, and the probabilities differ by up to {figures.largest_difference:.1e}; "
        f"choose another engine (or pass allow_disagreement)"
    )


def automatic(predictor: Predictor, device: str) -> list[str]:
    """The engines that may answer on a device (cpu, gpu or auto), the fastest first: installed, and proven or the reference.

    Raises ResourceError, with what to do, if there is none.
    """
    candidates = engines.fastest_first(device)
    allowed = [name for name in candidates if not objection(predictor, name)]
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
