"""Do two sentences tell of the same event? Most words of the matter differ in both classes; the meaning in one."""

from __future__ import annotations

from src.data.generated.deeds import Deed, reworded, two_of_one_theme
from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, TIMES, WOMEN


@grammar("different", "same")
def paraphrase(draw: Draw, label: str) -> Texts:
    """Pairs, two classes: two deeds of one person told again, mostly in other words, against other deeds or a doer of the other sex."""
    woman, time = draw.percent(50), draw.pick(TIMES)
    deeds, others = two_of_one_theme(draw)
    told = [deed if draw.percent(30) else reworded(deed) for deed in deeds]
    by_woman = woman
    if label == "different" and draw.percent(40):
        told, by_woman = others, draw.percent(50)
    elif label == "different":
        by_woman = not woman
    again = ("she", "the woman") if by_woman else ("he", "the man")
    return _event(draw, draw.pick(WOMEN if woman else MEN), deeds, time), _event(draw, draw.pick(again), told, time)


def _event(draw: Draw, doer: str, deeds: list[Deed], time: str) -> str:
    first, second = draw.some(deeds, 2)
    frame = draw.pick(("{time} {doer} {first} and {second}", "{doer} {first} and {second} {time}"))
    return frame.format(time=time, doer=doer, first=first.past, second=second.past)
