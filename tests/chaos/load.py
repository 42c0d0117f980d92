"""Clients that send their bags, over REST and straight onto Kafka, whatever happens meanwhile."""

import threading
import time
from collections.abc import Callable, Sequence
from random import Random

import httpx
from kafka.errors import KafkaError

from tests.chaos.commands import Client, Command, garbage
from tests.chaos.journal import ACCEPTED, DECLINED, RECORDED, Attempt, Journal
from tests.support.installation import Installation
from tests.support.kafka_door import KafkaDoor

CLIENTS = 6
PAUSE_S = 0.02
RETRY_PAUSE_S = 0.1
GIVE_UP_AFTER_S = 30.0
_NOBODY_KNOWS = (502, 503, 504)


class Load:
    """Many clients at once, until they are told to end."""

    def __init__(self, installation: Installation, journal: Journal, seed: str) -> None:
        self._installation = installation
        self._journal = journal
        self._seed = seed
        self._ending = threading.Event()
        self._given_up = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def begin(self) -> None:
        for number in range(CLIENTS):
            self._hire(self._use_rest, f"c{number}")
        if self._installation.kafka_url is not None:
            self._hire(self._use_kafka, "k0")

    def end(self) -> None:
        """Draw no more; come back when everybody has sent what they will not give up.

        By now everything runs: who is still not acknowledged after half a minute never will be.
        """
        self._ending.set()
        give_up_at_s = time.monotonic() + GIVE_UP_AFTER_S
        for thread in self._threads:
            thread.join(max(0.0, give_up_at_s - time.monotonic()))
        self._given_up.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _hire(self, work: Callable[[Client], None], name: str) -> None:
        def run() -> None:
            try:
                work(Client(name, self._seed))
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run, name=name)
        thread.start()
        self._threads.append(thread)

    def _use_rest(self, client: Client) -> None:
        with self._installation.client() as http:
            self._send_bags(client, lambda command: self._put(http, command))

    def _use_kafka(self, client: Client) -> None:
        assert self._installation.kafka_url is not None
        chance = Random(f"{self._seed}/garbage")
        door = KafkaDoor(self._installation.kafka_url)
        try:
            self._send_bags(client, lambda command: self._produce(door, command, chance))
        finally:
            door.close()

    def _send_bags(self, client: Client, send: Callable[[Command], None]) -> None:
        bags = client.bags()
        while not self._ending.is_set():
            bag = next(bags)
            for command in bag:
                send(command)
                if self._given_up.wait(0 if self._ending.is_set() else PAUSE_S):
                    return
            self._insist(client, bag, send)

    def _insist(
        self, client: Client, bag: Sequence[Command], send: Callable[[Command], None]
    ) -> None:
        """Send again what was not acknowledged; a few clients forget about it instead."""
        for command in bag:
            line = self._journal.line(command)
            if line.is_acknowledged or not client.is_patient():
                continue
            while not line.is_acknowledged:
                if self._given_up.wait(RETRY_PAUSE_S):
                    self._journal.surprises.append(f"{line.label}: never acknowledged")
                    break
                send(command)

    def _put(self, http: httpx.Client, command: Command) -> None:
        with self._journal.sending(command) as attempt:
            try:
                answer = http.put(
                    command.path,
                    json=command.content,
                    headers={"Stampbook-Merchant": command.merchant},
                )
            except httpx.TransportError:
                return
            self._note(attempt, command, answer)

    def _note(self, attempt: Attempt, command: Command, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in _NOBODY_KNOWS:
            return
        if status in (200, 202) and answer.json()["outcome"] in (RECORDED, ACCEPTED):
            attempt.answer = answer.json()["outcome"]
        elif status == 409 and answer.json()["code"] != "id-reused":
            attempt.answer = DECLINED
        else:
            surprise = f"{command.type} {command.id}: {status} {answer.text[:300]}"
            self._journal.surprises.append(surprise)

    def _produce(self, door: KafkaDoor, command: Command, chance: Random) -> None:
        with self._journal.sending(command) as attempt:
            try:
                door.send([(command.member.encode(), command.message)])
            except KafkaError:
                return
            attempt.answer = ACCEPTED
        if chance.random() < 0.1:
            self._litter(door, command, chance)

    def _litter(self, door: KafkaDoor, command: Command, chance: Random) -> None:
        """Rubbish among the commands of a member, in the very same partition."""
        message = garbage(chance)
        self._journal.garbage_sent.add(message)
        try:
            [sent] = door.send([(command.member.encode(), message)])
        except KafkaError:
            return
        self._journal.garbage.append((sent.partition, sent.offset, message))
