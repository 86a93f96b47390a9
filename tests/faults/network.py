"""Between the worker and the brokers: answers lost, late or cut off, connections cut, a black hole, a slow line."""

import random
import time

from tests.faults.fault import Fault
from tests.faults.play import Play
from tests.faults.proxy import Api, Deed, Doors, Rule, Weather

FIRE_LIMIT_S = 60.0
LONGEST_DELAY_S = 25.0  # longer than the relay waits for a transaction
SILENT_S = (4.0, 25.0)
SLOW_S = 8.0
IN_TRANSACTION = (Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.END_TXN)


def faults() -> list[Fault]:
    """Every answer that matters with every deed, and the weather."""
    answers = [_answer(api, deed) for api in (Api.INIT_PRODUCER_ID, *IN_TRANSACTION) for deed in Deed]
    return [
        *answers,
        Fault("every connection cut", _cut),
        Fault("a black hole", _black_hole),
        Fault("a slow network", _slow),
    ]


def _answer(api: Api, deed: Deed) -> Fault:
    def inflict(play: Play, rng: random.Random) -> str:
        rule = play.lay(Rule(api, deed, seconds=rng.uniform(1, LONGEST_DELAY_S)))
        if api is Api.INIT_PRODUCER_ID:
            play.turn_to_publisher()
            play.restart()  # a new relay asks for it
        play.wait_for(lambda: rule.fired > 0, f"an answer to {api.name} {deed.value}", FIRE_LIMIT_S)
        play.lift_rules()
        return f"answer {deed.value}" + (f" by {rule.seconds:.0f} s" if deed is Deed.DELAY else "")

    return Fault(f"answer to {api.name.replace('_', ' ').title().replace(' ', '')} {deed.value}", inflict)


def _cut(play: Play, _: random.Random) -> str:
    cut = play.doors.cut()
    assert cut, "there was no connection to cut"
    return f"{cut} connections cut"


def _black_hole(play: Play, rng: random.Random) -> str:
    seconds = rng.uniform(*SILENT_S)
    answers = in_weather(play.doors, Weather.SILENT, seconds)
    return f"silent for {seconds:.0f} s after {answers} answers"


def _slow(play: Play, _: random.Random) -> str:
    answers = in_weather(play.doors, Weather.SLOW, SLOW_S)
    assert answers > 0, "nothing went over the slow network"
    return f"{answers} answers in {SLOW_S:.0f} s"


def in_weather(doors: Doors, weather: Weather, seconds: float) -> int:
    """Let there be this weather for so long; how many answers came through it."""
    before = doors.answers
    doors.weather = weather
    try:
        time.sleep(seconds)  # its length is the fault
    finally:
        doors.weather = Weather.CLEAR
    return doors.answers - before
