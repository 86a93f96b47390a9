"""Customers have the partition that the Java client gives them."""

import pytest

from worker.kafka.partitioner import partitions_for

# `Utils.murmur2` of the Java client, as its own test has it (UtilsTest.testMurmur2).
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}
# Customer ids over 3, 4, 8 and 97 partitions; those over 4 as librdkafka's `murmur2_random` placed them.
CUSTOMERS = {
    b"6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77": (2, 1, 1, 18),
    b"00000000-0000-4000-8000-000000000000": (2, 1, 5, 86),
    b"334b6b31-12a2-5bfc-bf4f-870c0954b343": (1, 1, 5, 22),
    b"c093c7f6-6edf-595e-9539-70de788efbaa": (2, 1, 1, 29),
    b"0b1f7a52-8f0e-4c39-8a3a-2f2f5d1f9c01": (2, 2, 6, 69),
    b"ffffffff-ffff-ffff-ffff-ffffffffffff": (0, 2, 2, 38),
    b"b80c8fef-a677-5340-85fb-2c162d75df03": (2, 2, 6, 78),
    b"035c4ea0-d73b-5bde-bd6f-c806b04f2ec3": (0, 0, 0, 68),
}


@pytest.mark.parametrize("partitions", [1, 2, 8, 97])
@pytest.mark.parametrize("key", JAVA)
def test_key_has_the_partition_of_the_java_client(key: bytes, partitions: int) -> None:
    assert partitions_for([key], partitions) == [(JAVA[key] & 0x7FFFFFFF) % partitions]


@pytest.mark.parametrize(("place", "partitions"), [(0, 3), (1, 4), (2, 8), (3, 97)])
def test_partitions_of_many_customers_equal_those_of_each(place: int, partitions: int) -> None:
    expected = [places[place] for places in CUSTOMERS.values()]
    assert partitions_for(list(CUSTOMERS), partitions) == expected
    assert [partitions_for([key], partitions)[0] for key in CUSTOMERS] == expected


def test_partitions_of_customers_among_other_keys_are_equal() -> None:
    mixed = [*JAVA, *CUSTOMERS]
    alone = [partitions_for([key], 97)[0] for key in mixed]
    assert partitions_for(mixed, 97) == alone
    assert alone[len(JAVA) :] == [places[3] for places in CUSTOMERS.values()]


def test_no_keys_have_no_partitions() -> None:
    assert partitions_for([], 8) == []


def test_partition_is_a_plain_int() -> None:
    assert {type(place) for place in partitions_for(list(CUSTOMERS), 8)} == {int}
