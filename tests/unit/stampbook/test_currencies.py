"""Which money an embedded ledger takes."""

from stampbook.currencies import AcceptedCurrencies


def test_takes_the_money_of_its_programmes_only() -> None:
    accepts = AcceptedCurrencies(lambda: frozenset({"USD"}))

    assert accepts("USD")
    assert not accepts("EUR")


def test_takes_any_money_before_there_is_a_programme() -> None:
    assert AcceptedCurrencies(frozenset)("EUR")


def test_takes_the_money_of_a_programme_at_once() -> None:
    currencies = {"USD"}
    accepts = AcceptedCurrencies(lambda: frozenset(currencies))
    assert not accepts("EUR")

    currencies.add("EUR")

    assert accepts("EUR")


def test_does_not_look_again_for_every_command() -> None:
    looks = []

    def look() -> frozenset[str]:
        looks.append(1)
        return frozenset({"USD"})

    accepts = AcceptedCurrencies(look)
    assert all(accepts("USD") for _ in range(1_000))

    assert len(looks) < 10
