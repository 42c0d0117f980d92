"""Kills processes as a power cut would, one after another, and starts them again."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

from tests.support.installation import Installation
from tests.support.server import Server

PAUSE_S = (0.6, 1.4)
_LOOK_EVERY_S = 0.1


class Killer:
    """Goes on until told to end; whoever it killed runs again then."""

    def __init__(self, installation: Installation, seed: str, *, kills_min: int) -> None:
        self.kills: Counter[str] = Counter()
        self.deserters: list[str] = []  # ended by themselves
        self._installation = installation
        self._targets = {**installation.processes, **installation.stores}
        self._seed = seed
        self._kills_min = kills_min
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

    def schedule(self) -> Iterator[tuple[str, float]]:
        """Who is next, and after what pause: everybody once, in a new order each round."""
        chance = Random(f"{self._seed}/kills")
        while True:
            names = list(self._targets)
            chance.shuffle(names)
            for name in names:
                yield name, chance.uniform(*PAUSE_S)

    def _run(self) -> None:
        try:
            for name, pause_s in self.schedule():
                self._wait(pause_s)
                if self._ending.is_set() and self.kills.total() >= self._kills_min:
                    break
                self._kill(name)
            for name, server in self._targets.items():
                self._revive(name, server)
                server.wait_until_ready()
        except BaseException as error:
            self._errors.append(error)

    def _kill(self, name: str) -> None:
        server = self._targets[name]
        self._revive(name, server)  # only what runs can be killed
        server.kill()
        self.kills[name] += 1
        server.launch()
        if name in self._installation.stores or len(self._targets) == 1:
            server.wait_until_ready()

    def _wait(self, pause_s: float) -> None:
        """Meanwhile do what a container engine does: restart what ended by itself."""
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s:
            for name, server in self._targets.items():
                self._revive(name, server)
            time.sleep(_LOOK_EVERY_S)

    def _revive(self, name: str, server: Server) -> None:
        if not server.is_running:
            self.deserters.append(f"{name}: {server.last_words()}")
            server.kill()  # nothing is left of it but our note of its pid
            server.launch()
