"""Writes the settings of every service into docs/operations.md (`make docs`)."""

import re
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operations.md"
BLOCK = re.compile(r"<!-- settings (\S+):(\S+) -->\n.*?<!-- end -->", re.DOTALL)


def rendered(page: str) -> str:
    """The page with every table as the settings classes say."""
    sys.path.insert(0, str(ROOT))
    table = import_module("services.runtime.settings").markdown_table

    def block(found: re.Match[str]) -> str:
        module, name = found.groups()
        settings = getattr(import_module(module), name)
        return f"<!-- settings {module}:{name} -->\n\n{table(settings)}\n<!-- end -->"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
