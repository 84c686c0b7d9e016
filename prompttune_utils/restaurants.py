"""Descriptions of invented restaurants: data in, sentence out, in the manner of the E2E
task (Novikova et al. 2017).

All names and wordings are our own. Which restaurants belong to the test split is fixed
by a checksum over their data.
"""

import random
import zlib

NAMES = """\
Golden Spoon, Old Mill, Red Lantern, Blue Door, Corner Table, Silver Fork, Green Garden,
Happy Pan, Little Kitchen, Hungry Bear, White Swan, Stone Oven, Sunny Plate,
Quiet Harbour, Lucky Bowl, Rose Garden, Black Horse, Three Friends, Full Moon,
Warm Bread, Wild Berry, River House, Copper Pot, Four Winds""".replace("\n", " ").split(
    ", "
)
SLOTS = {
    "kind": ["restaurant", "café", "pub"],
    "food": [
        "Italian",
        "Chinese",
        "Indian",
        "French",
        "Japanese",
        "English",
        "Mexican",
    ],
    "price": ["cheap", "moderate", "expensive"],
    "rating": ["poor", "average", "excellent"],
    "area": ["city centre", "old town", "new town"],
    "children": ["yes", "no"],
    "near": [
        "the station",
        "the museum",
        "the park",
        "the bridge",
        "the market",
        "the school",
    ],
}
# what can be said of a slot
_PLACE = {
    "area": ["in the {area}", "in the {area} area"],
    "near": ["near {near}", "close to {near}"],
}
_PRICE = {"cheap": "cheap", "moderate": "moderately priced", "expensive": "expensive"}
_RATING = {
    "poor": ["Its rating is poor.", "Guests rate it as poor.", "It has a poor rating."],
    "average": [
        "Its rating is average.",
        "Guests rate it as average.",
        "It has an average rating.",
    ],
    "excellent": [
        "Its rating is excellent.",
        "Guests rate it as excellent.",
        "It has an excellent rating.",
    ],
}
_CHILDREN = {
    "yes": [
        "Children are welcome.",
        "It is a good place for families.",
        "It is family friendly.",
    ],
    "no": [
        "It is not for children.",
        "Families should go elsewhere.",
        "It is not family friendly.",
    ],
}


def linear(data: dict[str, str]) -> str:
    """The data as one line: `name[Golden Spoon], kind[pub], price[cheap]`."""
    return ", ".join(f"{slot}[{value}]" for slot, value in data.items())


def held_out(data: dict[str, str]) -> bool:
    """True for the fifth of all data that only the test split may use."""
    return zlib.crc32(linear(data).encode()) % 5 == 0


def draw(generator: random.Random) -> dict[str, str]:
    """Random data: a name, a kind, and 2 to 5 of the other slots, in the order of
    `SLOTS`."""
    chosen = set(
        generator.sample([s for s in SLOTS if s != "kind"], generator.randint(2, 5))
    ) | {"kind"}
    return {"name": generator.choice(NAMES)} | {
        slot: generator.choice(values)
        for slot, values in SLOTS.items()
        if slot in chosen
    }


def describe(data: dict[str, str], generator: random.Random) -> str:
    """One of the ways to say the data in English; nothing is left out and nothing
    added."""
    r = generator
    noun = " ".join(
        [
            *([_PRICE[data["price"]]] if "price" in data else []),
            *([data["food"]] if "food" in data else []),
            data["kind"],
        ]
    )
    article = "an" if noun[0].lower() in "aei" else "a"
    places = [
        r.choice(_PLACE[slot]).format(**data)
        for slot in ("area", "near")
        if slot in data
    ]
    r.shuffle(places)
    where = (
        " and ".join(places)
        if len(places) < 2 or r.random() < 0.5
        else " ".join(places)
    )
    name = data["name"] if r.random() < 0.5 else f"the {data['name']}"
    opening = [
        f"{name} is {article} {noun} {where}".rstrip(),
        f"{where} there is {article} {noun} called {data['name']}".strip(),
    ]
    if where:
        opening += [
            f"{where}, {name} is {article} {noun}",
            f"{name}, {where}, is {article} {noun}",
        ]
    sentence = r.choice(opening)
    rest = [
        r.choice(said[data[slot]])
        for slot, said in (("rating", _RATING), ("children", _CHILDREN))
        if slot in data
    ]
    if r.random() < 0.5:
        rest.reverse()
    return " ".join([sentence[0].upper() + sentence[1:] + ".", *rest])


def restaurants(
    count: int, seed: int, test: bool = True, references: int = 3
) -> list[dict]:
    """`count` different restaurants, all of the test split, or (test=False) none of it.

    Returns:
        Rows: `data` (dict), `text` (its line), `references` (different descriptions, at
            most that many).
    """
    generator, found = random.Random(f"{seed} {test}"), {}
    while len(found) < count:
        data = draw(generator)
        line = linear(data)
        if held_out(data) == test and line not in found:
            said = list(
                dict.fromkeys(describe(data, generator) for _ in range(4 * references))
            )[:references]
            found[line] = {"data": data, "text": line, "references": said}
    return list(found.values())
