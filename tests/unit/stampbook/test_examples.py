"""The examples keep the contracts that they show."""

from pathlib import Path

import msgspec

from services.runtime.contracts import Contract

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_every_basket_of_the_sample_is_a_purchase() -> None:
    contract = Contract.of("commands/purchase")
    sample = (EXAMPLES / "purchases.ndjson").read_bytes().splitlines()
    purchases = [msgspec.json.decode(line) for line in sample]

    assert len(purchases) == 2_024
    assert len({purchase["id"] for purchase in purchases}) == 2_024
    assert len({purchase["member"] for purchase in purchases}) == 60
    for purchase in purchases:
        assert purchase.pop("type") == "purchase"
        del purchase["id"]
        assert contract.errors(purchase) == []
