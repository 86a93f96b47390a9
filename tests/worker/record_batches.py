"""Record batches of some records, each one millisecond after the one before."""

from collections.abc import Sequence

from tests.support.raw_batches import CONTROL, TRANSACTIONAL, BatchHeader, RawHeader, pack
from tests.support.raw_batches import RawRecord as RecordAtOffset

__all__ = ["CODECS", "CONTROL", "FIRST_TIMESTAMP", "TRANSACTIONAL", "RawHeader", "RawRecord", "record_batch"]

RawRecord = tuple[bytes | None, bytes | None, Sequence[RawHeader]]
"""Key, value and headers; names are bytes."""

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FIRST_TIMESTAMP = 1_700_000_000_000


def record_batch(
    records: Sequence[RawRecord], codec: str = "none", *, base_offset: int = 0, flags: int = 0, epoch: int = -1
) -> bytes:
    """Encode the records as a broker would send them."""
    placed = [
        RecordAtOffset(base_offset + place, FIRST_TIMESTAMP + place, *record) for place, record in enumerate(records)
    ]
    header = BatchHeader(base_offset, codec, flags, epoch, (7, 0, 0), base_timestamp=FIRST_TIMESTAMP)
    return pack(placed, header)
