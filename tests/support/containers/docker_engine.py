"""Whether a Docker engine answers, which testcontainers need."""

import gc
import warnings

import docker
from docker.errors import DockerException

PING_LIMIT_S = 5


def docker_answers() -> bool:
    """Return whether a Docker engine answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a client that reaches no engine leaves its socket open
        try:
            docker.from_env(timeout=PING_LIMIT_S).ping()
        except DockerException:
            answers = False
        else:
            answers = True
        gc.collect()
        return answers
