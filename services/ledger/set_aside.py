"""What is set aside, as one batch knows it: holds, read when asked for, written at the end.

They follow from the log alone: `note` takes in any event, also one that is read again.
"""

from __future__ import annotations

from dataclasses import replace

from services.ledger.domain.events import (
    Event,
    PointsCaptured,
    PointsHeld,
    PointsReleased,
    Release,
)
from services.ledger.intake import key_of
from services.ledger.store.holds import Hold, State, load_holds, save_holds
from services.ledger.wire import Story
from services.runtime.database import Connection

_AFTER_RELEASE = {Release.ASKED: State.RELEASED, Release.EXPIRED: State.EXPIRED}


class SetAside:
    """What a batch has read of holds, and what it changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._holds: dict[bytes, Hold | None] = {}
        self._changed: dict[bytes, Hold] = {}

    def get(self, hold: bytes) -> Hold | None:
        """A hold by its command, open or not."""
        if hold not in self._holds:
            self._holds[hold] = load_holds(self._connection, [hold]).get(hold)
        return self._holds[hold]

    def note(self, event: Event, story: Story, position: int) -> None:
        """Take in what an event says of a hold, if it does."""
        match event:
            case PointsHeld():
                assert story.member is not None, "points belong to a member"
                new = Hold(
                    hold=key_of(story.merchant, "hold", event.hold),
                    merchant=story.merchant,
                    id=event.hold,
                    member=story.member,
                    expires_at=event.expires_at,
                    state=State.OPEN,
                    position=position,
                )
                self._put(new)
            case PointsCaptured():
                self._end(event, story, State.CAPTURED)
            case PointsReleased(reason=reason) if reason in _AFTER_RELEASE:
                self._end(event, story, _AFTER_RELEASE[reason])
            case _:
                pass

    def write(self) -> None:
        """Put down what changed."""
        if self._changed:
            save_holds(self._connection, self._changed.values())

    def _end(self, event: PointsCaptured | PointsReleased, story: Story, state: State) -> None:
        found = self.get(key_of(story.merchant, "hold", event.hold))
        assert found is not None, f"no hold {event.hold}"
        assert found.state is State.OPEN, f"hold {event.hold} is {found.state}"
        self._put(replace(found, state=state))

    def _put(self, hold: Hold) -> None:
        self._holds[hold.hold] = self._changed[hold.hold] = hold
