"""Does the second sentence follow from the first, contradict it, or neither? Either of them is denied as often in every class."""

from __future__ import annotations

from src.data.generated.deeds import reworded, two_of_one_theme
from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, TIMES, WOMEN

ENTAILED, NEUTRAL, CONTRADICTED = "entailment", "neutral", "contradiction"


@grammar(ENTAILED, NEUTRAL, CONTRADICTED)
def entailment(draw: Draw, label: str) -> Texts:
    """Pairs, three classes: of two deeds, both done or neither, one is affirmed or denied again, mostly in other words.

    Neutral is what tells of another deed, or of a doer of the other sex.
    """
    woman, done = draw.percent(50), draw.percent(50)
    deeds, others = two_of_one_theme(draw)
    doer, told = draw.pick(WOMEN if woman else MEN), draw.pick(deeds)
    again = "she" if woman else "he"
    if label == NEUTRAL:
        if draw.percent(60):
            told = draw.pick(others)
        else:
            again = "he" if woman else "she"
    if draw.percent(70):
        told = reworded(told)
    affirmed = draw.percent(50) if label == NEUTRAL else done == (label == ENTAILED)
    if done:
        matter = f"{deeds[0].past} and {deeds[1].past}"
    elif draw.percent(70):
        matter = f"never {deeds[0].past} or {deeds[1].past}"
    else:
        matter = f"did not {deeds[0].base} or {deeds[1].base}"
    return f"{draw.pick(TIMES)} {doer} {matter}", f"{again} {told.past if affirmed else f'did not {told.base}'}"
