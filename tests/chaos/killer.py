"""Kills processes as a power cut would, one after another, and starts them again.

With freezes it also lets those who lead stand still for longer than a lease lasts: they come back
believing that they still lead, while a standby has taken over.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

from tests.support.installation import STANDBY, Installation
from tests.support.server import Server

PAUSE_S = (0.6, 1.4)
FREEZE_S = (6.0, 13.0)  # leases last three or five; who stands in a transaction is cut off at nine
FROZEN = 0.2  # of all misfortunes, where there are freezes
WRITER = "ledger-writer"  # frozen once more in every round: there the fence matters most
_LOOK_EVERY_S = 0.1


class Killer:
    """Goes on until told to end; whoever it killed runs again then."""

    def __init__(
        self, installation: Installation, seed: str, *, kills_min: int, with_freezes: bool
    ) -> None:
        self.kills: Counter[str] = Counter()
        self.freezes: Counter[str] = Counter()
        self.deserters: list[str] = []  # ended by themselves
        self._installation = installation
        self._targets = {**installation.processes, **installation.stores}
        self._seed = seed
        self._kills_min = kills_min
        self._with_freezes = with_freezes
        self._patience = Random(f"{seed}/freezes")
        self._thaw_at_s: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")
        self._errors: list[BaseException] = []

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Come back when there were enough kills and everybody runs and answers."""
        self._ending.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def schedule(self) -> Iterator[tuple[str, bool, float]]:
        """Who is next, whether it is frozen, and after what pause; everybody once a round."""
        chance = Random(f"{self._seed}/kills")
        while True:
            names = list(self._targets)
            chance.shuffle(names)
            for name in names:
                is_frozen = chance.random() < FROZEN and name in self._installation.processes
                yield name, is_frozen and self._with_freezes, chance.uniform(*PAUSE_S)
            if self._with_freezes and WRITER in names:
                yield WRITER, True, chance.uniform(*PAUSE_S)

    def _run(self) -> None:
        try:
            for name, is_frozen, pause_s in self.schedule():
                self._wait(pause_s)
                if self._ending.is_set() and self.kills.total() >= self._kills_min:
                    break
                if is_frozen:
                    self._freeze(name)
                else:
                    self._kill(name)
            self._wait(max([*self._thaw_at_s.values(), 0.0]) - time.monotonic())
            for server in self._targets.values():
                server.wait_until_ready()
        except BaseException as error:
            self._errors.append(error)

    def _freeze(self, name: str) -> None:
        name = self._who_leads(name)
        if name not in self._thaw_at_s:
            self._targets[name].freeze()
            self._thaw_at_s[name] = time.monotonic() + self._patience.uniform(*FREEZE_S)
            self.freezes[name] += 1

    def _who_leads(self, name: str) -> str:
        """Of a process and its standby the one that owns something, by the process id it gave."""
        service = name.partition("-")[0]
        pair = [name.removesuffix(STANDBY), f"{name.removesuffix(STANDBY)}{STANDBY}"]
        owners = self._installation.owners(service)
        leading = (
            each
            for each in pair
            if each in self._targets
            and self._targets[each].is_running
            and any(owner.endswith(f"/{self._targets[each].pid}") for owner in owners)
        )
        return next(leading, name)

    def _kill(self, name: str) -> None:
        server = self._targets[name]
        server.kill()
        self._thaw_at_s.pop(name, None)
        self.kills[name] += 1
        server.launch()
        if name in self._installation.stores or len(self._targets) == 1:
            server.wait_until_ready()

    def _wait(self, pause_s: float) -> None:
        """Meanwhile thaw who is due, and restart, as a container engine does, who ended."""
        until_s = time.monotonic() + pause_s
        while True:
            for name, server in self._targets.items():
                self._look_after(name, server)
            if time.monotonic() > until_s:
                return
            time.sleep(_LOOK_EVERY_S)

    def _look_after(self, name: str, server: Server) -> None:
        if self._thaw_at_s.get(name, float("inf")) < time.monotonic():
            del self._thaw_at_s[name]
            server.thaw()
        if not server.is_running:
            self.deserters.append(f"{name}: {server.last_words()}")
            server.kill()  # nothing is left of it but our note of its pid
            server.launch()
