"""Tokens for AWS MSK with IAM access control; needs the extra `msk`.

Set `CUSTOMER_WORKER_KAFKA__OAUTH_PROVIDER=worker.kafka.msk_iam:token`. AWS's own library finds the credentials: in
the environment, a profile, or the role of the pod or of the machine.
"""

from __future__ import annotations

import os

from worker.errors import Exit, Refusal
from worker.kafka.oauth_tokens import TokenUnavailable

try:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
except ImportError:
    raise Refusal(
        "AWS MSK IAM needs the package aws-msk-iam-sasl-signer-python. Install customer-worker[msk]", Exit.CONFIGURATION
    ) from None


def token() -> tuple[str, int]:
    """Sign a token for the region in `AWS_REGION`; returns it with its expiry in milliseconds since 1970."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise TokenUnavailable("the AWS region is not known", "Set AWS_REGION")
    signed: tuple[str, int] = MSKAuthTokenProvider.generate_auth_token(region)
    return signed
