"""Do two sentences tell of the same event? Nearly every word of the matter differs in both classes; the meaning in one."""

from __future__ import annotations

from src.demo import Texts, grammar
from src.demo.deeds import Deed, another, reworded, two
from src.demo.draw import Draw
from src.demo.lexicon import MEN, TIMES, WOMEN


@grammar("different", "same")
def paraphrase(draw: Draw, label: str) -> Texts:
    """Pairs, two classes: a deed told again, against another doer of it, another deed, or two deeds whose doers are exchanged."""
    time = draw.pick(TIMES)
    doers = draw.some((*MEN, *WOMEN), 2)
    deeds = two(draw)
    same = label == "same"
    kind = draw.below(100)
    if kind < 45:
        told = reworded(deeds[0]) if draw.percent(60) else deeds[0]
        return _one(draw, doers[0], deeds[0], time), _one(draw, doers[0 if same else 1], told, time)
    if kind < 85:
        told = deeds[0] if draw.percent(50) else reworded(deeds[0])
        return _one(draw, doers[0], deeds[0], time), _one(draw, doers[0], told if same else another(draw, deeds, draw.percent(20)), time)
    second = [reworded(deed) for deed in deeds]
    if not same:
        second.reverse()
    return _both(draw, doers, deeds, time), _both(draw, doers, second, time)


def _one(draw: Draw, doer: str, deed: Deed, time: str) -> str:
    return draw.pick(("{time} {doer} {deed}", "{doer} {deed} {time}", "it was {doer} who {deed} {time}")).format(
        time=time, doer=doer, deed=deed.past
    )


def _both(draw: Draw, doers: list[str], deeds: tuple[Deed, ...] | list[Deed], time: str) -> str:
    clauses = draw.some([f"{doer} {deed.past}" for doer, deed in zip(doers, deeds, strict=True)], 2)
    frame = draw.pick(("{time} {0}, and {1}", "{0} while {1} {time}", "{time} {0}, but {1}", "{0}, and {1} {time}"))
    return frame.format(*clauses, time=time)
