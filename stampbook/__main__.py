"""`python -m stampbook` is `stampbook`."""

from stampbook.cli import app

app(prog_name="stampbook")
