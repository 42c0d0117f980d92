"""`stampbook up`: everything in one process, on SQLite."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stampbook.data_folder import DataFolder
from stampbook.failures import Failure, Misused
from stampbook.session import DATA, AsJson, write_line

if TYPE_CHECKING:
    from stampbook.embedded import Installation

PORT = 8080
_BACKLOG = 1_024


Data = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        show_default=False,
        help=f"Where everything is kept. Default: ./{DATA}; of a demo, a folder that goes with it.",
    ),
]
Host = Annotated[str, typer.Option(help="The network address to listen on.")]
Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65_535,
        show_default=False,
        help=f"The port; 0: any free one. Default: {PORT}; of a demo any, if that is taken.",
    ),
]
Programme = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Make this programme hold from now on."),
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Feed a year of purchases and show what comes of them.")
]
Leave = Annotated[bool, typer.Option("--exit", help="Leave at the end of the demo.")]
AllowLoopback = Annotated[
    bool, typer.Option("--allow-loopback", help="Let webhooks go to this very machine.")
]


def up(  # noqa: PLR0913 - one parameter for each option
    *,
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    programme: Programme = None,
    demo: Demo = False,
    leave: Leave = False,
    allow_loopback: AllowLoopback = False,
    as_json: AsJson = False,
) -> None:
    """Run everything in one process, on SQLite in one folder, until Ctrl-C.

    What was acknowledged survives any way of stopping, kill -9 and power cuts too. Prints its
    address as soon as it answers. Ends with 0 when it was asked to stop, with 1 when it cannot run.
    """
    try:
        if leave and not demo:
            raise Misused("--exit leaves at the end of the demo: add --demo.")
        with ExitStack() as stack:
            folder = stack.enter_context(_folder(data, is_for_demo=demo))
            door = stack.enter_context(_door(host, port, is_for_demo=demo))
            embedded = _load()
            story = partial(_demo().show, leave=leave, is_kept=data is not None) if demo else None
            code = embedded.run(
                folder,
                door,
                embedded.Wish(
                    programme=programme or (_demo().PROGRAMME if demo else None),
                    allow_loopback=allow_loopback or demo,
                    log_to_file=demo,
                ),
                when_up=partial(_be_up, as_json=as_json, story=story),
            )
    except Failure as failure:
        typer.echo(failure.as_json().decode() if as_json else failure.text(), err=True)
        code = failure.exit_code
    raise typer.Exit(code)


def _be_up(installation: Installation, *, as_json: bool, story: Callable[..., None] | None) -> None:
    """Print the line that people and scripts wait for; then tell the story, if there is one."""
    if as_json:
        key_file = None if installation.key_file is None else str(installation.key_file)
        write_line(msgspec.json.encode({"url": installation.url, "key_file": key_file}))
    else:
        sys.stdout.write(f"Stampbook is up on {installation.url}\n")
        if installation.key_file is not None:
            sys.stdout.write(f"The operator's key is in {installation.key_file}\n")
        sys.stdout.flush()
    if story is not None:
        story(installation, out=sys.stderr if as_json else sys.stdout)


def _load() -> ModuleType:
    """Everything: a heavy load, which other commands and a wrong line do without."""
    gc.disable()  # Nothing of it becomes garbage, and looking for some takes a fifth of the time.
    try:
        return import_module("stampbook.embedded")
    finally:
        gc.enable()
        gc.freeze()


def _demo() -> ModuleType:
    return import_module("stampbook.demo")  # of no use to anybody else


@contextmanager
def _folder(path: Path | None, *, is_for_demo: bool) -> Iterator[DataFolder]:
    """The folder, held against everybody else; a demo's own vanishes with it."""
    if path is None and is_for_demo:
        with tempfile.TemporaryDirectory(prefix="stampbook-demo-") as fresh:
            folder = DataFolder(Path(fresh))
            with folder.held():
                yield folder
        return
    folder = DataFolder(path or DATA)
    with folder.held():
        yield folder


@contextmanager
def _door(host: str, port: int | None, *, is_for_demo: bool) -> Iterator[socket.socket]:
    """The socket to answer on.

    Raises:
        Failure: the port is taken, or the address is not this machine's.
    """
    try:
        door = _listening(host, PORT if port is None else port)
    except OSError as error:
        if port is not None or not is_for_demo:
            reason = os.strerror(error.errno or 0)
            raise Failure(
                f"{host}:{PORT if port is None else port} cannot be used: {reason}\n"
                "Name another port with --port; 0 takes any that is free."
            ) from None
        door = _listening(host, 0)
    with door:
        yield door


def _listening(host: str, port: int) -> socket.socket:
    try:
        [(family, *_), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Failure(f"--host {host}: {error.strerror}") from None
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
