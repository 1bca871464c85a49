"""Names beside lines and points in place of a legend: they cover neither data nor each other.

To be called last: what is titled, scaled or drawn later may move what the names avoid.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from halfbert.output.drawing import INK, set_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

SIZE = 8.5  # points
LINE = 1.35 * SIZE  # points from a line of text to the next
DIRECTIONS = [number * math.pi / 8 for number in range(16)]
DISTANCES = (3, 12, 24, 40, 60, 90, 130)  # points from a dot to its name
LEADER = 10  # points, beyond which a thin line leads to the name


@dataclass(frozen=True)
class Named:
    """A point in data coordinates, its name, and its radius in points."""

    x: float
    y: float
    name: str
    colour: str = INK
    radius: float = 3.0


def name_lines(axes: "Axes", ends: Sequence[Named]) -> None:
    """Write the names of lines to the right of the axes, as near to the lines' ends as all of them fit."""
    if not ends:
        return
    pixels = _drawn(axes)
    box, gap = axes.get_window_extent(), LINE * pixels
    heights = axes.transData.transform([(end.x, end.y) for end in ends])[:, 1]
    for _ in range(20):  # pushed apart, some may leave the axes, and pushed back meet others
        heights = apart(np.clip(heights, box.y0 + gap / 2, box.y1 - gap / 2), gap)
    for end, height in zip(ends, heights, strict=True):
        place = 1 + 9 * pixels / box.width, (height - box.y0) / box.height
        _write(axes, end, place, leader=True, ha="left")


def name_points(axes: "Axes", points: Sequence[Named]) -> None:
    """Write each point's name beside it, where it covers the least of what is drawn and of the names before it."""
    if not points:
        return
    pixels, inside = _drawn(axes), axes.get_window_extent()
    drawn = np.concatenate([np.empty((0, 3)), *_obstacles(axes, pixels)])
    taken: list[Bbox] = []

    def cost(candidate: "tuple[float, Bbox]") -> float:
        box = candidate[1]
        outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
        return 1000 * outside + 100 * sum(box.padded(1).overlaps(other) for other in taken) + _covered(box, drawn)

    for point, place in zip(points, axes.transData.transform([(point.x, point.y) for point in points]), strict=True):
        distance, box = min(_around(place, point.radius, _size(axes, point.name), pixels), key=cost)
        taken.append(box)
        x, y = axes.transAxes.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        _write(axes, point, (x, y), leader=distance > LEADER, ha="center")


def apart(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Positions as near as can be to those wanted, in the same order and at least `gap` apart (isotonic regression)."""
    order = np.argsort(wanted, kind="stable")
    ranks = np.arange(len(wanted))
    blocks: list[tuple[float, int]] = []  # mean and size of neighbours that had to be pushed apart
    for position in np.asarray(wanted, dtype=float)[order] - gap * ranks:
        blocks.append((position, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, many), (other, more) = blocks.pop(-2), blocks.pop()
            blocks.append(((one * many + other * more) / (many + more), many + more))
    found = np.empty(len(wanted))
    found[order] = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks]) + gap * ranks
    return found


def _drawn(axes: "Axes") -> float:
    """Lay the figure out, so that places in pixels are known; returns the pixels of a point."""
    figure = _figure(axes)
    set_fonts(figure)
    figure.draw_without_rendering()
    return figure.dpi / 72


def _figure(axes: "Axes") -> "Figure":
    figure = axes.get_figure(root=True)
    assert figure is not None  # as long as the axes are not removed
    return figure


def _around(place: np.ndarray, radius: float, size: tuple[float, float], pixels: float) -> "Iterator[tuple[float, Bbox]]":
    """Boxes of a size around a point, the nearest first, and their distance in points."""
    from matplotlib.transforms import Bbox

    width, height = size
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            towards = np.array([math.cos(direction), math.sin(direction)])
            x, y = place + (radius + distance) * pixels * towards
            # The edge or corner that is nearest to the point lies at that distance from it.
            yield distance, Bbox.from_bounds(x - width * (1 - towards[0]) / 2, y - height * (1 - towards[1]) / 2, width, height)


def _write(axes: "Axes", named: Named, place: tuple[float, float], leader: bool, ha: str) -> None:
    line = {"arrowstyle": "-", "color": named.colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": named.radius}
    axes.annotate(
        named.name,
        (named.x, named.y),
        xytext=place,
        textcoords="axes fraction",
        ha=ha,
        va="center",
        fontsize=SIZE,
        color=named.colour,
        annotation_clip=False,
        arrowprops=line if leader else None,
    )


def _size(axes: "Axes", name: str) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    text = axes.text(0, 0, name, fontsize=SIZE)
    set_fonts(_figure(axes))
    box = text.get_window_extent()
    text.remove()
    return box.width, box.height


def _covered(box: "Bbox", drawn: np.ndarray) -> int:
    """How many of the (N, 3) discs, x, y and radius, a box touches."""
    x, y, radius = drawn.T
    across = np.maximum(np.maximum(box.x0 - x, x - box.x1), 0)
    along = np.maximum(np.maximum(box.y0 - y, y - box.y1), 0)
    return int((np.hypot(across, along) < radius).sum())


def _obstacles(axes: "Axes", pixels: float) -> Iterator[np.ndarray]:
    """What is drawn, as discs in pixels, (N, 3): the points of collections, and lines as beads on a string."""
    from matplotlib.collections import LineCollection, PathCollection

    for line in axes.get_lines():
        corners = line.get_transform().transform(np.column_stack(line.get_data()).astype(float))
        marker = line.get_markersize() / 2 if line.get_marker() not in (None, "None", "") else 0
        if line.get_linestyle() != "None":
            yield _beads(corners, 2 * pixels)
        yield np.column_stack([corners, np.full(len(corners), (marker + 1) * pixels)])
    for found in axes.collections:
        if isinstance(found, PathCollection):
            centres = found.get_offset_transform().transform(found.get_offsets())
            radii = np.sqrt(np.broadcast_to(found.get_sizes(), len(centres))) / 2 * pixels
            yield np.column_stack([centres, radii + pixels])
        elif isinstance(found, LineCollection):
            for segment in found.get_segments():
                yield _beads(found.get_transform().transform(segment), 2 * pixels)


def _beads(corners: np.ndarray, radius: float) -> np.ndarray:
    """Discs along a line, each touching the next."""
    corners = corners[np.isfinite(corners).all(axis=1)]
    if len(corners) < 2:
        return np.empty((0, 3))
    lengths = np.r_[0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
    at = np.arange(0, lengths[-1], radius)
    x, y = (np.interp(at, lengths, side) for side in corners.T)
    return np.column_stack([x, y, np.full(len(at), radius)])
