"""Write pairs of sentences about the same event, or about different ones.

Most content words differ in both classes.
"""

from __future__ import annotations

from src.data.generated.deeds import Deed, reworded, two_of_one_theme
from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, TIMES, WOMEN


@grammar("different", "same")
def paraphrase(draw: Draw, label: str) -> Texts:
    """Return two sentences about two deeds of a person, mostly in different wordings.

    Different pairs have other deeds, or a person of the other sex.
    """
    woman, time = draw.percent(50), draw.pick(TIMES)
    deeds, others = two_of_one_theme(draw)
    retold = [deed if draw.percent(30) else reworded(deed) for deed in deeds]
    by_woman = woman
    if label == "different" and draw.percent(40):
        retold, by_woman = others, draw.percent(50)
    elif label == "different":
        by_woman = not woman
    again = ("she", "the woman") if by_woman else ("he", "the man")
    return _event(draw, draw.pick(WOMEN if woman else MEN), deeds, time), _event(draw, draw.pick(again), retold, time)


def _event(draw: Draw, person: str, deeds: list[Deed], time: str) -> str:
    first, second = draw.some(deeds, 2)
    frame = draw.pick(("{time} {person} {first} and {second}", "{person} {first} and {second} {time}"))
    return frame.format(time=time, person=person, first=first.past, second=second.past)
