"""The Java client's default partitioning, written out from its definition."""

import struct
from functools import lru_cache

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(key: bytes) -> int:
    """Compute the 32-bit hash with the seed that Kafka uses."""
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for word in struct.unpack(f"<{whole // 4}I", key[:whole]):
        k = word * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(4096)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition where any client finds this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
