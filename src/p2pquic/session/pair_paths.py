"""The paths of one call at this moment: what could carry a packet, and what goes by what.

MultipathConnection --+
                      +-- PairPaths: candidates for the rules in core.selector
RelayRoutes ----------+
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from p2pquic.core.actions import SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.liveness import is_mute, is_overdue, keeps_answering
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.selector import Candidate, best_of, companions
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.recovery import INITIAL_RTT
from p2pquic.session.relay_legs import MOST_SELECTED
from p2pquic.session.relay_route import RelayRoute
from p2pquic.session.relay_routes import RelayRoutes

FRESH = 1.5  # seconds for which a sign of life is believed where nothing forces a change
STEADY = 2.0  # seconds that an interface has to stay before the kernel's liking for it counts: one
# that comes and goes should not take the call along each time
LEG_DOUBT = 10.0  # seconds until a relay leg that found no answer is relied on alone again
MOST_STRAWS = 2  # paths; every frame goes on each of them as long as nothing answers


class PairPaths:
    """Looks at sockets, connection and relays together; changes nothing but the relays' legs."""

    def __init__(self, relays: RelayRoutes, preference: InterfacePreference = INDIFFERENT) -> None:
        self.sockets: tuple[LocalSocket, ...] = ()
        self.pinned = ""  # the name of a path that the application wants while it lives
        self._came: dict[str, float] | None = None  # when each interface did, the first long ago
        self._preference = preference
        self._relays = relays

    def use(self, sockets: Sequence[LocalSocket], now: float) -> None:
        """These are our open sockets now, preferred first."""
        self.sockets = tuple(sockets)
        before, newcomer = ({}, -math.inf) if self._came is None else (self._came, now)
        self._came = {each.interface: before.get(each.interface, newcomer) for each in sockets}

    def has_way_out(self, path: PathAddress | None) -> bool:
        """Whether a packet sent on the path now would leave this machine."""
        if isinstance(path, DirectPath):
            return path.local in self.sockets
        return path is not None and self._relays.of(path).is_ready

    def interface_of(self, path: PathAddress) -> str:
        """The interface by which packets on the path leave; of several legs the preferred one."""
        if isinstance(path, DirectPath):
            return path.local.interface
        return self._relays.of(path).interface

    def candidates(
        self,
        connection: MultipathConnection,
        doubted_since: float | None,
        now: float,
        *,
        fresh_from: float = -math.inf,
        sends_once: bool = False,
    ) -> list[Candidate]:
        """Every open path by which a packet could leave.

        While the path in use is doubted, the proof of any other has to be younger than the doubt,
        and no answer overdue: a path that was proved minutes ago may have died with it. For whoever
        `sends_once`, to be heard by the other end there is the only proof. What showed nothing
        since `fresh_from`, where the last doubt began, may have died with what was doubted. A relay
        that does not answer is as far away as can be, so that any other comes before it.
        """
        steady = self._steady_interfaces(now)
        shown = _arrived_from if sends_once else _answered
        return [
            Candidate(
                path,
                connection.is_validated(path)
                and (
                    doubted_since is None
                    or path == connection.selected
                    or (
                        shown(connection, path) > doubted_since
                        and not owes_answer(connection, path, now)
                    )
                ),
                None
                if self._relays.is_silent(connection, path, now)
                else connection.rtt_at_rest(path, now),
                _answered(connection, path) >= max(fresh_from, now - FRESH)
                and not owes_answer(connection, path, now),
                interface := self.interface_of(path),
                self._preference.order(interface),
                self._preference.avoids(interface),
                str(path) == self.pinned,
                place=steady.get(interface, len(steady)),
            )
            for path in connection.paths
            if self.has_way_out(path)
        ]

    def is_by_favourite(self, path: PathAddress, now: float) -> bool:
        """Whether the path leaves by that of our steady interfaces which the kernel likes best."""
        interface = self.interface_of(path)
        return interface == next(iter(self._steady_interfaces(now)), interface)

    def _steady_interfaces(self, now: float) -> dict[str, int]:
        """Their places in the kernel's order, without those that have only just come."""
        came = self._came or {}  # in the order of the sockets
        steady = [name for name, since in came.items() if now >= since + STEADY]
        return {name: place for place, name in enumerate(steady)}

    def companion(self, connection: MultipathConnection, now: float) -> list[PathAddress]:
        """The one path that shares least with the selected one, if there is any."""
        return self._companions(connection, now)[:1]

    def answering(
        self, connection: MultipathConnection, since: float, now: float
    ) -> PathAddress | None:
        """The best path beside the selected one that delivers since then, and goes on to.

        Something of ours sent after `since` has arrived there. That the other end is heard by a
        path says nothing of our direction.
        """
        answering = [
            each
            for each in self.candidates(connection, None, now)
            if each.proven
            and each.path != connection.selected
            and keeps_answering(
                connection.answers(each.path),
                since,
                connection.rtt(each.path) or INITIAL_RTT,
                now,
            )
        ]
        return best_of(answering).path if answering else None

    def refuges(self, connection: MultipathConnection, now: float) -> list[PathAddress]:
        """Where copies go while the selected path is in doubt and no other is known to deliver.

        The companion, and a relay. A relay path in doubt is its own refuge when it has another leg.
        """
        others = self._companions(connection, now)
        selected = connection.selected
        if isinstance(selected, RelayPath) and len(self.sockets) > 1:
            others.append(selected)
        relays = [path for path in others[1:] if isinstance(path, RelayPath)]
        return others[:1] + relays[:1] or self.straws(connection)

    def may_deliver(self, connection: MultipathConnection, path: PathAddress, now: float) -> bool:
        """Whether the path was proved and, a relay, its server answers."""
        silent = self._relays.is_silent(connection, path, now)
        return connection.is_validated(path) and not silent

    def straws(self, connection: MultipathConnection) -> list[PathAddress]:
        """What is left to clutch at when no refuge answers: open paths of which nothing is known.

        They were just opened, or one of them lives in our direction alone, which only
        acknowledgements can tell. Each address of the other end comes before a second way to one.
        """
        unknown = [
            path
            for path in connection.paths
            if path != connection.selected
            and self.has_way_out(path)
            and not connection.is_validated(path)
        ]
        ways = Counter[SocketAddress | None]()
        ranks = {}
        for path in unknown:
            remote = path.remote if isinstance(path, DirectPath) else None
            ranks[path] = ways[remote]
            ways[remote] += 1
        return sorted(unknown, key=ranks.__getitem__)[:MOST_STRAWS]

    def choose_legs(
        self, connection: MultipathConnection, *, hot: bool, doubted: bool, now: float
    ) -> None:
        """Have the frames of each relay leave from the sockets they should leave from now.

        In hot manner the leg beside the selected path carries the call if that dies: so it is
        doubted itself as soon as it finds no answer.
        """
        for route in self._relays:
            if hot and self.is_mute(route, connection, now):
                route.leg_doubted_until = now + LEG_DOUBT
            doubtful = doubted or now < route.leg_doubted_until
            alone = not hot or self.is_alone(route, connection)
            selected = connection.selected
            route.use(self.legs(route, selected, hot=hot, doubtful=doubtful, alone=alone))

    def gain_legs(self) -> list[PathAddress]:
        """The relays that take other legs as well as soon as the call is in doubt."""
        return [
            route.path
            for route in self._relays
            if route.path is not None
            and route.local is not None
            and route.legs_in_use <= len(self._other_legs(route))
        ]

    def show_legs(self) -> list[SendDatagram]:
        """Let each server know the legs that stand by."""
        return [send for route in self._relays for send in route.show(self.standby_legs(route))]

    def legs(
        self,
        route: RelayRoute,
        selected: PathAddress | None,
        *,
        hot: bool,
        doubtful: bool,
        alone: bool = True,
    ) -> Sequence[LocalSocket]:
        """The sockets that frames of a relay should leave from, preferred first.

        In doubt, of the selected path or of the leg, all of them. In hot manner the relay beside
        the selected path leaves by another interface than that, and the selected one by two if it
        is the only relay that lives (`alone`).
        """
        usual = route.local
        if usual is None:
            return ()
        calm = not doubtful and route.usual_leg_lives
        if calm and not hot:
            return (usual,)
        others = self._other_legs(route)
        if not calm:
            return (usual, *others)
        if selected is None or selected == route.path:
            return (usual, *others[:1]) if alone else (usual,)
        taken = self.interface_of(selected)
        apart = [each for each in (usual, *others) if each.interface != taken]
        return (apart or [usual])[:1]

    def is_alone(self, route: RelayRoute, connection: MultipathConnection) -> bool:
        """Whether no relay of another server lives, as far as anybody knows."""
        return not any(
            other.path is not None and other.server_answers and connection.is_validated(other.path)
            for other in self._relays
            if other is not route
        )

    def is_mute(self, route: RelayRoute, connection: MultipathConnection, now: float) -> bool:
        """Whether what was sent by a relay finds no answer: its leg may be dead."""
        path = route.path
        return path in connection.paths and is_mute(connection.answers(path), now)

    def standby_legs(self, route: RelayRoute) -> list[LocalSocket]:
        """A socket of each interface by which its frames could leave, but usually do not."""
        return [] if route.local is None else self._other_legs(route)[: MOST_SELECTED - 1]

    def _other_legs(self, route: RelayRoute) -> list[LocalSocket]:
        """One socket of each other interface, then the other family of the usual one.

        An interface may lose one family and keep the other; two of one that is spare are one.
        """
        usual = route.local
        assert usual is not None
        legs: dict[str, LocalSocket] = {}
        for each in self.sockets:
            is_usual = each.interface == usual.interface and each.family == usual.family
            if not is_usual and route.reaches(each):
                legs.setdefault(each.interface, each)
        return sorted(legs.values(), key=lambda each: each.interface == usual.interface)

    def _companions(self, connection: MultipathConnection, now: float) -> list[PathAddress]:
        """The best first; those that got no answer lately last, and each of these in its turn."""
        selected = connection.selected
        if selected is None:
            return []
        candidates = self.candidates(connection, None, now)
        ordered = companions(selected, self.interface_of(selected), candidates)

        def silence(path: PathAddress) -> float:
            answers = connection.answers(path)
            return answers.sent_at if is_mute(answers, now) else -math.inf

        return sorted(ordered, key=silence)


def _answered(connection: MultipathConnection, path: PathAddress) -> float:
    """When the path last showed that it lives."""
    answers = connection.answers(path)
    return max(answers.heard_at, answers.answered_at)


def _arrived_from(connection: MultipathConnection, path: PathAddress) -> float:
    """When the newest packet left by it that is known to have arrived."""
    return connection.answers(path).arrived_from


def owes_answer(connection: MultipathConnection, path: PathAddress, now: float) -> bool:
    """Whether something that was sent on the path should have been acknowledged by now."""
    return is_overdue(connection.answers(path), connection.rtt(path) or INITIAL_RTT, now)
