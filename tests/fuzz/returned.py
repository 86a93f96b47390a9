"""Records that are needed again as they were received: for dead letters, parked cancellations, redrives, positions."""

from collections.abc import Iterator, Sequence

from tests.support.builders import composer
from worker.messages.dead_letter import DEAD_LETTER_PREFIX, redrive_count
from worker.messages.inbound import Decoder
from worker.messages.log_identity import mark_of
from worker.messages.message import Message, Refused
from worker.messages.record import PlainRecord, Record
from worker.messages.redrive_headers import redriven, redriven_letter

_COMPOSER = composer()
_ERROR_HEADERS = 9
_OUT_OF_ORDER = 3


def returned_differences(
    sent: Sequence[PlainRecord], received: Sequence[PlainRecord], messages: Sequence[Message], decoder: Decoder
) -> Iterator[tuple[int, str]]:
    """Yield offset and text of each difference between the records sent and those that come back."""
    for record, other in zip(sent, received, strict=True):
        if record != other:
            yield record.offset, f"unpacked as {other}"
    backwards = range(len(messages) - 1, max(len(messages) - 1 - _OUT_OF_ORDER, -1), -1)
    for place in (*range(len(messages)), *backwards):
        record, returned = sent[place], messages[place].record()
        if returned != record or mark_of(returned) != mark_of(record):
            yield record.offset, f"its source returns {returned}"
    for record, message in zip(sent, messages, strict=True):
        if isinstance(message, Refused) and (problem := _redrive(record, message, decoder)):
            yield record.offset, f"redriven: {problem}"


def _redrive(record: Record, refused: Refused, decoder: Decoder) -> str | None:
    """Send the dead letter back to its topic as a redrive does, and let it be refused again."""
    letter = _COMPOSER.dead_letter(record, refused.rejected)
    again = redriven(letter, record.topic)
    sent = PlainRecord(record.topic, record.partition, record.offset + 1, 0, again.key, again.value, again.headers)
    if redriven_letter(sent) != letter.id:
        return f"not recognised as {letter.id}: {sent}"
    message = decoder.decode(sent)
    if not isinstance(message, Refused) or message.rejected != refused.rejected or not message.is_redriven:
        return f"{message} instead of {refused}"
    headers = _COMPOSER.dead_letter(sent, message.rejected).headers
    if redrive_count(headers) != min(redrive_count(record.headers) + 1, 999_999_999) or len(headers) != len(
        letter.headers
    ):
        return f"its dead letter has the headers {headers}"
    names = [name for name, _ in headers if name.startswith(DEAD_LETTER_PREFIX)]
    return None if len(set(names)) == len(names) == _ERROR_HEADERS else f"its dead letter has the headers {names}"
