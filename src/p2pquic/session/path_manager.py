"""Which path a confirmed call takes, and what a change of it means.

    a socket came or went, a path answered,        the one rule in core.selector
    the other end chose, a punch got through  -->  ........................... --> select, announce,
    nothing comes through any more                 PairLiveness                    send again

A change of path is the next packet taking another way, and sending again, newest first, what may
have died on the way before. Whether the selected path still lives is asked after everything that
came or should have come.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from p2pquic.core.call_state import Path
from p2pquic.core.frames import FRAME_CADENCE, Frame
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.core.selector import Candidate, choose, is_ours_alone
from p2pquic.quic import events
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.direct_paths import DirectPaths
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_content import PairContent
from p2pquic.session.pair_liveness import Health, PairLiveness
from p2pquic.session.pair_paths import STEADY, PairPaths
from p2pquic.session.pair_sending import PairSending
from p2pquic.session.pair_trace import PairTrace
from p2pquic.session.relay_route import RelayRoute
from p2pquic.session.relay_routes import RelayRoutes

OWN_NEWS = FRAME_CADENCE  # seconds that the kernel's word of a new address may take; as below
SLOW_NEWS = 0.1  # seconds that word of a move may take; a frame too many is better than one lost
NEXT_LOOK = 1.0  # seconds after one look at the standing paths until another
MOST_LOOKS = 3  # at the standing paths after a change: a late answer makes one look slow, not fast


class PathManager:
    """The paths of one call, from the moment both ends are authenticated."""

    def __init__(
        self,
        config: PairConfig,
        connection: MultipathConnection,
        direct: DirectPaths,
        relays: RelayRoutes,
        paths: PairPaths,
        content: PairContent,
        trace: PairTrace,
    ) -> None:
        self.sending = PairSending(connection, content.flows, paths, trace, config.resilience)
        self._config = config
        self._connection = connection
        self._direct = direct
        self._relays = relays
        self._paths = paths
        self._media = content.media
        self._trace = trace
        self._liveness = PairLiveness(connection)
        self._yields = False  # to the other end, which insists on where the path in use leads
        self._cut_off = False  # since our sockets changed last, no path leads out
        self._look_around_at = math.inf  # when to ask the standing paths: one may be better now
        self._looks = 0  # that are left
        self._moved_at = -math.inf  # when the call took another path last
        self._back_at: float | None = None  # since when a path is possible again, none chosen yet

    @property
    def selected(self) -> PathAddress:
        """The path both ends speak on."""
        path = self._connection.selected
        assert path is not None, "a confirmed connection has a path"
        return path

    @property
    def can_send(self) -> bool:
        """Whether a packet on the selected path would leave this machine."""
        return self._paths.has_way_out(self.selected)

    def send_new(self, frame: Frame, now: float) -> bool:
        """Send a frame, if there is a way out; else a change may bring one in time."""
        if self.can_send:
            self.sending.send_new(frame, now)
        return self.can_send

    @property
    def doubted_since(self) -> float | None:
        """Since when the network may have changed without a word; None while all is well."""
        return self._liveness.doubted_since

    @property
    def in_need(self) -> bool:
        """Whether the doubt lasts, and nothing sent since it began was answered by any path."""
        since = self._liveness.doubted_since
        return (
            since is not None
            and self._liveness.health is not Health.DOUBTED
            and not any(
                self._connection.answers(path).arrived_from >= since
                for path in self._connection.paths
            )
        )

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, while there is a way out."""
        due = min(self._look_around_at, self._liveness.deadline(cadence=self._hears_cadence))
        sending = self.sending.deadline
        if sending is not None:
            due = min(due, sending)
        return None if due == math.inf else due

    # ---- what happens ------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """The deadline has come."""
        self.sending.tick(now)
        if now >= self._look_around_at:
            self._look_around(now)
        self.watch(now)

    def on_sockets(self, moved: Collection[RelayRoute], now: float) -> None:
        """Our sockets changed, or those on which the servers of the `moved` relays hear us."""
        self._look_around_at, self._looks = now + STEADY, MOST_LOOKS
        in_use = self.selected
        leg_moved = any(in_use == route.path for route in moved)
        is_back = self._cut_off and self.can_send
        if leg_moved or is_back or not self.can_send:
            self._back_at = now
            self._liveness.chosen(now)  # a doubt from before was about another world
            self.sending.end_doubt()
            self._try_blindly(now)
        if is_back and isinstance(in_use, DirectPath):
            self._doubt(in_use, now)  # who knows where the other end is by now
        if any(route.local is not None for route in moved):
            self._move_relays(moved, now)
        else:
            self.choose(now)
        if is_back and self.selected == in_use:
            self._after_change(in_use, in_use, back=now - OWN_NEWS, now=now)
        self._cut_off = not self.can_send
        self._close_dead_paths(now)

    def on_resumed(self, now: float) -> None:
        """The machine slept: the path in use is doubted until it shows that it lives."""
        self._liveness.resumed(now)
        self.watch(now)

    def on_punched(self, path: DirectPath, rtt: float, now: float) -> None:
        """A punch of ours was answered: the path works."""
        if not self._connection.is_validated(path) and self._direct.open(
            self._connection, path, rtt, now
        ):
            self._trace.validated(path, rtt)
            self.choose(now)

    def on_event(self, event: events.ConnectionEvent, now: float) -> None:
        """The connection has news of a path."""
        match event:
            case events.PathOpened(DirectPath() as path):
                self._direct.watch(path, now)
            case events.PathValidated(path, rtt):
                self._trace.validated(path, rtt)
                if isinstance(path, DirectPath):
                    self._direct.proved(path)
                self.choose(now)
            case events.PathProbed(path, rtt):
                self._trace.probed(path, rtt)
            case events.PathMoved(DirectPath() as old, DirectPath() as new):
                self._on_moved(old, new, now)
            case events.PathRetired(path):
                if isinstance(path, DirectPath):
                    self._direct.forget(path, now)
                self._trace.abandoned(path, "the other end gave it up")
                self.choose(now)
            case events.PathFollowed(path, before, insists):
                self._yields = insists
                self._on_followed(path, before, now)

    def watch(self, now: float) -> None:
        """Judge whether the selected path lives, and draw the consequences."""
        if not self.can_send:
            return
        turned = self._liveness.look(now, cadence=self._hears_cadence)
        match self._liveness.health:
            case Health.LIVES if turned:
                answers = self._connection.answers(self.selected)
                self.sending.survive_doubt(answers.arrived_from, now)
            case Health.DOUBTED if turned:
                reason = " and ".join(sorted(self._liveness.reasons))
                self._trace.suspected(self.selected, reason)
                for route in self._relays:
                    route.doubt(now)
                self.sending.begin_doubt(now)
            case Health.LASTING if turned:
                self._try_blindly(now)
                for path in self._connection.paths:
                    self._connection.challenge(path)
                self.sending.lasting_doubt(now)
            case Health.DEAD:
                self._bury(self.selected, now)
        self._bear_streams(now)

    def choose(self, now: float) -> None:
        """Apply the rule; change the path if it says so."""
        choice = choose(
            self.selected,
            self._candidates(now),
            leads=self._config.is_client,
            sends_once=self._sends_once,
            yields=self._yields,
            at_rest=now >= self._moved_at + STEADY,
        )
        if choice is None:
            return
        is_cut = not self.can_send
        self._change(choice.path, choice.reason, now, insists=choice.insists)
        if is_cut and self._sends_once and isinstance(choice.path, RelayPath):
            self._doubt_standbys(now)

    def paths(self) -> list[Path]:
        """Every open path, as an application sees it."""
        return [
            Path(
                self._trace.name(path),
                path.kind,
                self._paths.interface_of(path),
                str(path.remote if isinstance(path, DirectPath) else path.server),
                self._connection.rtt(path),
                self._connection.is_validated(path),
                path == self.selected,
                str(path) == self._paths.pinned,
                id=str(path),
            )
            for path in self._connection.paths
        ]

    def pin(self, path_id: str, now: float) -> None:
        """Prefer the path of this id while it lives, to all others; "" for the usual rule."""
        self._paths.pinned = path_id
        for path in self._of_id(path_id):
            self._connection.challenge(path)  # it may have stood by for long
        self.choose(now)

    def probe(self, path_id: str) -> None:
        """Measure the open path of this id; `PathProbed` is the answer, if there is one."""
        for path in self._of_id(path_id):
            self._connection.probe(path)

    # ---- what follows ------------------------------------------------------------------------

    def _of_id(self, path_id: str) -> list[PathAddress]:
        """The open path of this id, if there is one."""
        return [path for path in self._connection.paths if str(path) == path_id]

    @property
    def _sends_once(self) -> bool:
        return self.sending.resilience == "lean"

    def _candidates(self, now: float) -> list[Candidate]:
        return self._paths.candidates(
            self._connection,
            self._liveness.doubted_since,
            now,
            fresh_from=self._liveness.last_doubted_at,
            sends_once=self._sends_once,
        )

    @property
    def _hears_cadence(self) -> bool:
        return self._config.receives and self._media.hears

    def _look_around(self, now: float) -> None:
        """Ask every path how it is, and again soon while the kernel would rather use another."""
        for path in self._connection.paths:
            self._connection.challenge(path)
        self._looks -= 1
        is_done = not self._looks or self._paths.is_by_favourite(self.selected, now)
        self._look_around_at = math.inf if is_done else now + NEXT_LOOK

    def _change(self, path: PathAddress, reason: str, now: float, *, insists: bool = False) -> None:
        """Take this path from the next packet on, and tell the other end."""
        before, since = self.selected, self._liveness.doubted_since
        if self._connection.select(path, insists=insists):
            self._yields = self._yields and is_ours_alone(before, path)
            self._trace.selected(path, reason)
            back, self._back_at = self._back_at or now, None
            answered = self._connection.answers(path).arrived_from
            answers_since = since if since is not None and answered >= since else None
            if answers_since is not None:  # the answer took its time to tell
                back = min(back, answered)
            self._after_change(
                before, path, back=back - OWN_NEWS, answers_since=answers_since, now=now
            )

    def _on_followed(self, path: PathAddress, before: PathAddress, now: float) -> None:
        """The other end chose. If our half of its choice is gone, answer with one of ours."""
        if path not in self._connection.paths:
            return  # it has moved or been given up since; another event says so
        self._trace.selected(path, "the other end chose it")
        if isinstance(before, DirectPath) and before != path:
            self._doubt(before, now)  # it may be dead in the direction that only they can see
        news = max(SLOW_NEWS, self._connection.rtt(path) or 0.0)
        if before != path or isinstance(path, RelayPath):  # the relay again is another leg of it
            self._after_change(before, path, back=now - news, now=now)
        if not self._paths.has_way_out(path):
            self.choose(now)

    def _on_moved(self, old: DirectPath, new: DirectPath, now: float) -> None:
        """The other end's NAT gave a path another address there."""
        self._trace.abandoned(old, f"it goes on as {new}")
        self._direct.renamed(old, new, now)
        if self.selected == new:
            self._trace.selected(new, "the other end's NAT gave it another address")
            self._after_change(old, new, back=now - SLOW_NEWS, now=now)

    def _after_change(
        self,
        before: PathAddress,
        path: PathAddress,
        *,
        back: float,
        answers_since: float | None = None,
        now: float,
    ) -> None:
        """Send again what may have died on the path before; the new one works since `back`.

        A change from the relay to a direct path is for the better: the relay still delivers.
        """
        self._moved_at = now
        nothing_died = isinstance(path, DirectPath) and isinstance(before, RelayPath)
        if self._liveness.doubted_since is not None:
            for route in self._relays:
                route.doubt(now)  # the doubt may have been about our leg, and is not answered
        self._liveness.chosen(now)
        self.sending.end_doubt()
        self._close_dead_paths(now)
        if nothing_died:
            self.sending.look_after(before, now)
            return
        self._connection.send_streams_again(before)
        if self._paths.has_way_out(path):
            self.sending.send_again(path, back, now, answers_since=answers_since)

    def _bury(self, path: PathAddress, now: float) -> None:
        """Leave a path that is dead, if another one is known to live.

        A path that still brings the other end's packets is dead in our direction alone. Then ours
        go on by another, and theirs stay on the faster path: to leave it would be heard.
        """
        since = self._liveness.doubted_since
        is_heard = since is not None and self._connection.answers(path).heard_at > since
        if is_heard:
            return
        others = [candidate for candidate in self._candidates(now) if candidate.path != path]
        choice = choose(path, others, leads=self._config.is_client)
        if choice is None:
            return
        if isinstance(path, DirectPath):
            self._doubt(path, now)
        else:
            self._relays.doubt(self._connection, path, now)
        self._change(choice.path, "nothing comes through the path before", now)

    def _bear_streams(self, now: float) -> None:
        """Bulk is not sent twice: while the doubt lasts it takes whatever path answers."""
        since = self._liveness.doubted_since
        if since is None or self._liveness.health is Health.DOUBTED:
            self._connection.bear_streams_on(None)
        elif self._connection.streams_on == self.selected:
            way = self._paths.answering(self._connection, since, now)
            if way is not None:
                self._connection.bear_streams_on(way)
                self._connection.send_streams_again(self.selected)

    def _doubt_standbys(self, now: float) -> None:
        """What stood by may have died in silence; each direct path has to prove itself anew."""
        for path in self._connection.paths:
            if isinstance(path, DirectPath) and self._connection.is_validated(path):
                self._doubt(path, now)

    def _doubt(self, path: DirectPath, now: float) -> None:
        """Take the proof of a path back; it is soon proved again, or closed."""
        if path in self._connection.paths:
            self._connection.doubt(path)
            self._direct.doubted(path, now)

    def _move_relays(self, moved: Collection[RelayRoute], now: float) -> None:
        """Servers hear us elsewhere: measure that, padded to 1200 bytes, and say so.

        On an unproved leg a server may send us no more than three times what it got.
        """
        for route in moved:
            if route.path in self._connection.paths:
                self._connection.challenge(route.path)
        before = self.selected
        self.choose(now)
        if before == self.selected and any(before == route.path for route in moved):
            self._change(before, "the relay hears us elsewhere", now)

    def _close_dead_paths(self, now: float) -> None:
        """Give up every path whose socket is gone, so that its connection ids come free."""
        for path in self._connection.paths:
            if (
                isinstance(path, DirectPath)
                and path.local not in self._paths.sockets
                and path != self.selected
            ):
                self._connection.close_path(path, now)
                self._direct.forget(path, now)
                self._trace.abandoned(path, "its address is gone")

    def _try_blindly(self, now: float) -> None:
        """By ways on which nothing is known to live, as far as the relay alone is not asked for."""
        if self._config.relay != "only":
            self._direct.try_blindly(self._connection, self._paths.sockets, now)
