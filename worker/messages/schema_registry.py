"""Values framed by a serializer of a schema registry: byte 0, the schema id in 4 bytes (big-endian), then the value.

JSON never begins with byte 0. The registry itself is not needed: the value is validated as any other.
"""

from __future__ import annotations

MAGIC = b"\0"
_FRAME_BYTES = 5


class FramedError(ValueError):
    """A framed value, where the settings accept none; the message names the schema id and the setting."""


def schema_id(value: bytes) -> int | None:
    """Return the schema id in the frame, None if the value has no frame."""
    if value[:1] != MAGIC or len(value) < _FRAME_BYTES:
        return None
    return int.from_bytes(value[1:_FRAME_BYTES], "big")


def unframed(value: bytes) -> bytes:
    """Return the value inside a frame, any other value unchanged."""
    return value if schema_id(value) is None else value[_FRAME_BYTES:]


def accepted(value: bytes, *, is_framed_accepted: bool) -> bytes:
    """Return the value without its frame. Raises `FramedError` if framed values are not accepted."""
    found = schema_id(value)
    if found is not None and not is_framed_accepted:
        raise FramedError(
            f"the value is framed by a serializer of a schema registry (schema id {found}): "
            "set CUSTOMER_WORKER_SCHEMA_REGISTRY__ACCEPT_FRAMED=true to read it, or let the producer send JSON alone"
        )
    return unframed(value)
