"""Write pairs of sentences with a score from 0 to 5: how many parts of two events are the same.

Half of the shared parts have another wording.
"""

from __future__ import annotations

from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar


def _concepts(text: str) -> list[list[str]]:
    return [[wording.strip() for wording in concept.split("/")] for concept in text.split("|")]


# Every concept has two wordings.
SLOTS = {
    "who": _concepts(
        "the doctor/the physician|the lawyer/the attorney|the priest/the clergyman|the sailor/the seaman|"
        "the teacher/the professor|the lad/the boy|the lady/the woman|the officer/the soldier|the king/the monarch|"
        "the merchant/the trader|the author/the writer|the guest/the visitor|the traveller/the passenger|"
        "the captain/the commander|the servant/the attendant"
    ),
    "did": _concepts(
        "bought/purchased|kept/guarded|found/discovered|wanted/desired|examined/studied|destroyed/ruined|"
        "got/obtained|carried off/took away|hid/concealed|watched/observed|seized/caught|forgot/neglected"
    ),
    "what": _concepts(
        "a house/a dwelling|a picture/a portrait|a ship/a vessel|a coat/a cloak|a carriage/a coach|a box/a chest|"
        "a bag/a sack|a cart/a wagon|a shop/a store|a rope/a cord|a present/a gift|a rifle/a gun"
    ),
    "where": _concepts(
        "in the wood/in the forest|by the sea/by the ocean|on the hill/on the mountain|"
        "near the river/near the stream|at the inn/at the hotel|in the street/in the lane|"
        "in the church/in the chapel|in the harbour/in the port|near the town/near the city|"
        "in the castle/in the palace|in the cottage/in the hut|in the bedroom/in the chamber"
    ),
    "when": _concepts(
        "in the morning/before noon|at dawn/at sunrise|at last/in the end|again/once more|often/many times|"
        "in haste/with great speed|by chance/by accident|in secret/unseen|carefully/with caution|"
        "in silence/without a word|gladly/with pleasure|in anger/with rage"
    ),
}
FRAMES = (
    "{who} {did} {what} {where} {when}",
    "{when} {who} {did} {what} {where}",
    "{where} {who} {did} {what} {when}",
    "it was {where} that {who} {did} {what} {when}",
    "it was {who} who {did} {what} {where} {when}",
)


@grammar(*"012345")
def similarity(draw: Draw, label: str) -> Texts:
    """Return two sentences that share `label` of who, did, what, where and when.

    Wording and order are random.
    """
    changed = draw.some(list(SLOTS), len(SLOTS) - int(label))
    first, second = {}, {}
    for slot, concepts in SLOTS.items():
        concept, other = draw.some(concepts, 2)
        first[slot] = draw.pick(concept)
        second[slot] = draw.pick(other if slot in changed else concept)
    return draw.pick(FRAMES).format(**first), draw.pick(FRAMES).format(**second)
