"""Is it English? Each fault exchanges words or forms that are as common in sound sentences, so that no word betrays it."""

from __future__ import annotations

from collections.abc import Callable

from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, PLACES, TIMES, TRADES, WOMEN, words

Clause = Callable[[Draw, bool], str]

PEOPLE = {trade: f"{trade}s" for trade in TRADES} | {
    "man": "men",
    "woman": "women",
    "child": "children",
    "lady": "ladies",
}
THINGS = {
    noun: f"{noun}s" for noun in words("book letter horse house picture table chair boat tree stone door room ship hat")
}
STATES = words("tired hungry silent happy angry afraid ready alone rich poor ill proud busy lost")
VOWELS = words("old empty ugly odd open awful ancient excellent")
CONSONANTS = words("young small heavy broken large strange pretty dark")
FORMS = (
    "take taken|write written|see seen|give given|break broken|choose chosen|steal stolen|forget forgotten|hide hidden|throw thrown"
    "|draw drawn|show shown|know known|shake shaken"
)
VERBS = [tuple(pair.split()) for pair in FORMS.split("|")]
SEEN = words("saw met followed helped loved left believed heard watched knew")
CASES = (
    ("he", "her"),
    ("she", "him"),
    ("they", "me"),
    ("we", "them"),
    ("I", "him"),
    ("he", "us"),
    ("she", "them"),
    ("they", "her"),
)
BE = (("was", "were"), ("is", "are"), ("has been", "have been"))
DETERMINERS = (
    ("this", "these"),
    ("that", "those"),
    ("one", "two"),
    ("every", "several"),
    ("another", "many"),
    ("each", "three"),
)
JOINTS = (", and", ", but", "; ", "because", "while", "when", ", for", ", so that")


@grammar("unacceptable", "acceptable")
def acceptability(draw: Draw, label: str) -> Texts:
    """Single sentences, two classes: agreement near and far, case, gender, forms of the verb, order of neighbouring words.

    One clause or two; of two, one or both have a fault.
    """
    sound = label == "acceptable"
    first, second = draw.some(CLAUSES, 2)
    end = draw.pick(PLACES) if draw.percent(30) else ""
    if draw.percent(40):
        return (f"{first(draw, sound)} {end}",)
    faults = draw.pick(((False, False), (False, False), (True, False), (False, True)))
    clauses = [clause(draw, sound or fault) for clause, fault in zip((first, second), faults, strict=True)]
    return (f"{clauses[0]} {draw.pick(JOINTS)} {clauses[1]} {end}",)


def _number(draw: Draw, nouns: dict[str, str]) -> tuple[str, bool]:
    one = draw.pick(list(nouns))
    many = draw.percent(50)
    return (nouns[one] if many else one), many


def _somebody(draw: Draw) -> str:
    return draw.pick((*MEN, *WOMEN))


def _thing(draw: Draw) -> str:
    return draw.pick(list(THINGS))


def near_agreement(draw: Draw, sound: bool) -> str:
    """The men were / the men was."""
    noun, many = _number(draw, PEOPLE)
    return f"the {noun} {draw.pick(BE)[many == sound]} {draw.pick(STATES)}"


def far_agreement(draw: Draw, sound: bool) -> str:
    """The letter from the men was / were."""
    noun, many = _number(draw, THINGS)
    owner, _ = _number(draw, PEOPLE)
    between = draw.pick(("of", "from", "behind", "near", "beside"))
    return f"the {noun} {between} the {owner} {draw.pick(BE)[many == sound]} {draw.pick(('lost', 'found', 'new', 'gone', 'sold', 'here'))}"


def determiner(draw: Draw, sound: bool) -> str:
    """These letters / these letter."""
    noun, many = _number(draw, THINGS)
    verb = draw.pick(("saw", "bought", "wanted", "sold", "found"))
    return f"{_somebody(draw)} {verb} {draw.pick(DETERMINERS)[many == sound]} {noun}"


def article(draw: Draw, sound: bool) -> str:
    """An old house / a old house."""
    vowel = draw.percent(50)
    word = draw.pick(VOWELS if vowel else CONSONANTS)
    verb = draw.pick(("had", "saw", "bought", "remembered"))
    return f"{_somebody(draw)} {verb} {'an' if vowel == sound else 'a'} {word} {_thing(draw)}"


def case(draw: Draw, sound: bool) -> str:
    """He saw her / her saw he."""
    subject, other = draw.pick(CASES)
    if not sound:
        subject, other = other, subject
    return f"{subject} {draw.pick(SEEN)} {other} {draw.pick(PLACES)}"


def form(draw: Draw, sound: bool) -> str:
    """Had taken / had take."""
    base, participle = draw.pick(VERBS)
    perfect = draw.percent(50)
    helper = draw.pick(("had", "has")) if perfect else draw.pick(("would", "could", "did not", "must"))
    return f"the {draw.pick(TRADES)} {helper} {participle if perfect == sound else base} the {_thing(draw)}"


def reflexive(draw: Draw, sound: bool) -> str:
    """Mary hurt herself / himself."""
    woman = draw.percent(50)
    verb = draw.pick(("hurt", "saw", "thought of", "asked", "spoke to", "forgot", "laughed at"))
    return f"{draw.pick(WOMEN if woman else MEN)} {verb} {'herself' if woman == sound else 'himself'}"


def complement(draw: Draw, sound: bool) -> str:
    """Hoped to read / hoped reading."""
    infinitive = draw.percent(50)
    verb = draw.pick(
        ("wanted", "hoped", "decided", "promised") if infinitive else ("enjoyed", "finished", "kept on", "avoided")
    )
    base = draw.pick(("read", "sing", "walk", "work", "speak", "talk"))
    return f"{_somebody(draw)} {verb} {f'to {base}' if infinitive == sound else f'{base}ing'} {draw.pick(PLACES)}"


def relative(draw: Draw, sound: bool) -> str:
    """The man who / the letter who."""
    person = draw.percent(50)
    noun = draw.pick(list(PEOPLE)) if person else _thing(draw)
    verb = draw.pick(("came", "fell", "stood here", "was lost", "pleased us"))
    return f"this was the {noun} {'who' if person == sound else 'which'} {verb} {draw.pick(TIMES)}"


def tense(draw: Draw, sound: bool) -> str:
    """Yesterday he came / yesterday he will come."""
    past = draw.percent(50)
    time = draw.pick(("yesterday", "long ago", "last year") if past else ("tomorrow", "next year", "some day"))
    verb = draw.pick(
        (("came", "will come"), ("went", "will go"), ("wrote", "will write"), ("returned", "will return"))
    )[past != sound]
    return f"{time} the {draw.pick(TRADES)} {verb} {draw.pick(('home', 'again', 'alone', 'with us'))}"


def order(draw: Draw, sound: bool) -> str:
    """Had taken the letter / had taken letter the; in the garden / the in garden."""
    _, participle = draw.pick(VERBS)
    clause = f"the {draw.pick(TRADES)} had {participle} the {draw.pick(CONSONANTS)} {_thing(draw)} {draw.pick(PLACES)}".split()
    if not sound:
        place = draw.below(len(clause) - 1)
        clause[place], clause[place + 1] = clause[place + 1], clause[place]
    return " ".join(clause)


CLAUSES: tuple[Clause, ...] = (
    near_agreement, far_agreement, determiner, article, case, case, form, form, reflexive, complement, relative, tense, order, order, order,
)  # fmt: skip
