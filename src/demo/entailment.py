"""Does the second sentence follow from the first, contradict it, or neither? Either of them is denied as often in every class."""

from __future__ import annotations

from src.demo import Texts, grammar
from src.demo.deeds import Deed, another, reworded, two
from src.demo.draw import Draw
from src.demo.lexicon import MEN, TIMES, WOMEN

ENTAILED, NEUTRAL, CONTRADICTED = "entailment", "neutral", "contradiction"
DONE = ("{past}", "{past}", "managed to {base}", "was seen to {base}", "made haste to {base}")
NOT_DONE = ("did not {base}", "never {past}", "refused to {base}", "forgot to {base}", "was unable to {base}")


@grammar(ENTAILED, NEUTRAL, CONTRADICTED)
def entailment(draw: Draw, label: str) -> Texts:
    """Pairs, three classes: one deed, done or not, or two of which one was done; the second sentence affirms or denies one of them.

    It is neutral where it tells of another deed, or gives one's deed to the doer of the other.
    """
    doers, deeds = draw.some((*MEN, *WOMEN), 2), two(draw)
    done = draw.percent(50)
    premise = f"{draw.pick(TIMES)} {_clause(draw, doers[0], deeds[0], done)}"
    alone = draw.percent(60)
    if not alone:
        premise += f"{draw.pick((', but', ', and', ' while'))} {_clause(draw, doers[1], deeds[1], not done)}"
    told, doer = deeds[0], doers[0]
    if label == NEUTRAL:
        if alone or draw.percent(60):
            told = another(draw, deeds, same_theme=draw.percent(20))
        else:
            doer = doers[1]
    if draw.percent(70):
        told = reworded(told)
    affirmed = draw.percent(50) if label == NEUTRAL else done == (label == ENTAILED)
    return premise, f"{doer} {told.past if affirmed else draw.pick(('did not ' + told.base, 'never ' + told.past))}"


def _clause(draw: Draw, doer: str, deed: Deed, done: bool) -> str:
    return f"{doer} {draw.pick(DONE if done else NOT_DONE).format(base=deed.base, past=deed.past)}"
