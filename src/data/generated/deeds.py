"""Deeds by theme, each in two wordings without a common content word."""

from __future__ import annotations

from dataclasses import dataclass

from src.data.generated.draw import Draw


@dataclass(frozen=True)
class Deed:
    """One deed in one wording: `base` follows `did not`, `past` stands alone."""

    theme: int
    number: int
    wording: int
    base: str
    past: str


# One wording = the other, each as base/past of its verb and the rest; an empty line between themes.
THEMES = """
sail/sailed the ship = take/took command of the vessel
cross/crossed the ocean = go/went over the sea
row/rowed to the shore = reach/reached the beach in a boat
watch/watched the waves = look/looked at the rough water
escape/escaped from the wreck = come/came to land alive

fight/fought in the battle = face/faced the enemy
fire/fired a gun = use/used the rifle
command/commanded the troops = lead/led the soldiers
give/gave up the fort = lose/lost the castle
draw/drew a sword = seize/seized the weapon

cook/cooked the meat = prepare/prepared some beef
make/made soup = boil/boiled the potatoes
pour/poured out the tea = fill/filled the cups
set/set the table = lay/laid out the plates
eat/ate supper = enjoy/enjoyed a good dinner

pay/paid the debt = settle/settled an account
waste/wasted a fortune = throw/threw away great wealth
sell/sold the goods = deal/dealt in cotton
work/worked in a bank = sit/sat in the office of a broker
buy/bought a shop = purchase/purchased a store

cure/cured the patient = save/saved the sick
wash/washed the wound = dress/dressed the injury
take/took some medicine = swallow/swallowed a bitter drug
send/sent for a doctor = call/called in the physician
catch/caught a fever = fall/fell ill

pray/prayed to God = ask/asked for the mercy of heaven
bless/blessed the people = deliver/delivered a sermon
repent/repented of a sin = regret/regretted some evil
believe/believed in Christ = have/had a true religious faith
enter/entered the church = go/went to the holy service

plough/ploughed the field = turn/turned the soil
cut/cut the corn = gather/gathered in the harvest
feed/fed the cattle = give/gave hay to the cows
own/owned a farm = keep/kept some sheep
saddle/saddled the horse = make/made the mare ready

write/wrote a letter = send/sent a note
read/read a novel = finish/finished a book
print/printed some verses = publish/published a poem
learn/learned French = study/studied a foreign language
teach/taught the children = keep/kept a school

kill/killed a man = commit/committed a murder
steal/stole the jewels = carry/carried off the diamonds
go/went to prison = enter/entered the jail
tell/told the truth in court = give/gave honest evidence
consult/consulted a lawyer = bring/brought an action at law

play/played the piano = make/made beautiful music
sing/sang a song = raise/raised a tune
paint/painted a portrait = draw/drew a face
act/acted in a play = appear/appeared on the stage
dance/danced all night = go/went to the ball

light/lit the fire = burn/burned a log
go/went to bed = lie/lay down to sleep
sweep/swept the floor = clean/cleaned the room
mend/mended a coat = sew/sewed up an old dress
lock/locked the door = close/closed the gate

climb/climbed the mountain = reach/reached the top of the hill
ride/rode to town = visit/visited the city
lose/lost the way = wander/wandered from the path
start/started on a journey = set/set out with a trunk
hunt/hunted the deer = follow/followed the game
"""


def _deed(theme: int, number: int, wording: int, text: str) -> Deed:
    verb, _, rest = text.strip().partition(" ")
    base, past = verb.split("/")
    return Deed(theme, number, wording, f"{base} {rest}", f"{past} {rest}")


DEEDS = tuple(
    tuple(
        (_deed(theme, number, 0, first), _deed(theme, number, 1, second))
        for number, (first, _, second) in enumerate(line.partition("=") for line in lines.splitlines())
    )
    for theme, lines in enumerate(THEMES.strip().split("\n\n"))
)


def reworded(deed: Deed) -> Deed:
    """Return the same deed in its other wording."""
    return DEEDS[deed.theme][deed.number][1 - deed.wording]


def two_of_one_theme(draw: Draw) -> tuple[list[Deed], list[Deed]]:
    """Return two deeds of one theme, then two of another."""
    first, second = draw.some(DEEDS, 2)
    return [draw.pick(deed) for deed in draw.some(first, 2)], [draw.pick(deed) for deed in draw.some(second, 2)]
