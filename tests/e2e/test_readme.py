"""Every command that the README shows in a shell is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.embedded import running_embedded
from tests.support.installation import ROOT, our_code

BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8080"


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    script = "\n".join(BLOCKS.findall((ROOT / "README.md").read_text("utf-8")))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "stampbook-data").mkdir()
    with running_embedded(tmp_path) as embedded:
        (tmp_path / "stampbook-data" / "operator.key").write_text(embedded.key)
        done = subprocess.run(
            ("bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, embedded.url)),
            cwd=tmp_path,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
                **our_code(),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert ADDRESS in script
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert '"outcome":"recorded"' in done.stdout
    assert "whsec_" in done.stdout
