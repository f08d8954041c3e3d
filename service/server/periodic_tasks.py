"""Tasks that a server repeats while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

Task = Callable[[], None]


class PeriodicTasks:
    """Runs tasks in order; what one of them raises ends neither the others nor the server.

    An error is logged when it first occurs, and again only after the task has succeeded or fails differently:
    a task that fails every second does not fill the log.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)
        self._errors: dict[Task, str] = {}

    def add(self, task: Task) -> None:
        """Run one more task, after the others."""
        self._tasks.append(task)

    def run(self) -> None:
        for task in self._tasks:
            try:
                task()
            except Exception as error:
                description = repr(error)
                if self._errors.get(task) != description:
                    self._errors[task] = description
                    logger.exception("a periodic task of the server failed and is repeated: %r", task)
            else:
                self._errors.pop(task, None)
