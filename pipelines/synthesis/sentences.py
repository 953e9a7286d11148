"""Sentences for the built-in corpora, from a small grammar, so that there are any number of distinct ones.

Like the Harvard and TIMIT lists, they are short everyday statements with varied sounds and letters. Every sentence is
grammatical; not every sentence makes sense. Changing a word changes the built-in corpora.
"""

import re
from collections.abc import Sequence

from pipelines.randomness import keyed_generator

__all__ = ["SHARED_SENTENCES", "distinct_sentences"]

SHARED_SENTENCES = (
    "Both boys chose a huge yellow kite and flew it over the icy marsh.",
    "Please measure how far the young thief ran with your good leather shoes.",
)
"""The two sentences that every speaker reads (TIMIT's SA1 and SA2); together they have nearly every English sound."""

_TEMPLATES = (
    "The {adjective} {person} {acted} the {thing} {place}.",
    "The {adjective} {animal} {moved} {place}.",
    "{time}, the {person} {acted} the {adjective} {thing}.",
    "Two {adjective} {animals} {moved} {place} {when}.",
    "{name} {acted} the {thing} and {moved} {place}.",
    "{name} and the {person} {moved} {place} {when}.",
    "Every {thing} {place} was {adjective} and {quality}.",
    "Why did the {person} leave the {thing} {place}?",
    "Don't put the {adjective} {thing} {place}.",
    "It was {quality}, yet the {animal} {moved} {place}.",
    "The {thing} was too {quality} for the {adjective} {person}.",
    "When the {animal} {moved} {place}, {name} {acted} the {thing}.",
    "Nobody knew how the {adjective} {thing} came to be {place}.",
    "Have you seen the {adjective} {animal} {place}?",
    "{name}'s {thing} is {quality}, but the {person}'s is {adjective}.",
    "Find the {thing} {place} before the {person} wakes.",
    "We saw {number} {animals} and {number} {things} {place}.",
    "{time}, {number} {adjective} {things} lay {place}.",
    "If the {thing} is {quality}, ask the {person} {place}.",
    "{number} {animals} {moved} {place}, and the {person} {acted} the {thing}.",
)

_LEXICON = {
    "adjective": (
        "quiet|young|weary|clever|rusty|hollow|narrow|golden|crooked|gentle|broken|purple|famous|foolish|"
        "jolly|muddy|frozen|velvet|patient|shabby|bright|foreign|lazy|proud|stubborn|thin|vague|wooden"
    ),
    "quality": "warm|heavy|cheap|strange|rough|smooth|useless|awful|lovely|fragile|damp|loud|sour|huge",
    "person": (
        "baker|judge|sailor|farmer|teacher|neighbour|pilot|painter|doctor|child|queen|butcher|guard|"
        "shepherd|plumber|author|cousin|stranger|musician|chef|jeweller|widow|usher|nurse"
    ),
    "animal": "fox|goose|badger|zebra|horse|kitten|beetle|otter|donkey|falcon|mouse|puppy|vixen|shark",
    "animals": "foxes|geese|badgers|zebras|horses|kittens|beetles|otters|donkeys|falcons|mice|puppies",
    "thing": (
        "kettle|ladder|jacket|violin|basket|candle|hammer|letter|mirror|bicycle|anchor|pillow|engine|"
        "blanket|treasure|chair|shovel|wheel|jug|quilt|garage|watch|photograph|thimble|onion|boot|vase|"
        "oar"
    ),
    "things": (
        "kettles|ladders|jackets|violins|baskets|candles|letters|mirrors|pillows|engines|wheels|jugs|"
        "quilts|watches|onions|boots|oars|thimbles"
    ),
    "acted": (
        "mended|carried|painted|polished|hid|measured|borrowed|dropped|chose|judged|pushed|lost|sold|"
        "washed|admired|examined|threw away|gave up|found|locked"
    ),
    "moved": (
        "jumped|waited|slept|wandered|ran|marched|sang|limped|vanished|rested|danced|crept|paused|"
        "quarrelled|turned round|sat down"
    ),
    "place": (
        "by the river|under the bridge|near the old barn|behind the church|in the garden|on the roof|"
        "beside the lake|at the edge of the wood|in the kitchen|on the beach|outside the shop|"
        "across the valley|above the harbour|among the thistles|inside the cave|along the fence|"
        "in the village square"
    ),
    "when": (
        "before dawn|after the storm|all through the night|in early July|at noon|without a word|"
        "once more|until the bell rang|with great care|for a whole week"
    ),
    "time": (
        "last winter|at the fair|on Thursday|after supper|years ago|in the end|before the war|"
        "during the fog|each morning|that evening|by chance"
    ),
    "name": "Oscar|Judith|Victor|Hazel|Kenneth|Yvonne|Walter|Zoe|Philip|Quentin|Martha|George|Uma|Leo",
    "number": "three|four|five|six|seven|eight|nine|twelve|fifteen|twenty",
}
_WORDS = {category: words.split("|") for category, words in _LEXICON.items()}


def distinct_sentences(count: int, seed: int) -> list[str]:
    """Draw `count` different sentences, none of them shared.

    With the same seed, a longer list begins with the shorter one.
    """
    rng = keyed_generator("sentences", seed)

    def draw(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    found: dict[str, None] = {}
    while len(found) < count:
        template = draw(_TEMPLATES)
        sentence = re.sub(r"\{(\w+)\}", lambda match: draw(_WORDS[match[1]]), template)
        found[sentence[0].upper() + sentence[1:]] = None
    return list(found)
