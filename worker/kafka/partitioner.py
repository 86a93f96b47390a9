"""The default partitioner of the Java client, so that any client finds a customer on the same partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiokafka.partitioner import murmur2

if TYPE_CHECKING:
    import numpy as np

CUSTOMER_ID_BYTES = 36
_SEED = 0x9747B28C
_M = 0x5BD1E995


def partitions_for(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition of each key. Customer ids, all of one length, are hashed at once."""
    if len(keys) > 1 and all(len(key) == CUSTOMER_ID_BYTES for key in keys):
        numbers: list[int] = ((_murmur2(keys) & 0x7FFFFFFF) % partitions).tolist()
        return numbers
    return [int(murmur2(key) & 0x7FFFFFFF) % partitions for key in keys]


def _murmur2(keys: Sequence[bytes]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Hash many keys of `CUSTOMER_ID_BYTES` (a multiple of 4) as `Utils.murmur2` of the Java client does."""
    import numpy as np  # noqa: PLC0415 - it takes a tenth of a second to load, and most commands send nothing

    words = np.frombuffer(b"".join(keys), "<u4").reshape(len(keys), CUSTOMER_ID_BYTES // 4).astype(np.uint32)
    hashes = np.full(len(keys), _SEED ^ CUSTOMER_ID_BYTES, np.uint32)
    for column in range(CUSTOMER_ID_BYTES // 4):
        word = words[:, column] * np.uint32(_M)
        word ^= word >> np.uint32(24)
        hashes *= np.uint32(_M)
        hashes ^= word * np.uint32(_M)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(_M)
    return hashes ^ (hashes >> np.uint32(15))
