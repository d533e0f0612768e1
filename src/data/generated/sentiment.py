"""Write sentences of praise or blame; each judging word occurs nearly equally often in both."""

from __future__ import annotations

from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import PLACES, TIMES, WOMEN, a, words

# Nouns, with the words of praise and of blame that fit them.
KINDS = (
    (
        words("host doctor captain teacher cook guide landlord lawyer nurse servant governor clerk officer cousin"),
        words(
            "kind generous honest gentle clever patient cheerful polite wise sensible noble charming faithful pleasant"
        ),
        words("cruel selfish wicked rude stupid idle vain gloomy foolish mean harsh careless false proud"),
    ),
    (
        words("book play dinner journey speech letter story song party lesson evening visit supper walk"),
        words(
            "delightful pleasant excellent splendid charming amusing interesting beautiful lovely noble brilliant "
            "fine perfect rare"
        ),
        words("dull dark miserable dreadful wretched poor stupid weary dreary horrible vulgar awkward dismal ugly"),
    ),
    (
        words("room house garden inn village bed hotel church cottage street coffee wine fire view"),
        words(
            "delightful pleasant excellent splendid charming comfortable good beautiful lovely agreeable noble neat "
            "fine perfect"
        ),
        words("dull dirty miserable dreadful wretched poor empty bad dreary horrible vulgar cold dismal ugly"),
    ),
)
INTENSIFIERS = ("very", "really", "quite", "truly", "always", "most certainly")
NEGATIONS = ("not", "never", "hardly", "scarcely", "far from", "not at all")
ASIDES = (
    "as {woman} wrote to me {time}",
    "as we told {woman} {time}",
    "and {woman} knew it",
    "and I said so to {woman} {place}",
    "and {woman} talked of it {time}",
    "as I heard from {woman} {place}",
    "and that was what {woman} remembered {time}",
    "and so we told {woman} {time}",
)


@grammar("negative", "positive")
def sentiment(draw: Draw, label: str) -> Texts:
    """Return a sentence with a contrast, an expectation against its outcome, or a judgement.

    Nearly every sentence has two words of opposite sense, and only their positions decide which one
    counts.
    """
    good = label == "positive"
    kind = draw.below(100)
    if kind < 50:
        text = _contrast(draw, good)
    elif kind < 92:
        text = _outcome(draw, good)
    else:
        text = _judgement(draw, good)
    if draw.percent(25):
        text += f", {draw.pick(ASIDES).format(woman=draw.pick(WOMEN), time=draw.pick(TIMES), place=draw.pick(PLACES))}"
    return (text,)


def _things(draw: Draw) -> tuple[str, str, str]:
    """Return a thing, a word of praise for it, and a word of blame."""
    nouns, praise, blame = draw.pick(KINDS)
    return draw.pick(nouns), draw.pick(praise), draw.pick(blame)


def _judgement(draw: Draw, good: bool) -> str:
    """Return a clause that judges a thing, in half of the cases by a negated opposite."""
    noun, praise, blame = _things(draw)
    negated = draw.percent(50)
    return f"the {noun} was {draw.pick(NEGATIONS if negated else INTENSIFIERS)} {praise if good != negated else blame}"


def _contrast(draw: Draw, good: bool) -> str:
    """Return two judgements, of which the one after `but`, or without `although`, counts."""
    noun, praise, blame = _things(draw)
    other, other_praise, other_blame = _things(draw)
    counts = f"the {noun} was {praise if good else blame}"
    yields = f"the {other} was {other_blame if good else other_praise}"
    frame = draw.pick(("{0}, but {1}", "{0}, but {1}", "{0}, yet {1}", "although {0}, {1}"))
    return frame.format(yields, counts)


def _outcome(draw: Draw, good: bool) -> str:
    """Return an expectation and the opposite outcome, which counts."""
    noun, praise, blame = _things(draw)
    word, opposite = (praise, blame) if good else (blame, praise)
    frame = draw.pick(
        (
            "we had expected {opposite_a} {noun} and found {word_a} one",
            "the {noun} was to have been {opposite} and proved {word}",
            "what they had called {opposite_a} {noun} was in truth {word}",
        )
    )
    return frame.format(noun=noun, word=word, opposite=opposite, word_a=a(word), opposite_a=a(opposite))
