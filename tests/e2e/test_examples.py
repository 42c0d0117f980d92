"""Every script in examples/ does what it says."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from tests.support.installation import ROOT
from tests.support.server import plain_environment

EXAMPLES = ROOT / "examples"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    made = tmp_path / "purchases.ndjson"

    subprocess.run(
        (sys.executable, EXAMPLES / "make_purchases.py", "--to", made),
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert made.read_bytes() == (EXAMPLES / "purchases.ndjson").read_bytes()


def test_the_receiver_prints_what_is_signed_and_refuses_the_rest() -> None:
    body = (
        '{"position":42,"type":"stampbook.points.earned.v1","subject":"1130","data":{"points":1}}'
    )
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }
    with subprocess.Popen(
        (sys.executable, EXAMPLES / "webhook_receiver.py", "0"),
        env={**plain_environment(), "WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with httpx.Client(trust_env=False) as client:
            taken = client.post(url, content=body, headers=headers)
            refused = client.post(url, content=body + " ", headers=headers)
        printed = process.stdout.readline()
        process.terminate()

    assert (taken.status_code, refused.status_code) == (204, 401)
    assert printed == '42 stampbook.points.earned.v1 1130 {"points": 1}\n'
