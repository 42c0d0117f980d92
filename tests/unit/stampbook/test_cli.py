"""Command lines that cannot be carried out are answered at once, with what to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stampbook.cli import app

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (["keys", "create", "--role", "king"], "'king' is not one of"),
        (["keys", "create", "--role", "till"], "--merchant NAME"),
        (["import", str(EXAMPLES / "grocer.csv")], "--mapping"),
        (["import", "no-such-file"], "no-such-file"),
        (["log", "--after", "-1"], "--after"),
        (["log", "--url", "ftp://example"], "http://127.0.0.1:8080"),
        (["up", "--exit"], "--demo"),
        (["verify", "--data", "no-such-folder"], "ledger.db does not exist"),
        (["doctor", "--data", "no-such-folder"], "ledger.db does not exist"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_line_that_makes_no_sense_ends_with_2(line: list[str], complaint: str) -> None:
    done = CliRunner().invoke(app, line)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["up", "import", "log", "verify", "doctor", "keys"])
def test_every_command_says_what_it_does(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])

    assert done.exit_code == 0
    assert "--help" in done.stdout
