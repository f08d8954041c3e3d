"""Fails if a test was skipped although the programs that it needs could be installed; called by `.ci/run`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

# Accepted reasons: properties of the machine that no package provides.
ALLOWED = (
    r"\bCUDA\b",
    r"no real data in ",
    r"no photographs in ",
    r"^/\S+ is missing$",
    r"^no /\S+$",
    r"no \S+ has been published in models/",
    r"no model has been published in models/",
    r"reads Linux's /proc",
    r"no affinity mask here",
    r"file systems cannot be mounted here",
    r"this user may not create a PID namespace",
    r"no base for an image can be made here",
    r"need root$",
)
NOT_INSTALLED = re.compile(r"(?P<programs>[\w.-]+(?: and [\w.-]+)*) (?:is |are )?not installed")
# Libraries that reasons name, with a program of the same package.
PROGRAMS = {"libfaketime": "faketime"}


def skipped(report: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the reason of each skipped test in a JUnit report."""
    for case in ElementTree.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            if skip.get("type") != "pytest.xfail":
                yield f"{case.get('classname')}.{case.get('name')}", skip.get("message", "")


def is_allowed(reason: str, absent: Iterable[str]) -> bool:
    """Return True if a test may be skipped for this reason.

    Args:
        absent: programs that this machine lacks and could not install.
    """
    named = NOT_INSTALLED.search(reason)
    if named is not None:
        programs = named["programs"].split(" and ")
        return {PROGRAMS.get(program, program) for program in programs} <= set(absent)
    return any(re.search(pattern, reason) for pattern in ALLOWED)


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every skip is allowed, otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--absent", default="", help="programs that could not be installed, separated by commas"
    )
    parser.add_argument("reports", nargs="+", type=Path)
    arguments = parser.parse_args(argv)
    absent = [name for name in arguments.absent.split(",") if name]
    found = {each for report in arguments.reports for each in skipped(report)}
    rejected = sorted((test, reason) for test, reason in found if not is_allowed(reason, absent))
    for test, reason in rejected:
        print(f"{test} was skipped, but its needs can be installed: {reason}", file=sys.stderr)
    print(f"{len(found)} tests were skipped, {len(rejected)} of them for a reason that is not accepted")
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
