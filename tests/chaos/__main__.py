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
    wanted = parser.parse_args()
    names = INSTALLATIONS if wanted.installation == "both" else (wanted.installation,)
    print(f"seed {wanted.seed}", flush=True)
    reports = [run(name, seconds=wanted.seconds, seed=wanted.seed, kills_min=1) for name in names]
    for report in reports:
        print(table(report))
    return 0 if all(report.is_good for report in reports) else 1


def table(report: Report) -> str:
    """What happened, and which promises were kept."""
    kills = ", ".join(f"{role} {count}" for role, count in sorted(report.kills.items()))
    lines = [f"\n{report.installation}, seed {report.seed}"]
    lines += [f"  {name:<16}{figure:>10,}" for name, figure in report.figures.items()]
    lines += [f"  {'kills':<16}{sum(report.kills.values()):>10,}  {kills}"]
    lines += [f"  ENDED BY ITSELF: {words}" for words in report.deserters]
    for promise, faults in report.broken.items():
        lines.append(f"  {'BROKEN' if faults else 'kept':<8}{promise}")
        lines += [f"          {fault}" for fault in faults[:FAULTS_SHOWN_MAX]]
        if len(faults) > FAULTS_SHOWN_MAX:
            lines.append(f"          and {len(faults) - FAULTS_SHOWN_MAX} more")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
