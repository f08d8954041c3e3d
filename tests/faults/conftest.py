"""The scale of the fault tests: CONVSERVE_FAULTS=10 repeats everything ten times."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("CONVSERVE_FAULTS", "1"))
