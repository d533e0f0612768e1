"""Write pairs of sentences, where the second continues the first or does not."""

from __future__ import annotations

from dataclasses import dataclass

from src.data.generated.draw import Draw
from src.data.generated.grammars import Texts, grammar
from src.data.generated.lexicon import MEN, WOMEN


@dataclass(frozen=True)
class Scene:
    """The people of a scene, what they do, and the events around them.

    No phrase shares a content word with another phrase of its scene.
    """

    he: tuple[str, ...]
    she: tuple[str, ...]
    acts: tuple[str, ...]
    events: tuple[str, ...]


def _scene(he: str, she: str, acts: str, events: str) -> Scene:
    def parts(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split("/"))

    return Scene(parts(he), parts(she), parts(acts), parts(events))


SCENES = (
    _scene(
        "the captain / the sailor / the old seaman",
        "the captain's wife / the sailor's daughter",
        "brought the ship into port / set the sails / dropped the anchor / threw a rope over the side / "
        "looked out at the waves / rowed a boat to the shore / watched the tide go out / saw land at sea / "
        "climbed the mast / came up from the cabin",
        "the wind blew from the west / the deck was wet / a storm was coming up / the harbour lay behind them / "
        "the whole crew were drunk / the coast was in sight",
    ),
    _scene(
        "the judge / the lawyer / the prisoner",
        "the prisoner's wife / the murderer's mother",
        "read out the charge / swore to tell the truth / spoke to the jury / denied the murder / asked for justice / "
        "explained the law / wrote down the evidence / answered for the crime / called a witness / was found guilty",
        "the court was silent / the trial had lasted three days / the case was a plain one / "
        "the sentence was death / the police stood at the door / the verdict was a just one",
    ),
    _scene(
        "the farmer / the farm boy / the farmer's son",
        "the farmer's wife / the farmer's daughter",
        "fed the pigs / kept cows / cut the hay / drove the sheep home / sowed the corn / sold the eggs / "
        "took the horses to water / loaded the cart / shut the gate of the yard / bought some land",
        "the barn was full / the harvest was nearly over / the cattle were fat / the wheat was ripe / "
        "the fields were dry / the soil was rich",
    ),
    _scene(
        "the cook / the baker / the cook's boy",
        "the kitchen maid / the cook's sister",
        "cut the bread / made soup / put the meat on the fire / washed the plates / poured out the milk / "
        "spread the butter / boiled the eggs / took the pie away / wiped the cups / tasted the cheese",
        "supper was late / the smell of fish filled the house / the knives lay on the table / "
        "dinner was nearly ready / the pot was hot / the tea was cold",
    ),
    _scene(
        "the teacher / the pupil / the schoolboy",
        "the teacher's sister / the little pupil",
        "gave the children a lesson / learned the poem by heart / wrote the answers in ink / opened the grammar / "
        "studied French / spelled the hard words / sat down at the desk / was sent to college / taught geography / "
        "did badly at reading",
        "the class was large / the examination was near / the school was a good one / the holidays were coming / "
        "education was a slow business / the boys and girls were idle",
    ),
    _scene(
        "the soldier / the general / the young officer",
        "the soldier's wife / the general's daughter",
        "fired the gun / led the attack / gave the order to march / drew a sword / held the bridge / "
        "buried the dead / raised the flag / rode along the line / defended the fort / received a wound",
        "the enemy were close at hand / the army was in retreat / the regiment had lost many men / "
        "the battle was over / the war went on / the troops were weary",
    ),
    _scene(
        "the priest / the bishop / the monk",
        "the bishop's sister / the pious woman",
        "spoke of heaven / knelt to pray / lit the candles on the altar / blessed the people / opened the Bible / "
        "preached the sermon / asked forgiveness of sin / believed in the saints / gave thanks to God / "
        "sang the psalm",
        "the church was dark / the choir stood up / the bells had stopped / the service was long / "
        "the faith was strong / a prayer was heard",
    ),
    _scene(
        "the actor / the manager / the player",
        "the actress / the actor's wife",
        "walked on to the stage / forgot the part / bowed to the audience / painted the scenery / put on a costume / "
        "raised the curtain / spoke the lines / studied the character of the king / wrote a comedy / sold the tickets",
        "the theatre was full / the orchestra was late / the applause was loud / the boxes were empty / "
        "the play was a tragedy / the last scene had begun",
    ),
    _scene(
        "the doctor / the surgeon / the sick man",
        "the nurse / the doctor's wife",
        "felt the pulse / gave out the medicine / lay in bed with a fever / stopped the blood / washed the wound / "
        "took a dose of the powder / looked at the broken leg / slept in the hospital / was weak and pale / "
        "tried to save a life",
        "the pain grew less / the illness was nearly over / the disease had spread / the patient was dying / "
        "the operation was dangerous / health was slow to come",
    ),
    _scene(
        "the hunter / the guide / the Indian",
        "the hunter's wife / the Indian woman",
        "followed the deer / shot a bear / loaded the rifle / set a trap for the fox / called the dogs / "
        "made camp by the stream / crept through the bushes / hid behind a tree / found a track / cut some branches",
        "the leaves moved / a wolf cried / the birds flew up / the trail was lost / the woods grew thick / "
        "the forest was dark",
    ),
    _scene(
        "the guard / the traveller / the passenger",
        "the lady traveller / the passenger's niece",
        "bought a ticket to London / carried the trunk along the platform / leaned out of the carriage / "
        "missed the express / found a seat in the corner / got out with a bag / looked up the hour of arrival / "
        "slept on the journey / waited for the mail / stood upon the rails",
        "the engine was an old one / the luggage had been lost / the line ran through a valley / "
        "the train was crowded / the railway was new / the station was in sight",
    ),
    _scene(
        "the merchant / the banker / the clerk",
        "the merchant's widow / the banker's daughter",
        "counted the money / added up the accounts / signed the papers / bought shares in the company / "
        "paid the bills / opened the office / owed a hundred pounds / lost a fortune in cotton / "
        "sold the goods at a profit / raised the price of sugar",
        "trade was bad / the bank had failed / the market was rising / the debts were heavy / business was slow / "
        "the firm was an old one",
    ),
    _scene(
        "the gardener / the gardener's boy",
        "the lady of the garden / the gardener's daughter",
        "watered the roses / picked the apples / planted a row of beans / swept the path / cut the grass / "
        "gathered the violets / smelled the lilies / tied up the vines / sat on the lawn / dug the earth",
        "the bees were busy / the fruit was ripe / the hedge was green / the flowers had opened / "
        "the plants were in bloom / the seeds were coming up",
    ),
    _scene(
        "the musician / the singer / the old player",
        "the lady singer / the singer's sister",
        "played the violin / sat down at the piano / touched the strings / sang a ballad / heard the opera / "
        "wrote a new tune / kept time with one foot / beat the drum / listened to the melody / began another song",
        "the concert was over / the flute took up the air / the last notes died away / the music was sweet / "
        "the band was ready / the voices were clear",
    ),
    _scene(
        "the scholar / the author / the professor",
        "the professor's daughter / the author's wife",
        "read a volume of history / dipped a pen in the ink / took a book down from the shelf / "
        "finished the chapter / translated the Latin / wrote an essay / studied philosophy / turned the pages / "
        "searched for a quotation / copied the manuscript",
        "the library was quiet / sheets of paper lay everywhere / the publisher was waiting / "
        "the novel was a success / literature paid badly / the printed word was everything",
    ),
    _scene(
        "the explorer / the mountain guide / the lieutenant",
        "the explorer's sister / the mountain girl",
        "crossed the glacier / sank in the snow / fell on the ice / drew the sledge / pitched the tent / "
        "put on fur gloves / drove the dogs / ate the last biscuit / cooked a seal / marched towards the Pole",
        "the frost was bitter / the pass was blocked / the cold grew worse / the blizzard was over / "
        "the north wind blew / the winter had come",
    ),
)  # fmt: skip
TIMES = (
    "that morning",
    "in the afternoon",
    "towards evening",
    "at last",
    "after a while",
    "an hour later",
    "the next day",
    "before long",
)
OPENINGS = (
    "{time} {person} {act}",
    "{person} {act} {time}",
    "{person} {act}, as {event}",
    "it was {time} that {person} {act}",
)
CONTINUATIONS = (
    "then {pronoun} {act}",
    "{pronoun} {act}, and {event}",
    "{event}, and {pronoun} {act}",
    "{pronoun} {act} without a word",
    "{pronoun} also {act}, for {event}",
    "when {pronoun} {act}, {event}",
)


@grammar("break", "continuation")
def coherence(draw: Draw, label: str) -> Texts:
    """Return two sentences, as in next-sentence prediction.

    A break has another scene, or the wrong pronoun in the same scene. Every scene opens and
    continues a pair as often in either class.
    """
    scene, other = draw.some(SCENES, 2)
    woman = draw.percent(50)
    acts, events = draw.some(scene.acts, 2), draw.some(scene.events, 2)
    she, continuation = woman, draw.pick(CONTINUATIONS)
    if label == "break":
        if draw.percent(50):
            acts[1], events[1] = draw.pick(other.acts), draw.pick(other.events)
            she = draw.percent(50)
        else:
            she = not woman
    names, roles = (WOMEN, scene.she) if woman else (MEN, scene.he)
    person = draw.pick(names if draw.percent(60) else roles)
    first = draw.pick(OPENINGS).format(time=draw.pick(TIMES), person=person, act=acts[0], event=events[0])
    return first, continuation.format(pronoun="she" if she else "he", act=acts[1], event=events[1])
