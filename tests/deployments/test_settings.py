"""Settings: strict, in one place, and clear about what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployments.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("LONGLIVE_") or name == "REDIS_URL":
            monkeypatch.delenv(name)


def test_an_argument_goes_before_the_environment_and_that_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGLIVE_PORT", "9000")
    monkeypatch.setenv("LONGLIVE_GENERATORS", "2")
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.generators, settings.host) == (9001, 2, "127.0.0.1")


@pytest.mark.parametrize("name", ["REDIS_URL", "LONGLIVE_REDIS_URL"])
def test_redis_is_named_by_either_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "redis://elsewhere:6379/1")
    assert load_settings().redis_url == "redis://elsewhere:6379/1"
    assert load_settings(redis_url="redis://here").redis_url == "redis://here"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("LONGLIVE_PROT", "LONGLIVE_PORT"),
        ("LONGLIVE_GENERATOR", "LONGLIVE_GENERATORS"),
        ("longlive_data", "LONGLIVE_DATA_DIR"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_name(
    monkeypatch: pytest.MonkeyPatch, wrong: str, nearest: str
) -> None:
    monkeypatch.setenv(wrong, "1")
    with pytest.raises(SettingsError, match=f"{wrong.upper()}.*Did you mean {nearest}\\?"):
        load_settings()


def test_an_unknown_argument_is_refused_with_the_nearest_known_name() -> None:
    with pytest.raises(SettingsError, match=r"GENERATOR\. Did you mean GENERATORS\?"):
        load_settings(generator=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "web"), ("PORT", "0"), ("PORT", "65536"), ("GENERATORS", "0"), ("SLOTS", "-1"), ("DTYPE", "int4"),
        ("DECODER", "none"), ("UNWATCHED_SECONDS", "0"), ("REDIS_URL", "localhost:6379"),
        ("LOG_LEVEL", "loud"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LONGLIVE_{name}", value)
    with pytest.raises(SettingsError, match=f"LONGLIVE_{name}='{value}': "):
        load_settings()


def test_two_places_for_the_sessions_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one")
    monkeypatch.setenv("LONGLIVE_REDIS_URL", "redis://one")
    assert load_settings().redis_url == "redis://one"
    assert load_settings(data_dir=Path("elsewhere")).store_url.endswith("elsewhere/media")
    with pytest.raises(SettingsError, match="nothing is kept in the data directory"):
        load_settings(data_dir=Path("elsewhere"), store="s3://bucket", snapshots="redis://two")
    monkeypatch.setenv("LONGLIVE_REDIS_URL", "redis://two")
    with pytest.raises(SettingsError, match="different servers"):
        load_settings()


def test_an_empty_variable_means_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGLIVE_SLOTS", "")
    assert load_settings().slots is None


@pytest.mark.parametrize(("given", "meant"), [("int8-weight", "int8-weight"), ("bf16", "bfloat16"), ("fp8", "fp8")])
def test_every_number_format_may_be_served(monkeypatch: pytest.MonkeyPatch, given: str, meant: str) -> None:
    monkeypatch.setenv("LONGLIVE_DTYPE", given)
    assert load_settings().dtype == meant


def test_where_the_weights_are_and_what_makes_pictures_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGLIVE_WEIGHTS", "elsewhere")
    monkeypatch.setenv("LONGLIVE_DECODER", "tiny")
    settings = load_settings(model="longlive-1.3b")
    assert (settings.weights, settings.decoder) == (Path("elsewhere"), "tiny")
    assert load_settings(weights=Path("here"), decoder="light").weights == Path("here")


def test_settings_cannot_be_changed_and_each_says_what_it_is_for() -> None:
    settings = load_settings(data_dir=Path("elsewhere"))
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())
