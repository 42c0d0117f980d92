"""`make chaos`: torment an installation for as long as you like, then check every promise.

It prints its seed; the same seed sends the same commands and kills in the same order.
"""

import argparse
import secrets
import sys

from tests.chaos.run import INSTALLATIONS, Report, run

FAULTS_SHOWN_MAX = 5


def main() -> int:
    """Ends with 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of load, each (default: 60)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="repeats a schedule")
    parser.add_argument("--installation", choices=(*INSTALLATIONS, "both"), default="both")
    parser.add_argument(
        "--unfenced", action="store_true", help="sabotage: without epochs it has to fail"
    )
    wanted = parser.parse_args()
    names = INSTALLATIONS if wanted.installation == "both" else (wanted.installation,)
    print(f"seed {wanted.seed}", flush=True)
    is_good = True
    for name in names:
        report = run(
            name,
            seconds=wanted.seconds,
            seed=wanted.seed,
            is_long=True,
            is_fenced=not wanted.unfenced,
        )
        print(table(report), flush=True)
        is_good = is_good and report.is_good
    return 0 if is_good else 1


def table(report: Report) -> str:
    """What happened, and which promises were kept."""
    lines = [f"\n{report.installation}, seed {report.seed}"]
    lines += [f"  {name:<16}{figure:>10,}" for name, figure in report.figures.items()]
    for what, counts in (("kills", report.kills), ("freezes", report.freezes)):
        whom = ", ".join(f"{role} {count}" for role, count in sorted(counts.items()))
        lines.append(f"  {what:<16}{sum(counts.values()):>10,}  {whom}")
    lines += [f"  ENDED BY ITSELF: {words}" for words in report.deserters]
    for promise, faults in report.broken.items():
        lines.append(f"  {'BROKEN' if faults else 'kept':<8}{promise}")
        lines += [f"          {fault}" for fault in faults[:FAULTS_SHOWN_MAX]]
        if len(faults) > FAULTS_SHOWN_MAX:
            lines.append(f"          and {len(faults) - FAULTS_SHOWN_MAX} more")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
