"""The command `stampbook`: each command with its options; what they do stands in modules beside."""

from __future__ import annotations

import typer

from stampbook import dead_letters, keys
from stampbook.doctor import doctor
from stampbook.exporting import export
from stampbook.importing import import_files
from stampbook.log import log
from stampbook.rebuild import rebuild
from stampbook.restoring import restore
from stampbook.up import up
from stampbook.verify import verify

app = typer.Typer(
    name="stampbook",
    help="A loyalty ledger: purchases become points, and every point can say why.",
    epilog="Exit codes: 0 done, 1 refused or found something, 2 wrong use, 3 server not reached.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command("import")(import_files)
app.command()(log)
app.command()(verify)
app.command()(rebuild)
app.command()(export)
app.command()(restore)
app.command()(doctor)
app.add_typer(dead_letters.app, name="dead-letters", help="What could not be read, and what waits.")
app.add_typer(keys.app, name="keys", help="Who may do what.")
