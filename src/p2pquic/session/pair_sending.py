"""Which frames of ours go on which path of a call, and which go again.

every frame         on the selected path
in hot manner       and on the path that shares least with it
in doubt            and on every refuge, first of all what nobody has acknowledged yet
after a change      the newest unacknowledged one at once, the older ones a breath later, and
                    until the new path answers, on the refuges and on what is being tried out
lost                again, unless another copy travels
nothing to say      a small packet in a frame's place, so that silence means something

In lean manner there are no copies: where one would go, a small packet asks for an answer; and when
one is overdue on the selected path, frames leave by a refuge instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from p2pquic.core.events import Resilience
from p2pquic.core.frames import AUDIO_FLOW, FRAME_CADENCE, RESEND_WINDOW, Frame, FrameId
from p2pquic.core.path import PathAddress
from p2pquic.core.trace import Copy
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.recovery import INITIAL_RTT
from p2pquic.session.pair_flows import PairFlows, SentCopy
from p2pquic.session.pair_paths import PairPaths, owes_answer
from p2pquic.session.pair_trace import PairTrace

FRAME_OVERDUE = 1.75 * FRAME_CADENCE  # seconds without a frame: the source is silent, not late
MOST_REMEMBERED = 500  # frames and paths: all that leaves within the window, by many paths


class PairSending:
    """The sending half of one call; that there is a way out is the caller's to know."""

    def __init__(
        self,
        connection: MultipathConnection,
        flows: PairFlows,
        paths: PairPaths,
        trace: PairTrace,
        resilience: Resilience,
    ) -> None:
        self.resilience = resilience
        self._connection = connection
        self._flows = flows
        self._paths = paths
        self._trace = trace
        self._changed_at = -math.inf  # when a path took over from one that may be dead; if it had
        # answered before, since when
        self._speaks = False  # audio of ours has begun
        self._doubted_at: float | None = None  # since when the selected path is in doubt
        self._in_need = False  # the doubt lasts
        self._copied_until: dict[tuple[PathAddress, bool], float] = {}  # up to which frame, in this
        # doubt; a straw that proves itself begins anew
        self._beat_at: float | None = None  # when a small packet is due in a frame's place
        self._later: list[tuple[Frame, PathAddress, Copy]] = []
        self._later_at = math.inf
        self._left: dict[tuple[FrameId, PathAddress], float] = {}  # when it left there, in order
        self._repeats: dict[FrameId, float] = {}  # lost frames, and when each is to leave again

    @property
    def deadline(self) -> float | None:
        """When to call `tick`."""
        times = list(self._repeats.values())
        if self._later:
            times.append(self._later_at)
        if self._beat_at is not None:
            times.append(self._beat_at)
        return min(times, default=None)

    def send_new(self, frame: Frame, now: float) -> None:
        """A frame has just been produced. Of audio another one is to follow soon."""
        if frame.flow == AUDIO_FLOW:
            self._speaks = True
            self._beat_at = now + FRAME_OVERDUE
        others = self._others(now)
        self._send(frame, self._usual_way(frame, others, now), "first", now)
        self._copy(others, now, [frame] if self._doubted_at is None else None)

    def send_again(
        self, path: PathAddress, back: float, now: float, *, answers_since: float | None = None
    ) -> None:
        """Send what may have died before `path` took over; that is possible since `back`.

        The newest frame leaves before packets are built for the older ones. To an address that was
        never proved little may go: that is for new frames, and the older ones go elsewhere. A path
        that something arrived by since `answers_since` needs no copies beside it.
        """
        if answers_since is None:
            self._left.clear()  # the same path may lead another way now
        self._changed_at = now if answers_since is None else answers_since
        others = self._others(now)
        frames = self._not_on_their_way(self._flows.unacknowledged(back), path, now)
        is_spared = self._connection.is_limited(path) and others and self.resilience != "lean"
        self._later = []
        self._send_later([] if is_spared else frames[1:], path, "resend", now)
        if frames:
            self._send(frames[0], path, "resend", now)
            self._copy(others, now, frames)

    def look_after(self, before: PathAddress, now: float) -> None:
        """The path `before` still delivers, as far as anybody knows: ask again when it should have.

        Nothing newer will be acknowledged there, so no loss on it would ever be noticed.
        """
        answered = now + (self._connection.rtt(before) or INITIAL_RTT) + FRAME_OVERDUE
        for frame in self._flows.unacknowledged(now):
            can_wait = frame.due >= answered - RESEND_WINDOW
            self._repeats.setdefault(frame.id, answered if can_wait else now)

    def begin_doubt(self, now: float) -> None:
        """The selected path may be dead: what it has not delivered goes elsewhere too, at once."""
        self._doubted_at = now
        wider = self._paths.gain_legs()  # what left there lately did not leave by all of them
        self._left = {each: at for each, at in self._left.items() if each[1] not in wider}
        if not self._speaks:
            self._beat_at = now  # a pure receiver speaks as well: else nobody could answer it
        self._copy(self._paths.refuges(self._connection, now), now)

    def lasting_doubt(self, now: float) -> None:
        """No answer yet: now by whatever is open."""
        self._in_need = True
        self._copy(self._others(now), now)

    def survive_doubt(self, back: float, now: float) -> None:
        """The path lives: something that left at `back` got through.

        What left before may not have, nor what was sent elsewhere only.
        """
        self.end_doubt()
        frames = [
            frame
            for frame in self._flows.unacknowledged(back)
            if frame.due < back or (frame.id, self._selected) not in self._left
        ]
        self._send_later(frames, self._selected, "resend", now)

    def end_doubt(self) -> None:
        """Another path is selected, or the one in doubt lives."""
        self._doubted_at, self._in_need, self._copied_until = None, False, {}

    def send_lost(self, copy: SentCopy, path: PathAddress, now: float) -> None:
        """A copy of a frame got lost on a path: so that path lives, or is closed."""
        usual = self._connection.rtt(self._selected) or INITIAL_RTT
        again = self._flows.lost(copy, self._connection.rtt(path) or usual, now)
        if again is not None:
            self._repeats[copy.frame] = again
            self._repeat(now)

    def tick(self, now: float) -> None:
        """The deadline has come: the older frames, or a sign of life where a frame would be."""
        self._repeat(now)
        later, self._later = self._later, []
        for frame, path, copy in later:
            if path in self._connection.paths:
                self._send(frame, path, copy, now)
        if self._beat_at is not None and now >= self._beat_at:
            self._beat(now)

    def _beat(self, now: float) -> None:
        """Show a sign of life; a pure receiver only until the path in use is known to live."""
        if not self._speaks and self._doubted_at is None and not self._is_moving:
            self._beat_at = None
            return
        self._beat_at = now + FRAME_CADENCE
        for path in [self._selected, *self._others(now)]:
            self._connection.ping(path)

    def _repeat(self, now: float) -> None:
        """Send the lost frames again whose time has come."""
        for lost in [frame for frame, again in self._repeats.items() if again <= now]:
            del self._repeats[lost]
            frame = self._flows.outstanding(lost)
            if frame is not None:
                others = self._others(now)
                self._send(frame, self._usual_way(frame, others, now), "resend", now)
                self._copy(others, now, [frame])

    @property
    def _selected(self) -> PathAddress:
        path = self._connection.selected
        assert path is not None, "a confirmed connection has a path"
        return path

    @property
    def _is_moving(self) -> bool:
        """Whether nothing that left by the path in use since it took over is known to arrive."""
        return self._connection.answers(self._selected).arrived_from < self._changed_at

    def _others(self, now: float) -> list[PathAddress]:
        """The paths beside the selected one that a frame goes on now."""
        others: list[PathAddress] = []
        moving = self._is_moving
        if self._doubted_at is not None or moving:
            since = self._changed_at if self._doubted_at is None else self._doubted_at
            answering = self._paths.answering(self._connection, since, now)
            if answering is not None:
                others.append(answering)
            else:
                others += self._paths.refuges(self._connection, now)
                if self._in_need or moving:
                    others += self._paths.straws(self._connection)
        if self.resilience == "hot":
            others += self._paths.companion(self._connection, now)
        return [path for path in dict.fromkeys(others) if path != self._selected]

    def _usual_way(self, frame: Frame, others: Sequence[PathAddress], now: float) -> PathAddress:
        """Where a frame goes first: on the selected path, unless it is sent once and that is late.

        In lean manner, when an answer is overdue there, it goes where something of ours arrived
        since, else by the first refuge, and once that has taken too long, on each open path in
        turn until one of them answers. What nobody has acknowledged follows it.
        """
        selected, since = self._selected, self._doubted_at
        if self.resilience != "lean" or since is None:
            return selected
        if not others or not owes_answer(self._connection, selected, now):
            return selected
        way = self._paths.answering(self._connection, since, now)
        if way is None and self._in_need:
            ways = [selected, *others]
            return ways[frame.seq % len(ways)]
        way = way or others[0]
        self._connection.ping(selected)
        self._send_later(self._missed(way, False, now)[1:], way, "resend", now)
        return way

    def _copy(
        self, paths: Sequence[PathAddress], now: float, frames: Sequence[Frame] | None = None
    ) -> None:
        """Send copies of these frames by each path, or of what it missed; the newest first.

        In lean manner only ask whether the path answers.
        """
        if self.resilience == "lean":
            self._trace.hedging([])
            for path in paths:
                self._connection.ping(path)
            return
        self._trace.hedging(paths)
        is_known = any(self._paths.may_deliver(self._connection, path, now) for path in paths)
        for path in paths:
            newest_first = self._missed(path, is_known, now) if frames is None else frames
            newest_first = self._not_on_their_way(newest_first, path, now)
            if newest_first:
                self._send(newest_first[0], path, "duplicate", now)
                self._send_later(newest_first[1:], path, "duplicate", now)

    def _missed(self, path: PathAddress, is_known: bool, now: float) -> list[Frame]:
        """What nobody has acknowledged and has not gone there in this doubt; now it will.

        Where the refuge before answers no more, the next one gets all of it. A way of which nothing
        is known gets only what is new where something is known (`is_known`) of another; if it
        answers, it is taken, and gets the rest.
        """
        is_straw = is_known and not self._connection.is_validated(path)
        begins = now - FRAME_CADENCE if is_straw else -math.inf
        until = self._copied_until.get((path, is_straw), begins)
        self._copied_until[path, is_straw] = now
        return [frame for frame in self._flows.unacknowledged(now) if frame.due > until]

    def _not_on_their_way(
        self, frames: Sequence[Frame], path: PathAddress, now: float
    ) -> Sequence[Frame]:
        """Those that did not leave there within a round trip: an answer may still come."""
        since = now - (self._connection.rtt(path) or 0.0)
        return [frame for frame in frames if self._left.get((frame.id, path), -math.inf) <= since]

    def _send_later(
        self, frames: Sequence[Frame], path: PathAddress, copy: Copy, now: float
    ) -> None:
        """A breath later, that is: the newest frame is to leave before packets are built."""
        self._later += [(frame, path, copy) for frame in frames]
        self._later_at = now

    def _send(
        self,
        frame: Frame,
        path: PathAddress,
        copy: Copy,
        now: float,
    ) -> None:
        """Send a frame, unless it has just left on that path: several reasons may come together."""
        if now - self._left.get((frame.id, path), -math.inf) < FRAME_CADENCE:
            return
        self._left.pop((frame.id, path), None)
        self._left[frame.id, path] = now
        if len(self._left) > MOST_REMEMBERED:
            del self._left[next(iter(self._left))]
        self._flows.send(self._connection, frame, path, self._trace.name(path), copy, now)
