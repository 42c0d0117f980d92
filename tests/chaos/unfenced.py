"""Sabotage: a role without epochs, `python -m tests.chaos.unfenced services.ledger writer`.

Leases are kept as ever, but who has lost one is not stopped from writing. With this a chaos run has
to fail; if it does not, it proves nothing.
"""

import runpy
import sys

from services.runtime import ownership


def main() -> None:
    """Be the role that the arguments name."""
    _, package, *rest = sys.argv
    ownership._EXTEND = "UPDATE owners SET lease_until = :lease_until WHERE name = :name"  # noqa: SLF001
    sys.argv = [package, *rest]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
