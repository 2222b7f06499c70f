"""Plays stories of `vacating_world` and prints which laws were broken: for copies with a bug."""

import json
import random

from tests.laws.vacating_world import EVENTS, play, settles

STORIES, ENOUGH = 300, 3


def main() -> None:
    broken: dict[str, int] = {}
    for seed in range(STORIES):
        if sum(broken.values()) >= ENOUGH:
            break
        chance = random.Random(seed)  # noqa: S311  a story, no secret
        story = {chance.randrange(160): chance.choice(EVENTS) for _ in range(chance.randrange(9))}
        try:
            settles(play(story), dies=seed % 2 == 1)
        except AssertionError as error:
            law = str(error).split("\n", maxsplit=1)[0] or "?"
            broken[law] = broken.get(law, 0) + 1
    print(json.dumps({"broken": broken}))  # noqa: T201


if __name__ == "__main__":
    main()
