"""Runs pip-audit on a lock file, or prints why it cannot reach its data: `make audit`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(pip_audit: str, lock: str) -> int:
    """Return 1 if a locked package is vulnerable, or if only some packages could be checked, otherwise 0."""
    command = [pip_audit, "--format", "json", "--require-hashes", "--disable-pip", "--requirement", lock]
    result = subprocess.run(command, capture_output=True, text=True)
    packages: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"] if result.stdout else []
    unknown = [package for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        reason = unknown[0]["skip_reason"] if unknown else result.stderr.strip().rpartition("\n")[2]
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
