"""Every refusal says what it is, to programs and to people."""

import re

import pytest

from services.notify.domain.errors import Refused, TooManyReplays

REFUSALS = Refused.__subclasses__()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_has_a_code_and_a_title(refusal: type[Refused]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", refusal.code)
    assert (refusal.__doc__ or "").endswith(".")


def test_codes_tell_refusals_apart() -> None:
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS)


def test_too_many_replays_names_the_bound() -> None:
    refused = TooManyReplays(replays_max=10)

    assert refused.replays_max == 10
    assert "10 replays wait" in str(refused)
