"""The page for operators says what the settings classes say."""

from pathlib import Path

from tools.operations import PAGE, rendered


def test_every_setting_stands_in_the_page_for_operators() -> None:
    page = Path(PAGE).read_text("utf-8")

    assert rendered(page) == page, "run `make docs`"
    assert page.count("<!-- settings ") == 4
