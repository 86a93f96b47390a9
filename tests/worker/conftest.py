"""How thoroughly the property tests search: the same examples on every run in CI, new ones elsewhere."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "usual", deadline=None, max_examples=100, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("usual"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "usual")
