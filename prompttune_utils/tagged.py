"""Sentences about invented restaurants in which every word has a tag: who is the
restaurant, who runs it, what is eaten, at what price, in which part of town, near what.

All words and wordings are our own. Every restaurant's name is one of hundreds of pairs
of words, and what a restaurant stands near may be another restaurant: then only the
words around a name tell which of the two it is. Names, owners and food of one split
are made of words that no other split uses.
"""

import random

ADJECTIVES = """\
golden old red blue silver green happy little hungry white stone sunny quiet lucky black
full warm wild copper royal merry lazy clever brave crooked hidden wooden dancing
singing sleeping flying broken painted velvet crystal amber ivory purple scarlet frozen
gentle grand noble secret silent smiling spicy sweet tiny yellow""".split()
NOUNS = """\
spoon mill lantern door table fork garden pan kitchen bear swan oven plate bowl horse
moon bread berry house pot wind fox owl lion tiger rabbit pepper olive lemon apple
cherry anchor bell candle castle clock crown drum feather flower harp kettle ladder
mirror needle pearl piano rose ship tower wheel""".split()
FIRST = """\
maria peter anna thomas laura martin julia simon clara david emma oscar nina victor
helen robert sofia daniel alice felix rosa henry marta paul ruth
george irene louis""".split()
LAST = """\
keller brown weber silva moretti novak larsen meyer costa evans fischer garcia hansen
ivanov jensen klein lopez martinez nilsson olsen parker quinn rossi schmidt turner
vogel wagner young""".split()
FOOD = """\
italian chinese indian french japanese english mexican greek thai turkish korean spanish
noodles soup pizza curry sushi salad burgers pancakes dumplings steak fish sandwiches
cakes pasta tacos pies stew sausages""".split()
KINDS = "restaurant café pub bar bistro diner".split()
PRICES = ["cheap", "moderately priced", "expensive", "very cheap", "rather expensive"]
AREAS = """\
city centre, old town, new town, west end, harbour, market quarter, north side,
university district""".replace("\n", " ").split(", ")
PLACES = """\
station museum park bridge market school library church theatre hospital square zoo
cinema airport stadium palace""".split()
PLACE = ["in the {area}", "near the {near}", "next to the {near}"]
PLACE += ["across from the {near}", "in the {area} , near the {near}"]
SENTENCES = [
    "{the} {name} is a {price} {kind} {place} .",
    "{place} there is a {kind} called {the} {name} .",
    "{the} {name} , {place} , serves {food} .",
    "{owner} runs {the} {name} , a {price} {kind} {place} .",
    "at {the} {name} {owner} cooks {food} .",
    "for {food} go to {the} {name} {place} .",
    "{food} at {the} {name} is {price} .",
    "{the} {name} belongs to {owner} and is {price} .",
    "{owner} likes the {food} of {the} {name} .",
    "you find {the} {name} {place} ; it has {food} .",
    "if you want {price} {food} , ask {owner} at {the} {name} .",
    "{owner} , who lives {place} , owns {the} {name} .",
]
OPEN = ("name", "owner", "food", "price", "area", "near")
TAGS = ["O", *(f"{place}-{kind}" for kind in OPEN for place in "BI")]
SPLITS = "train dev train test".split()


def of_split(words: list[str], split: str) -> list[str]:
    """The words that only this split may use."""
    return [w for i, w in enumerate(words) if SPLITS[i % len(SPLITS)] == split]


def names(split: str) -> list[str]:
    """All restaurants' names of a split, each two words."""
    pairs = of_split(ADJECTIVES, split), of_split(NOUNS, split)
    return [f"{a} {n}" for a in pairs[0] for n in pairs[1]]


def draw(slot: str, split: str, r: random.Random) -> str:
    """What is said in a slot of a sentence."""
    if slot == "name" or (slot == "near" and r.random() < 0.6):
        adjective = r.choice(of_split(ADJECTIVES, split))
        return f"{adjective} {r.choice(of_split(NOUNS, split))}"
    if slot == "near":
        return r.choice(PLACES)
    if slot == "owner":
        first, last = (r.choice(of_split(part, split)) for part in (FIRST, LAST))
        return first if r.random() < 0.3 else f"{first} {last}"
    if slot == "the":
        return r.choice(["the", ""])
    if slot == "food":
        return r.choice(of_split(FOOD, split))
    return r.choice({"price": PRICES, "area": AREAS, "kind": KINDS}[slot])


def sentences(count: int, seed: int, split: str) -> list[dict]:
    """`count` different sentences of a split, "train", "dev" or "test".

    Returns:
        Rows: `words`, lower-cased, marks apart, and `tags`, as many, in the BIO scheme:
        `B-name` begins a name, `I-name` goes on with it, `O` is outside of all.
    """
    r, found = random.Random(f"{seed} {split}"), {}
    while len(found) < count:
        said = r.choice(SENTENCES).replace("{place}", r.choice(PLACE))
        words, tags = [], []
        for part in said.split():
            slot = part.strip("{}") if part.startswith("{") else None
            new = draw(slot, split, r).split() if slot else [part]
            words += new
            kind = slot if slot in OPEN else None
            inner = [f"I-{kind}"] * (len(new) - 1)
            tags += [f"B-{kind}", *inner] if kind and new else ["O"] * len(new)
        for i, word in enumerate(words[:-1]):
            if word == "a" and words[i + 1][0] in "aeio":
                words[i] = "an"
        found[" ".join(words)] = {"words": words, "tags": tags}
    return list(found.values())
