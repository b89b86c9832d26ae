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
from p2pquic.lab.changes import Episode
from p2pquic.lab.measure import Conduct, Frames, Passage, Spread

if TYPE_CHECKING:
    from p2pquic.lab.alignment import Alignment  # needs numpy, which a report does not

PLOT_BEFORE = 0.3  # seconds of the picture before the move
PLOT_AFTER = 0.6  # and after a path is there again
PATH_COLOURS = ("#2364aa", "#ea7317", "#3da35d", "#8e44ad", "#c1292e", "#6c757d")


def sentence(passages: Sequence[Passage]) -> str:
    """The move in words, for someone who has never read a table of ours."""
    lines = [_what_happened(passages[0].episode)]
    for passage in passages:
        line = f"From {passage.course} nothing new arrived for {_ms(passage.gap)} ms"
        if passage.floor is not None:
            line += f"; physics demands {_ms(passage.floor)} ms"
        lines.append(f"{line}. {_frames(passage.lost)} lost.")
    return "\n".join(lines)


def _what_happened(episode: Episode) -> str:
    move = episode.moves[0]
    gone, come = move.gone, move.come
    if len(episode.moves) > 1:
        gone, come = f"{gone} of both sides", f"{come} of both"
    match episode.kind:
        case "break before make":
            return (
                f"{gone} died; {_ms(episode.outage)} ms later {come} was usable "
                "(no software can shorten that)."
            )
        case "make before break" if episode.usable:
            return f"{come} came up {_ms(episode.down - episode.usable)} ms before {gone} died."
        case "make before break":
            return f"{gone} died; {come} had been up all along."
        case "link dies":
            return f"{gone} carried nothing any more, and nobody said so."
        case "way dies":
            return "A direct way died in one direction, and nobody said so."
        case "NAT forgets":
            return f"The NAT of {gone} forgot every mapping, and nobody said so."
        case "server dies":
            return "The server that relayed was killed, and nobody said so."


def table(passages: Sequence[Passage]) -> Table:
    """One row per direction and episode; several runs of the same are summed up in one."""
    result = Table(box=box.SIMPLE, title="medians in ms, in brackets the largest", title_style="")
    result.add_column("episode, direction")
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
    groups: dict[str, list[Passage]] = {}
    for passage in passages:
        groups.setdefault(f"{passage.episode.name}, {passage.course}", []).append(passage)
    for name, group in groups.items():
        result.add_row(name, *_figures(group))
    return result


def conduct(whole: Conduct) -> str:
    """How a call behaved as a whole."""
    return (
        f"{whole.switches} path selections, {100 * whole.duplicates:.2f} % of copies duplicates, "
        f"{100 * whole.undelivered:.2f} % of frames undelivered"
    )


def path_timeline(passages: Iterable[Passage]) -> str:
    """Which path first arrivals took, and from when on (milliseconds after the cut)."""
    lines = []
    for passage in passages:
        steps = ", ".join(f"{1000 * time:+.0f} ms {path}" for time, path in passage.timeline)
        lines.append(f"{passage.course}: {steps}")
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


def plot(passages: Sequence[Passage], frames: Mapping[str, Frames], file: Path) -> None:
    """Draw the arrivals around one episode, a panel per direction, coloured by path.

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
        episode = passage.episode
        if not episode.has_overlap:
            panel.axvspan(0, 1000 * episode.outage, color="#eeeeee", zorder=0)
        possible = 1000 * (episode.moment - episode.down)
        panel.axvline(possible, color="#999999", linewidth=0.8, zorder=1)
        begin, end = episode.down - PLOT_BEFORE, episode.moment + PLOT_AFTER
        by_path: dict[str, tuple[list[float], list[int]]] = {}
        for seq, (time, path) in frames[passage.course].arrived.items():
            if begin <= time <= end:
                times, seqs = by_path.setdefault(path, ([], []))
                times.append(1000 * (time - episode.down))
                seqs.append(seq)
        for path, (times, seqs) in by_path.items():
            colour = colours.setdefault(path, PATH_COLOURS[len(colours) % len(PATH_COLOURS)])
            panel.scatter(times, seqs, s=14, color=colour, label=path, zorder=2)
        floor = "" if passage.floor is None else f", floor {_ms(passage.floor)} ms"
        panel.set_title(f"{passage.course}: gap {_ms(passage.gap)} ms{floor}", loc="left")
        panel.set_ylabel("frame")
        panel.legend(loc="upper left", fontsize=8, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1][0].set_xlabel("arrival, ms after the cut (grey: no address at all)")
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
