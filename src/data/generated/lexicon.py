"""Words that several tasks share, common in novels and letters of the nineteenth century."""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


MEN = words("John Henry James Edward George Robert Arthur Walter Charles Peter Paul Jack William Tom David")
WOMEN = words("Mary Elizabeth Jane Emily Helen Margaret Alice Lucy Catherine Anne Ellen Sarah Louisa Edith Caroline")
TRADES = words(
    "doctor farmer captain teacher lawyer judge soldier sailor merchant servant priest nurse clerk stranger cook "
    "poet hunter"
)
TIMES = (
    "in the morning",
    "in the evening",
    "after breakfast",
    "before dinner",
    "after supper",
    "before sunset",
    "on Sunday",
    "on Monday",
    "last week",
    "last winter",
    "last summer",
    "at noon",
    "at midnight",
    "early in the spring",
    "late in the autumn",
)
PLACES = (
    "in the garden",
    "in the kitchen",
    "in the library",
    "in the village",
    "in the church",
    "at the station",
    "at the market",
    "by the river",
    "by the window",
    "near the bridge",
    "near the mill",
    "on the hill",
    "on the stairs",
    "behind the house",
    "under the trees",
)


def a(phrase: str) -> str:
    """Return a phrase with its indefinite article.

    >>> a("old house"), a("house")
    ('an old house', 'a house')
    """
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
