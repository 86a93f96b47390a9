"""Health of the container, for the HEALTHCHECK of the image: exit code 0 if `/livez` of its worker answers 200."""

import http.client
import os
import sys

PREFIX = "CUSTOMER_WORKER_HTTP__"
EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - they are replaced
TIMEOUT_SECONDS = 4


def main() -> int:
    """Request `/livez`, directly even if the environment names a proxy."""
    if os.environ.get(f"{PREFIX}ENABLED", "true").lower() in {"false", "0", "no", "off", "f", "n"}:
        return 0  # nothing to request
    host = os.environ.get(f"{PREFIX}HOST", "127.0.0.1")
    port = int(os.environ.get(f"{PREFIX}PORT", "8080"))
    connection = http.client.HTTPConnection(EVERY_ADDRESS.get(host, host), port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except OSError as error:
        print(f"/livez cannot be requested: {error}")
        return 1
    print(f"/livez: {status}")
    return int(status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
