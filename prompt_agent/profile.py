"""How prompts for one family of models are written: read from a data file, strictly."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class ProfileError(Exception):
    """A profile that cannot be used: what is wrong with it, and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ParagraphProfile(_Strict):
    """One stand-alone paragraph, which ends with the camera keywords."""

    form: Literal["paragraph"]
    name: str
    models: tuple[str, ...] = Field(description="Names of the models that it is for.")
    min_words: int = Field(gt=0)
    max_words: int = Field(gt=0)
    instructions: str = Field(description="What a language model is told.")
    camera: tuple[str, ...] = Field(description="Phrases for camera scale, angle and movement; lower case.")
    leaks: tuple[str, ...] = Field(description="Phrases that tell of an earlier text, or of who wrote it; lower case.")
    suggestions: tuple[str, ...] = Field((), description="Requests to offer to a viewer.")


class Attribute(_Strict):
    """One thing that a caption says: its values, how the model's captions word each, how people ask for it."""

    captions: dict[str, str] = Field(description="The words that a caption has for each value.")
    words: dict[str, tuple[str, ...]] = Field(description="Every wording that means a value, captions' and people's.")
    lacking: tuple[str, ...] = Field((), description="What people ask for and the model has not.")
    without: dict[str, str] = Field({}, description="The value that is there when one is taken away.")
    opposite: dict[str, str] = Field({}, description="The value that one is turned into.")


class CaptionProfile(_Strict):
    """A short caption that says each attribute once."""

    form: Literal["caption"]
    name: str
    models: tuple[str, ...] = Field(description="Names of the models that it is for.")
    max_words: int = Field(gt=0)
    instructions: str = Field(description="What a language model is told.")
    order: tuple[str, ...] = Field(description="The attributes, in the order of a caption.")
    attributes: dict[str, Attribute]
    suggestions: tuple[str, ...] = Field((), description="Requests to offer to a viewer.")


Profile = ParagraphProfile | CaptionProfile
_PROFILE: TypeAdapter[Profile] = TypeAdapter(Annotated[Profile, Field(discriminator="form")])


def load_profile(name: str) -> Profile:
    """A profile by its name, or by the path of a `.toml` file. Raises ProfileError."""
    shipped = resources.files("prompt_agent") / "profiles" / f"{name}.toml"
    path = Path(name) if name.endswith(".toml") else shipped
    try:
        return _PROFILE.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ProfileError(f"There is no prompt profile {name!r}: use one of {', '.join(profile_names())}, "
                           "or the path of a .toml file.") from None  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"The prompt profile {name} is no TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"The prompt profile {name} is wrong at {where}: {first['msg']}.") from None


def profile_names() -> list[str]:
    """The profiles that are shipped."""
    files = (resources.files("prompt_agent") / "profiles").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
