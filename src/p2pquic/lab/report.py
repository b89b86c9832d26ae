"""What a person reads after a run: a sentence, a table with the floor beside it, a picture.

Gap and floor are of the same phase of the same run. Over several runs the table shows medians, with
the largest beside them; lost frames are added up.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from p2pquic.core.errors import MissingRequirementError
from p2pquic.lab.floor import Direction
from p2pquic.lab.measure import Frames, Passage, Spread

if TYPE_CHECKING:
    from p2pquic.lab.alignment import Alignment  # needs numpy, which a report does not

PLOT_BEFORE = 0.3  # seconds of the picture before the move
PLOT_AFTER = 0.6  # and after a path is there again
PATH_COLOURS = ("#2364aa", "#ea7317", "#3da35d", "#8e44ad", "#c1292e", "#6c757d")


def sentence(passages: Sequence[Passage]) -> str:
    """The move in words, for someone who has never read a table of ours."""
    move = passages[0].move
    if move.has_overlap:
        overlap = _ms(move.down - move.usable)
        lines = [f"{move.come} came up {overlap} ms before {move.gone} died."]
    else:
        lines = [
            f"{move.gone} died; {_ms(move.outage)} ms later {move.come} was usable "
            "(no software can shorten that)."
        ]
    for passage in passages:
        line = f"From {passage.direction} nothing new arrived for {_ms(passage.gap)} ms"
        if passage.floor is not None:
            line += f"; physics demands {_ms(passage.floor)} ms"
        lines.append(f"{line}. {_frames(passage.lost)} lost.")
    return "\n".join(lines)


def table(passages: Sequence[Passage]) -> Table:
    """One row per direction and kind of move; several runs of the same are summed up in one."""
    result = Table(box=box.SIMPLE, title="medians in ms, in brackets the largest", title_style="")
    result.add_column("move, direction")
    for name in (
        "runs",
        "L",
        "gap",
        "floor",
        "above",
        "lost",
        "late",
        "re-sent",
        "twice",
        "direct",
    ):
        result.add_column(name, justify="right")
    groups: dict[tuple[str, str, str], list[Passage]] = {}
    for passage in passages:
        key = (passage.move.gone, passage.move.come, passage.direction)
        groups.setdefault(key, []).append(passage)
    for (gone, come, direction), group in groups.items():
        result.add_row(f"{gone} to {come}, {direction}", *_figures(group))
    return result


def path_timeline(passages: Iterable[Passage]) -> str:
    """Which path first arrivals took, and from when on (milliseconds after the cut)."""
    lines = []
    for passage in passages:
        steps = ", ".join(f"{1000 * time:+.0f} ms {path}" for time, path in passage.timeline)
        lines.append(f"{passage.direction}: {steps}")
    return "\n".join(lines)


def heard(alignment: Alignment) -> str:
    """What an ear would have missed of a recording, beside its source."""
    if not alignment.stretches:
        return "nothing of the source is heard in it."
    if not alignment.gaps:
        return "the source is heard without a gap."
    gaps = [
        f"{_ms(gap.duration)} ms missing at {gap.start:.2f} s, then "
        f"{abs(1000 * gap.position_error):.1f} ms off the source's position"
        for gap in alignment.gaps
    ]
    return "; ".join(gaps) + "."


def plot(passages: Sequence[Passage], frames: Mapping[Direction, Frames], file: Path) -> None:
    """Draw the arrivals around one move, a panel per direction, coloured by path.

    Raises:
        MissingRequirementError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingRequirementError(
            "The picture needs matplotlib: pip install 'p2pquic[lab]'."
        ) from None
    figure, axes = pyplot.subplots(
        len(passages), 1, sharex=True, squeeze=False, figsize=(10, 3.2 * len(passages))
    )
    colours: dict[str, str] = {}
    for (panel,), passage in zip(axes, passages, strict=True):
        move = passage.move
        if not move.has_overlap:
            panel.axvspan(0, 1000 * move.outage, color="#eeeeee", zorder=0)
        panel.axvline(1000 * (move.moment - move.down), color="#999999", linewidth=0.8, zorder=1)
        begin, end = move.down - PLOT_BEFORE, move.moment + PLOT_AFTER
        by_path: dict[str, tuple[list[float], list[int]]] = {}
        for seq, (time, path) in frames[passage.direction].arrived.items():
            if begin <= time <= end:
                times, seqs = by_path.setdefault(path, ([], []))
                times.append(1000 * (time - move.down))
                seqs.append(seq)
        for path, (times, seqs) in by_path.items():
            colour = colours.setdefault(path, PATH_COLOURS[len(colours) % len(PATH_COLOURS)])
            panel.scatter(times, seqs, s=14, color=colour, label=path, zorder=2)
        floor = "" if passage.floor is None else f", floor {_ms(passage.floor)} ms"
        panel.set_title(f"{passage.direction}: gap {_ms(passage.gap)} ms{floor}", loc="left")
        panel.set_ylabel("frame")
        panel.legend(loc="upper left", fontsize=8, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1][0].set_xlabel("arrival, ms after the old address died (grey: no address at all)")
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _figures(group: Sequence[Passage]) -> list[str]:
    """A row of the table, from L on."""
    return [
        str(len(group)),
        _ms(statistics.median(passage.outage for passage in group)),
        _spread([passage.gap for passage in group]),
        _spread([passage.floor for passage in group if passage.floor is not None]),
        _spread([above for passage in group if (above := passage.above_floor) is not None]),
        str(sum(passage.lost for passage in group)),
        f"{statistics.median(passage.late for passage in group):.0f}",
        f"{statistics.median(passage.resent for passage in group):.0f}",
        f"{statistics.median(passage.duplicated for passage in group):.0f}",
        _spread([again for passage in group if (again := passage.direct_again) is not None]),
    ]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = Spread.of(values)
    return _ms(spread.median) + (f" ({_ms(spread.maximum)})" if len(values) > 1 else "")


def _frames(count: int) -> str:
    return "1 frame was" if count == 1 else f"{count} frames were"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"
