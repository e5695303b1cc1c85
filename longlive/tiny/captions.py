"""How the tiny world is put into words, and the word-level tokenizer that knows exactly these words."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from longlive.tiny.world import Scene

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEXT_LEN = 32  # tokens, end of sequence included

EXAMPLES = (  # for a newcomer to start with
    "a red ball hops in the meadow by day in clear weather",
    "a blue donut moves right in the city at night while it rains",
    "a yellow pyramid stands still in the desert at sunset under a clear sky",
    "a pink cube moves left on the sea by day in the snow",
    "a green ball moves right in the city at sunset in the rain",
    "a cyan donut hops in the desert at night in clear weather",
)

COLOUR_WORDS = {
    "red": ("red", "crimson", "scarlet"),
    "yellow": ("yellow", "golden", "lemon"),
    "green": ("green", "emerald", "lime"),
    "cyan": ("cyan", "turquoise", "teal"),
    "blue": ("blue", "navy", "cobalt"),
    "pink": ("pink", "magenta", "rose"),
}
KIND_WORDS = {
    "ball": ("ball", "sphere"),
    "cube": ("cube", "box"),
    "pyramid": ("pyramid", "triangle"),
    "donut": ("donut", "ring"),
}
# Verb phrase after the subject ("a red ball ..."), and the same as a clause of its own ("it ...").
MOTION_WORDS = {
    "left": ("moves left", "moves to the left", "drifts left", "goes left"),
    "right": ("moves right", "moves to the right", "drifts right", "goes right"),
    "hops": ("hops", "hops in place", "bounces up and down", "jumps up and down"),
    "still": ("stays still", "stands still", "rests", "does not move"),
}
PLACE_WORDS = {
    "meadow": ("in a meadow", "in the meadow", "in a grassy field"),
    "desert": ("in the desert", "in a desert", "among sand dunes"),
    "sea": ("on the sea", "on the ocean", "at sea"),
    "city": ("in the city", "in a city", "in a town"),
}
TIME_WORDS = {
    "day": ("by day", "in daylight", "at noon"),
    "sunset": ("at sunset", "at dusk", "in the evening"),
    "night": ("at night", "by night", "at midnight"),
}
WEATHER_WORDS = {
    "clear": ("in clear weather", "under a clear sky", "in fine weather"),
    "rain": ("in the rain", "while it rains", "in rainy weather"),
    "snow": ("in the snow", "while it snows", "in snowy weather"),
}
# One attribute alone, as people say it when they steer.
SHORT_CLAUSES = {
    "place": {value: PLACE_WORDS[value] for value in PLACE_WORDS},
    "time": {
        "day": ("now it is day", "it is day", "the sun is up"),
        "sunset": ("now it is sunset", "it is evening", "the sun sets"),
        "night": ("now it is night", "it is night", "night falls"),
    },
    "weather": {
        "clear": ("it is clear", "the sky clears", "the weather is clear"),
        "rain": ("it is raining", "it starts to rain", "it rains"),
        "snow": ("it is snowing", "it starts to snow", "it snows"),
    },
}


def full_caption(rng: random.Random, scene: Scene) -> str:
    """Every attribute of the scene, in one of several wordings and orders."""
    subject = f"a {rng.choice(COLOUR_WORDS[scene.colour])} {rng.choice(KIND_WORDS[scene.kind])}"
    motion = rng.choice(MOTION_WORDS[scene.motion])
    place, time = rng.choice(PLACE_WORDS[scene.place]), rng.choice(TIME_WORDS[scene.time])
    weather = rng.choice(WEATHER_WORDS[scene.weather])
    return rng.choice(
        (
            f"{subject} {motion} {place} {time} {weather}",
            f"{subject} {motion} {place}, {weather}, {time}",
            f"{subject} {motion} {time} {place} {weather}",
            f"{time} {place}, {subject} {motion} {weather}",
            f"{weather}, {subject} {motion} {place} {time}",
            f"{place} {time} {weather}, {subject} {motion}",
            f"{subject} {place} {motion} {time}, {rng.choice(SHORT_CLAUSES['weather'][scene.weather])}",
        )
    )


def partial_caption(rng: random.Random, scene: Scene, names: tuple[str, ...]) -> str:
    """Only the named attributes (at least one); what is not said is whatever the picture already shows."""
    clauses = []
    if "colour" in names or "kind" in names or "motion" in names:
        kind = rng.choice(KIND_WORDS[scene.kind]) if "kind" in names else None
        colour = rng.choice(COLOUR_WORDS[scene.colour]) if "colour" in names else None
        motion = rng.choice(MOTION_WORDS[scene.motion]) if "motion" in names else None
        if colour and not kind and not motion:
            clauses.append(rng.choice((f"it is {colour}", f"it turns {colour}", f"it becomes {colour}")))
        elif kind or colour:
            subject = " ".join(word for word in ("a", colour, kind or "thing") if word)
            clauses.append(f"{subject} {motion}" if motion else subject)
        else:
            clauses.append(f"it {motion}")
    rest = [name for name in ("place", "time", "weather") if name in names]
    rng.shuffle(rest)
    long_words = {"place": PLACE_WORDS, "time": TIME_WORDS, "weather": WEATHER_WORDS}
    for name in rest:
        value = getattr(scene, name)
        alone = not clauses or rng.random() < 0.5
        words = SHORT_CLAUSES[name][value] if alone else long_words[name][value]
        clauses.append(rng.choice(words))
    return rng.choice((" ", ", ")).join(clauses)


def vocabulary() -> list[str]:
    """Every word that a caption can hold, sorted; training and readouts know no others."""
    phrases = [w for table in (COLOUR_WORDS, KIND_WORDS, MOTION_WORDS, PLACE_WORDS, TIME_WORDS, WEATHER_WORDS)
               for words in table.values() for w in words]  # fmt: skip
    phrases += [w for table in SHORT_CLAUSES.values() for words in table.values() for w in words]
    phrases += ["a it is turns becomes thing the now", ","]
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+|,", phrase)})


def build_tokenizer() -> Tokenizer:
    """Word-level, lower-cased; ids 0 `<pad>`, 1 `</s>`, 2 `<unk>`, then the vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = ["<pad>", "</s>", "<unk>", *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    # "." ends a sentence for people and says nothing to the model.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(".", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    return tokenizer
