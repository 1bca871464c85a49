"""Which engines may answer for a predictor: those whose answers were compared with the reference's, and are close enough.

Of these the fastest is taken, as measured on this machine. The figures are those that `halfbert.predictor.proving` writes into
the manifest; they hold for the weights, the configuration and the engine's recipe that they were measured with, and speeds also
for the processor, the number of threads and the version of the package that computes.
"""

from collections.abc import Sequence

from halfbert.predictor import engines
from halfbert.predictor.manifest import EngineSpeed, Predictor
from halfbert.system import machine
from halfbert.system.errors import ResourceError

ALL_THE_SAME = "from Python, allow_disagreement=True takes it all the same"


def objection(predictor: Predictor, engine: str) -> str | None:
    """Why an engine's answers are not trusted, with the figures; None if they are."""
    declared, figures = engines.find(engine), predictor.manifest.agreement.get(engine)
    if declared.least_equal is None:
        return None
    if figures is None or figures.made_from != made_from(predictor, engine):
        return (
            f"engine {engine}: never compared with keras for these weights, so not trusted; to compare it: "
            f"halfbert benchmark {predictor.folder} --prepare --engines {engine} ({ALL_THE_SAME})"
        )
    if figures.equal_decisions >= declared.least_equal and figures.largest_difference <= declared.largest_difference:
        return None
    return (
        f"engine {engine}: {figures.equal_decisions:.2%} of {figures.rows:,} decisions equal those of {figures.reference}, "
        f"{declared.least_equal:.0%} are required, and the probabilities differ by up to {figures.largest_difference:.1e}; "
        f"choose another engine ({ALL_THE_SAME})"
    )


def automatic(predictor: Predictor, device: str, threads: int | None = None) -> list[str]:
    """The engines that may answer on a device (cpu, gpu or auto), the fastest first: installed, and proven or the reference.

    The order is that of `measured_speeds`, or the declared one where there are none. Raises ResourceError, with what to do, if
    no engine may answer.
    """
    candidates = engines.fastest_first(device)
    allowed = [name for name in candidates if not objection(predictor, name)]
    usable = [name for name in allowed if engines.installed(name)]
    if not usable:
        unproven = [name for name in candidates if name not in allowed and engines.installed(name)]
        advice = (
            f"; from Python, engine={unproven[0]!r} with allow_disagreement=True answers, never compared" if unproven else ""
        )
        needed = allowed[0]
        missing = " and ".join(engines.missing(needed))
        raise ResourceError(
            f"{predictor.folder}: no engine can answer: {needed} needs {missing} ({engines.find(needed).install}){advice}"
        )
    return usable if device == "gpu" else list(measured_speeds(predictor, usable, threads)) or usable


def measured_speeds(predictor: Predictor, names: Sequence[str], threads: int | None = None) -> dict[str, EngineSpeed]:
    """The speeds of engines on this processor with so many threads (None: all), the fastest first; empty unless all are known.

    Batches and single texts count alike: by the geometric mean of texts a second in batches and one at a time.
    """
    if not predictor.manifest.speeds:
        return {}
    here = predictor.manifest.speeds.get(machine.processor(threads), {})
    known = all(name in here and here[name].made_from == made_from(predictor, name) for name in names)
    if not known or any(here[name].versions != versions(name) for name in names):
        return {}
    fastest_first = sorted(names, key=lambda name: here[name].single_seconds / here[name].texts_per_second)
    return {name: here[name] for name in fastest_first}


def made_from(predictor: Predictor, engine: str) -> dict[str, str]:
    """What decides an engine's answers, and its share of what decides its speed."""
    return predictor.made_from(engines.find(engine).recipe())


def versions(engine: str) -> dict[str, str]:
    """The version of the package that computes."""
    package = engines.find(engine).packages[0]
    return {package: machine.version_of(package) or ""}


def choice(predictor: Predictor, threads: int | None = None) -> str:
    """Which engine `halfbert.load` takes here on the CPU, and why, in a line."""
    try:
        names = automatic(predictor, "cpu", threads)
    except ResourceError as error:
        return str(error)
    speeds = measured_speeds(predictor, names, threads)
    if not speeds:
        return f"halfbert.load takes {names[0]}, by rank: speeds were not measured with {machine.processor(threads)}"
    rates = ", ".join(f"{name} {speeds[name].texts_per_second:,.0f}" for name in names)
    alone = ", ".join(f"{name} {1000 * speeds[name].single_seconds:.1f}" for name in names)
    return f"halfbert.load takes {names[0]}, the fastest here: texts/s in batches: {rates}; ms for one text: {alone}"
