"""Do two sentences tell of the same event? Nearly every word of the matter differs in both classes; the meaning in one."""

from __future__ import annotations

from src.demo import Texts, grammar
from src.demo.deeds import Deed, reworded, two_of_one_theme
from src.demo.draw import Draw
from src.demo.lexicon import MEN, TIMES, WOMEN

SOMEBODY = {True: ("a woman", "a lady", "a girl", "she"), False: ("a man", "a gentleman", "a boy", "he")}


@grammar("different", "same")
def paraphrase(draw: Draw, label: str) -> Texts:
    """Pairs, two classes: two deeds told again in other words, against other deeds, a doer of the other sex, or deeds left undone."""
    woman, done, time = draw.percent(50), draw.percent(70), draw.pick(TIMES)
    deeds, others = two_of_one_theme(draw)
    told, by_woman, was_done = [reworded(deed) for deed in deeds], woman, done
    if label == "different":
        kind = draw.below(100)
        if kind < 40:
            told = list(others)
        elif kind < 75:
            by_woman = not woman
        else:
            was_done = not done
    first = _event(draw, draw.pick(WOMEN if woman else MEN), deeds, "never", done, time)
    return first, _event(draw, draw.pick(SOMEBODY[by_woman]), told, "did not", was_done, time)


def _event(draw: Draw, doer: str, deeds: list[Deed], negation: str, done: bool, time: str) -> str:
    first, second = draw.some(deeds, 2)
    if done:
        matter = f"{first.past} and {second.past}"
    elif negation == "never":
        matter = f"never {first.past} or {second.past}"
    else:
        matter = f"did not {first.base} or {second.base}"
    return draw.pick(("{time} {doer} {matter}", "{doer} {matter} {time}")).format(time=time, doer=doer, matter=matter)
