"""From the log to the receiver: everything, signed, in order per member, whatever happens there."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import pairwise

from aiohttp import web

from services.notify.domain.endpoints import Ordering
from services.notify.store import turns
from tests.support.eventually import eventually
from tests.support.post import Post
from tests.support.receiver import Call, Receiver, broken, ok

SHORT = timedelta(milliseconds=300)


def test_sends_the_events_of_the_log_signed(post: Post, receiver: Receiver) -> None:
    with post.open():
        secret = post.put("till", receiver.url())
        events = post.record("1130", "7", None, "1130")
        eventually(lambda: len(receiver.got()) == 4)

    assert {c.id for c in receiver.got()} == {e["id"] for e in events}
    assert all(c.is_signed_with(secret) for c in receiver.got())
    assert all(c.headers["content-type"] == "application/json" for c in receiver.got())
    assert [c.event for c in sorted(receiver.got(), key=lambda c: c.position)] == events


def test_a_merchant_gets_what_concerns_it_and_the_operator_everything(
    post: Post, receiver: Receiver
) -> None:
    with post.open():
        post.put("a", receiver.url("/grocer"), "points.*")
        post.put("a", receiver.url("/baker"), owner="baker")
        post.put("a", receiver.url("/operator"), "purchase.recorded", "points.expired", owner="")
        post.put("b", receiver.url("/other"), "programme.*", owner="")
        post.record("1130", merchant="grocer")
        post.record("1130", merchant="baker")
        post.record("1130", merchant="grocer", name="purchase.recorded")
        eventually(lambda: len(receiver.calls) == 5)

    assert receiver.positions("/grocer") == [1]
    assert receiver.positions("/baker") == [2]
    assert receiver.positions("/operator") == [1, 2, 3]


def test_what_nobody_wants_leaves_no_row(post: Post, receiver: Receiver) -> None:
    with post.projecting():
        post.put("a", receiver.url(), "programme.*")
        post.record(*["1130", "7"] * 50)
        eventually(lambda: post.projector.lag() == 0)

    with post.database.read() as connection:
        assert connection.rows("SELECT count(*) FROM deliveries") == [(0,)]
        assert connection.rows("SELECT count(*) FROM lines") == [(0,)]


def test_an_endpoint_begins_at_the_end_of_the_log(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.record("1130", "7")
        eventually(lambda: post.projector.lag() == 0)
        post.put("till", receiver.url())
        post.record("1130", "7")
        eventually(lambda: len(receiver.got()) == 2)

    assert sorted(receiver.positions()) == [3, 4]


def test_begins_at_the_end_of_the_log_even_if_the_projector_is_far_behind(
    post: Post, receiver: Receiver
) -> None:
    post.record(*["1130", "7", "8"] * 100)
    with post.projecting():
        # The replayer has seen where the topic ends long before the projector gets there.
        eventually(lambda: _ends_seen(post) == 300)
    post.put("till", receiver.url())
    with post.database.write() as connection:  # as if nothing had been read yet
        connection.execute("DELETE FROM positions")
        connection.execute("UPDATE feed SET next_offset = 0, last_position = 0")
    with post.open():
        post.record("1130")
        eventually(receiver.got)
        eventually(lambda: post.projector.lag() == 0)

    assert receiver.positions() == [301]


def _ends_seen(post: Post) -> int:
    with post.database.read() as connection:
        [(seen,)] = connection.rows("SELECT sum(end_offset) FROM feed")
    return int(seen)


def test_an_endpoint_that_fails_then_hangs_then_comes_back_gets_everything_in_order(
    post: Post, receiver: Receiver
) -> None:
    members = ["1130", "7", "8", "9"]
    receiver.answer("/", broken)
    with post.projecting(), post.dispatching(timeout=SHORT):
        secret = post.put("till", receiver.url())
        events = post.record(*members * 5)
        eventually(lambda: len(receiver.got()) >= 4)
        receiver.hang("/")
        post.ahead += timedelta(seconds=6)
        calls = len(receiver.got())
        eventually(lambda: len(receiver.got()) >= calls + 4)
        events += post.record(*members * 5)
        taken: set[str] = set()

        def take(call: Call) -> web.Response:
            taken.add(call.id)
            return ok(call)

        receiver.answer("/", take)
        _let_all_arrive(post)

    assert taken == {e["id"] for e in events}
    assert all(c.is_signed_with(secret) for c in receiver.got())
    for member in members:
        positions = [c.position for c in receiver.got() if c.member == member]
        # Repeats are allowed, steps back or over somebody are not.
        assert positions == sorted(positions)
        assert set(positions) == {e["position"] for e in events if e["subject"] == member}


def _waiting(post: Post, endpoint_id: str = "till") -> int:
    return post.notify.lag("grocer", endpoint_id).backlog.events


def _let_all_arrive(post: Post) -> None:
    """Set the clock forward to the next retry, whenever nothing is due, till nothing waits."""

    def have_arrived() -> bool:
        if not post.projector.lag() and not _waiting(post):
            return True
        with post.database.read() as connection:
            if not turns.endpoints_due(connection, now=post.clock()):
                post.ahead += timedelta(seconds=2)
        return False

    eventually(have_arrived)


def test_the_first_retry_is_due_within_five_seconds(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: _attempts(post, 1) == 1)
        receiver.answer("/", ok)
        post.ahead += timedelta(seconds=5)
        eventually(lambda: _waiting(post) == 0)

    [delivery] = post.notify.deliveries("grocer", "till", state=None, after=0, limit=10)
    failed, delivered = delivery.attempts
    assert (failed.status, failed.answer) == (500, "out of order")
    assert delivered.status == 204
    assert delivery.state == "delivered"
    assert delivery.next_try_at is None


def _attempts(post: Post, position: int, endpoint_id: str = "till") -> int:
    found = post.notify.deliveries("grocer", endpoint_id, state=None, after=0, limit=100)
    return sum(len(each.attempts) for each in found if each.position == position)


def test_a_hanging_endpoint_slows_no_other(post: Post, receiver: Receiver) -> None:
    receiver.hang("/stuck")
    with post.projecting(), post.dispatching(timeout=timedelta(seconds=60)):
        post.put("stuck", receiver.url("/stuck"))
        post.put("till", receiver.url("/till"))
        post.record(*(str(n) for n in range(200)))
        eventually(lambda: len(receiver.got("/till")) == 200)

        assert receiver.under_way["/stuck"] == 8
        receiver.answer("/stuck", ok)
        eventually(lambda: len(receiver.got("/stuck")) == 200)


def test_a_member_whose_event_fails_blocks_nobody_else(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", lambda call: web.Response(status=400 if call.member == "1130" else 204))
    with post.open():
        post.put("till", receiver.url())
        post.record(*["1130"] * 300)
        post.record(*(str(n) for n in range(100)))
        eventually(lambda: len([c for c in receiver.got() if c.member != "1130"]) == 100)
        assert set(receiver.positions(member="1130")) == {1}
        receiver.answer("/", ok)
        post.ahead += timedelta(seconds=5)
        eventually(lambda: _waiting(post) == 0)

    positions = receiver.positions(member="1130")
    assert positions == sorted(positions)
    assert len(set(positions)) == 300


def test_without_order_one_event_does_not_wait_for_another(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", lambda call: web.Response(status=500 if call.position == 1 else 204))
    with post.open():
        post.put("till", receiver.url(), ordering=Ordering.NONE)
        post.record(*["1130"] * 20)
        eventually(lambda: _waiting(post) == 1)

    assert set(receiver.positions()) == set(range(1, 21))


def test_one_member_has_one_request_under_way(post: Post, receiver: Receiver) -> None:
    receiver.hang("/")
    with post.projecting(), post.dispatching(timeout=timedelta(seconds=60)):
        post.put("till", receiver.url())
        post.record(*["1130"] * 10)
        eventually(receiver.got)
        post.record("7")
        eventually(lambda: len(receiver.got()) == 2)

        assert [c.member for c in receiver.got()] == ["1130", "7"]
        receiver.answer("/", ok)
        eventually(lambda: _waiting(post) == 0)


def test_waiting_deliveries_go_at_once_when_an_outage_ends(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record(*(str(n) for n in range(6)))
        for tries in range(1, 5):
            eventually(partial(_all_tried, post, tries))
            post.ahead += timedelta(seconds=5 * 2**tries)
        receiver.answer("/", ok)
        # Nothing but a fresh event tells that the endpoint is well again.
        post.record("7000")
        eventually(lambda: _waiting(post) == 0)


def _all_tried(post: Post, tries: int) -> bool:
    return min(_attempts(post, position) for position in range(1, 7)) >= tries


def test_an_ailing_endpoint_is_probed_not_flooded(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record(*(str(n) for n in range(600)))
        eventually(lambda: post.notify.lag("grocer", "till").failing_since)
        eventually(lambda: len(receiver.got()) >= 12)
        assert len(receiver.got()) < 100
        receiver.answer("/", ok)
        post.ahead += timedelta(seconds=30)
        eventually(lambda: _waiting(post) == 0)

    assert post.notify.lag("grocer", "till").failing_since is None


def test_an_endpoint_that_asks_for_time_gets_it(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", lambda _: web.Response(status=429, headers={"Retry-After": "20"}))
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: _attempts(post, 1) == 1)
        post.record("7", "8")
        post.ahead += timedelta(seconds=15)
        eventually(lambda: post.projector.lag() == 0)
        assert len(receiver.got()) == 1
        receiver.answer("/", ok)
        post.ahead += timedelta(seconds=10)
        eventually(lambda: _waiting(post) == 0)

    [waited, *_] = post.notify.deliveries("grocer", "till", state=None, after=0, limit=10)
    before, after = waited.attempts
    assert after.at - before.at >= timedelta(seconds=20)


def test_a_relay_that_repeats_itself_is_heard_once(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url())
        [event] = post.record("1130")
        post.again(event)
        post.record_raw("1130", b"no event at all")
        post.record("1130")
        eventually(lambda: len(receiver.got()) == 2)

    assert receiver.positions() == [1, 2]


def test_connections_are_used_again(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url())
        post.record(*(str(n) for n in range(200)))
        eventually(lambda: _waiting(post) == 0)

    assert len({c.peer for c in receiver.got()}) <= 8


def test_a_paused_endpoint_loses_nothing(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url("/old"))
        post.notify.pause_endpoint("grocer", "till")
        post.record("1130", "7")
        eventually(lambda: _waiting(post) == 2)
        post.put("till", receiver.url("/new"))
        assert not receiver.calls
        post.notify.resume_endpoint("grocer", "till")
        eventually(lambda: _waiting(post) == 0)

    assert sorted(receiver.positions("/new")) == [1, 2]


def test_a_changed_address_is_tried_at_once(post: Post, receiver: Receiver) -> None:
    receiver.answer("/wrong", broken)
    with post.open():
        secret = post.put("till", receiver.url("/wrong"))
        post.record("1130")
        eventually(lambda: _attempts(post, 1) == 1)
        assert post.put("till", receiver.url("/right")) == secret
        eventually(lambda: _waiting(post) == 0)

    assert receiver.got("/right")[0].is_signed_with(secret)


def test_a_removed_endpoint_is_called_no_more(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: _attempts(post, 1) == 1)
        post.notify.remove_endpoint("grocer", "till")
        post.ahead += timedelta(minutes=1)
        post.record("1130")
        post.put("till", receiver.url("/anew"))
        post.record("1130")
        eventually(lambda: receiver.got("/anew"))

    assert len(receiver.got()) == 1
    assert 1 not in receiver.positions("/anew")


def test_order_holds_per_member_under_random_trouble(post: Post, receiver: Receiver) -> None:
    refused: set[str] = set()

    def moody(call: Call) -> web.Response:
        """Refuse every seventh event, the first time."""
        if call.position % 7 or call.id in refused:
            return ok(call)
        refused.add(call.id)
        return broken(call)

    receiver.answer("/", moody)
    members = [str(n) for n in range(9)]
    with post.open():
        post.put("till", receiver.url())
        for _ in range(20):
            post.record(*members)
        _let_all_arrive(post)

    for member in members:
        positions = receiver.positions(member=member)
        assert len(set(positions)) == 20
        assert all(later >= earlier for earlier, later in pairwise(positions))
