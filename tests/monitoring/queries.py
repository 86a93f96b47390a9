"""Queries of the dashboard as Grafana sends them: with values in place of its variables."""


def interpolated(expression: str, interval: str = "1m") -> str:
    """Return the query for every job and instance."""
    for name in ("job", "group", "instance"):
        expression = expression.replace(f'"${name}"', '".*"')
    return expression.replace("$__rate_interval", interval)
