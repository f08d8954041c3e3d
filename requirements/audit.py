"""pip-audit on a lock, where it can reach its data, else a sentence: `make audit`."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

# Where pip-audit asks for each package's known vulnerabilities.
DATA = "https://pypi.org/pypi/pip/24.0/json"
PATIENCE_SECONDS = 10


def main(pip_audit: str, lock: str) -> int:
    """1 where something vulnerable is locked, else 0."""
    try:
        with urllib.request.urlopen(DATA, timeout=PATIENCE_SECONDS) as answer:
            answer.read(1)
    except OSError as error:
        print(
            f"audit: the data on vulnerabilities cannot be reached from here ({error}); nothing was checked"
        )
        return 0
    return subprocess.run(
        [pip_audit, "--strict", "--require-hashes", "--disable-pip", "--requirement", lock]
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
