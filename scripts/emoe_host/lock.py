"""Writes requirements/test.lock from requirements/test.in: installs the names in a fresh environment and records the
versions.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from . import ROOT, HostError
from .prepare import LOCK, check_platform, find_lock_python, run_logged, say, venv_python

HEADER = """\
# The whole test environment, pinned. Python 3.11, Linux x86-64, CPU is enough.
# Written by `bash scripts/lock.sh` from requirements/test.in: edit that one.
"""


def frozen_lines(freeze: str) -> list[str]:
    """pip freeze's lines in a fixed order; a line with an address (a local file, a repository) cannot be in a lock."""
    lines = [line.strip() for line in freeze.splitlines() if line.strip() and not line.startswith("#")]
    odd = [line for line in lines if "==" not in line or "@" in line or "/" in line]
    if odd:
        raise HostError(f"{odd[0]!r} is not a plain name==version; the lock was not written.")
    return sorted(lines, key=str.lower)


def main() -> int:
    try:
        check_platform()
        with tempfile.TemporaryDirectory(prefix="emoe-lock-") as temporary:
            venv, log = Path(temporary) / "venv", Path(temporary) / "lock.log"
            say("installing requirements/test.in in a fresh environment (some minutes, 7.1 GB)")
            run_logged([find_lock_python(), "-m", "venv", str(venv)], log, "making a virtual environment")
            pip = [str(venv_python(venv)), "-m", "pip", "--no-input", "--disable-pip-version-check"]
            source = ROOT / "requirements" / "test.in"
            run_logged([*pip, "install", "--only-binary", ":all:", "-r", str(source)], log, "installing with pip")
            freeze = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
        lines = frozen_lines(freeze)
        LOCK.write_text(HEADER + "\n".join(lines) + "\n")
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    say(f"wrote {len(lines)} packages to {LOCK.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
