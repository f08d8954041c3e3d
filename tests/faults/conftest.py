"""How much of everything: CONVSERVE_FAULTS=10 for ten times as much as in the suite."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("CONVSERVE_FAULTS", "1"))
