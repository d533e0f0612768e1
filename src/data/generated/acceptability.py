"""Write acceptable and unacceptable sentences.

Each error exchanges words or forms that are as common in correct sentences, so that no single word
reveals it.
"""

from __future__ import annotations

from collections.abc import Callable

from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, PLACES, TIMES, TRADES, WOMEN, words

Clause = Callable[[Draw, bool], str]  # the flag: whether the clause is correct

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
    "take taken|write written|see seen|give given|break broken|choose chosen|steal stolen|forget forgotten|"
    "hide hidden|throw thrown|draw drawn|show shown|know known|shake shaken"
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
    """Return a single sentence of one or two clauses; without an error if acceptable.

    Errors concern agreement near and far, case, gender, verb forms and the order of neighbouring
    words. Of two clauses, one or both have an error.
    """
    correct = label == "acceptable"
    first, second = draw.some(CLAUSES, 2)
    end = draw.pick(PLACES) if draw.percent(30) else ""
    if draw.percent(40):
        return (f"{first(draw, correct)} {end}",)
    exempt = draw.pick(((False, False), (False, False), (True, False), (False, True)))
    clauses = [clause(draw, correct or spared) for clause, spared in zip((first, second), exempt, strict=True)]
    return (f"{clauses[0]} {draw.pick(JOINTS)} {clauses[1]} {end}",)


def _noun(draw: Draw, nouns: dict[str, str]) -> tuple[str, bool]:
    """Return a noun, and whether it is plural."""
    singular = draw.pick(list(nouns))
    plural = draw.percent(50)
    return (nouns[singular] if plural else singular), plural


def _name(draw: Draw) -> str:
    return draw.pick((*MEN, *WOMEN))


def _thing(draw: Draw) -> str:
    return draw.pick(list(THINGS))


def near_agreement(draw: Draw, correct: bool) -> str:
    """Return a clause: the men were / the men was."""
    noun, plural = _noun(draw, PEOPLE)
    return f"the {noun} {draw.pick(BE)[plural == correct]} {draw.pick(STATES)}"


def far_agreement(draw: Draw, correct: bool) -> str:
    """Return a clause: the letter from the men was / were."""
    noun, plural = _noun(draw, THINGS)
    owner, _ = _noun(draw, PEOPLE)
    between = draw.pick(("of", "from", "behind", "near", "beside"))
    verb = draw.pick(BE)[plural == correct]
    return f"the {noun} {between} the {owner} {verb} {draw.pick(('lost', 'found', 'new', 'gone', 'sold', 'here'))}"


def determiner(draw: Draw, correct: bool) -> str:
    """Return a clause: these letters / these letter."""
    noun, plural = _noun(draw, THINGS)
    verb = draw.pick(("saw", "bought", "wanted", "sold", "found"))
    return f"{_name(draw)} {verb} {draw.pick(DETERMINERS)[plural == correct]} {noun}"


def article(draw: Draw, correct: bool) -> str:
    """Return a clause: an old house / a old house."""
    vowel = draw.percent(50)
    word = draw.pick(VOWELS if vowel else CONSONANTS)
    verb = draw.pick(("had", "saw", "bought", "remembered"))
    return f"{_name(draw)} {verb} {'an' if vowel == correct else 'a'} {word} {_thing(draw)}"


def case(draw: Draw, correct: bool) -> str:
    """Return a clause: he saw her / her saw he."""
    subject, other = draw.pick(CASES)
    if not correct:
        subject, other = other, subject
    return f"{subject} {draw.pick(SEEN)} {other} {draw.pick(PLACES)}"


def form(draw: Draw, correct: bool) -> str:
    """Return a clause: had taken / had take."""
    base, participle = draw.pick(VERBS)
    perfect = draw.percent(50)
    helper = draw.pick(("had", "has")) if perfect else draw.pick(("would", "could", "did not", "must"))
    return f"the {draw.pick(TRADES)} {helper} {participle if perfect == correct else base} the {_thing(draw)}"


def reflexive(draw: Draw, correct: bool) -> str:
    """Return a clause: Mary hurt herself / himself."""
    woman = draw.percent(50)
    verb = draw.pick(("hurt", "saw", "thought of", "asked", "spoke to", "forgot", "laughed at"))
    return f"{draw.pick(WOMEN if woman else MEN)} {verb} {'herself' if woman == correct else 'himself'}"


def complement(draw: Draw, correct: bool) -> str:
    """Return a clause: hoped to read / hoped reading."""
    infinitive = draw.percent(50)
    verb = draw.pick(
        ("wanted", "hoped", "decided", "promised") if infinitive else ("enjoyed", "finished", "kept on", "avoided")
    )
    base = draw.pick(("read", "sing", "walk", "work", "speak", "talk"))
    return f"{_name(draw)} {verb} {f'to {base}' if infinitive == correct else f'{base}ing'} {draw.pick(PLACES)}"


def relative(draw: Draw, correct: bool) -> str:
    """Return a clause: the man who / the letter who."""
    person = draw.percent(50)
    noun = draw.pick(list(PEOPLE)) if person else _thing(draw)
    verb = draw.pick(("came", "fell", "stood here", "was lost", "pleased us"))
    return f"this was the {noun} {'who' if person == correct else 'which'} {verb} {draw.pick(TIMES)}"


def tense(draw: Draw, correct: bool) -> str:
    """Return a clause: yesterday he came / yesterday he will come."""
    past = draw.percent(50)
    time = draw.pick(("yesterday", "long ago", "last year") if past else ("tomorrow", "next year", "some day"))
    verb = draw.pick(
        (("came", "will come"), ("went", "will go"), ("wrote", "will write"), ("returned", "will return"))
    )[past != correct]
    return f"{time} the {draw.pick(TRADES)} {verb} {draw.pick(('home', 'again', 'alone', 'with us'))}"


def order(draw: Draw, correct: bool) -> str:
    """Return a clause: had taken the letter / had taken letter the."""
    _, participle = draw.pick(VERBS)
    start = f"the {draw.pick(TRADES)} had {participle}"
    clause = f"{start} the {draw.pick(CONSONANTS)} {_thing(draw)} {draw.pick(PLACES)}".split()
    if not correct:
        place = draw.below(len(clause) - 1)
        clause[place], clause[place + 1] = clause[place + 1], clause[place]
    return " ".join(clause)


CLAUSES: tuple[Clause, ...] = (
    near_agreement, far_agreement, determiner, article, case, case, form, form, reflexive, complement, relative, tense,
    order, order, order,
)  # fmt: skip
