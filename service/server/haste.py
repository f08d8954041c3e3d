"""The word by which a supervisor lets a worker end at once, without the delay for load balancers."""

from __future__ import annotations

import signal

# Workers leave interrupts to their supervisor, and to them SIGTERM means to take their time.
STOP_AT_ONCE = signal.SIGUSR1
