"""Profiles are data files that are read strictly; those that are shipped are good."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_agent.profile import ProfileError, load_profile, profile_names

OWN = """
form = "caption"
name = "own"
models = ["mine"]
max_words = 20
instructions = "Write."
order = ["colour"]
[attributes.colour]
captions = { red = "red" }
words = { red = ["red", "crimson"] }
"""


def test_the_shipped_profiles_can_be_loaded() -> None:
    assert profile_names() == ["full", "tiny"]
    assert [load_profile(name).name for name in profile_names()] == ["full", "tiny"]


def test_a_profile_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    assert load_profile(str(path)).name == "own"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OWN + "\n[attributes.size]\nwords = {}", "attributes.size.captions"),
        ("colour = 1\n" + OWN, "colour"),
        (OWN.replace("caption", "poem", 1), "form"),
        ("=", "is no TOML"),
    ],
)
def test_a_profile_that_is_wrong_is_told_so(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=says):
        load_profile(str(path))


def test_a_profile_that_is_missing_is_told_so() -> None:
    with pytest.raises(ProfileError, match="use one of full, tiny"):
        load_profile("medium")


@pytest.mark.parametrize("name", profile_names())
def test_what_a_language_model_is_told_names_every_field_that_it_gets_and_gives(name: str) -> None:
    told = load_profile(name).instructions
    for field in ("scene", "request", "history", "cut", "added", "prompt"):
        assert f'"{field}"' in told
