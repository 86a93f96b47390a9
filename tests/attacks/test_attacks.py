"""Every attack fails. One that cannot be tried on this machine is a failure, which names what it needs."""

from collections.abc import Iterator

import pytest

from tests.attacks import catalogue
from tests.attacks.attack import Attack, Targets
from tests.attacks.catalogue import ATTACKS
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def targets(kafka: Kafka) -> Iterator[Targets]:
    with catalogue.targets(kafka) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_repelled(attack: Attack, targets: Targets) -> None:
    print(attack.run(targets))
