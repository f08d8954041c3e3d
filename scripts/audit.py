"""pip-audit on a lock, where it can reach its data, else a sentence: `make audit`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(pip_audit: str, lock: str) -> int:
    """1 where something vulnerable is locked, or something could not be looked up alone of all, else 0."""
    command = [pip_audit, "--format", "json", "--require-hashes", "--disable-pip", "--requirement", lock]
    answer = subprocess.run(command, capture_output=True, text=True)
    packages: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"] if answer.stdout else []
    unknown = [package for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        reason = unknown[0]["skip_reason"] if unknown else answer.stderr.strip().rpartition("\n")[2]
        print(
            f"audit: the data on vulnerabilities cannot be reached from here ({reason}); nothing was checked"
        )
        return 0
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in unknown:
        print(f"audit: {package['name']} was not checked: {package['skip_reason']}")
    for package in vulnerable:
        found = ", ".join(vulnerability["id"] for vulnerability in package["vulns"])
        print(f"audit: {package['name']} {package['version']} is vulnerable: {found}")
    print(f"audit: {len(packages) - len(unknown)} packages checked, {len(vulnerable)} vulnerable")
    return 1 if unknown or vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
