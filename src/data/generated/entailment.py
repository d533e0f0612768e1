"""Write pairs of sentences, where the second follows from the first, contradicts it, or neither.

Both sentences are negated equally often in every class.
"""

from __future__ import annotations

from src.data.generated.deeds import reworded, two_of_one_theme
from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, TIMES, WOMEN

ENTAILED, NEUTRAL, CONTRADICTED = "entailment", "neutral", "contradiction"


@grammar(ENTAILED, NEUTRAL, CONTRADICTED)
def entailment(draw: Draw, label: str) -> Texts:
    """Return two sentences: two deeds, both done or neither, and one of them affirmed or denied.

    The second sentence mostly has another wording. In neutral pairs it is about another deed, or
    about a person of the other sex.
    """
    woman, done = draw.percent(50), draw.percent(50)
    deeds, others = two_of_one_theme(draw)
    person, retold = draw.pick(WOMEN if woman else MEN), draw.pick(deeds)
    again = "she" if woman else "he"
    if label == NEUTRAL:
        if draw.percent(60):
            retold = draw.pick(others)
        else:
            again = "he" if woman else "she"
    if draw.percent(70):
        retold = reworded(retold)
    affirmed = draw.percent(50) if label == NEUTRAL else done == (label == ENTAILED)
    if done:
        first = f"{deeds[0].past} and {deeds[1].past}"
    elif draw.percent(70):
        first = f"never {deeds[0].past} or {deeds[1].past}"
    else:
        first = f"did not {deeds[0].base} or {deeds[1].base}"
    return f"{draw.pick(TIMES)} {person} {first}", f"{again} {retold.past if affirmed else f'did not {retold.base}'}"
