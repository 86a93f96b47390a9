"""The machine and the software that figures were measured on."""

from __future__ import annotations

import os
import platform

Machine = dict[str, str | int | float | None]


def machine() -> Machine:
    """Describe the machine, and how many processes wanted a core in the last minute."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
