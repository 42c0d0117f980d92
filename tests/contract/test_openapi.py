"""The HTTP doors are pinned: a change of theirs is seen, and meant."""

from tools.openapi import FOLDER, documents


def test_the_doors_are_as_published() -> None:
    published = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.json")}

    assert documents() == published, "if the change is meant, run `make docs`"
