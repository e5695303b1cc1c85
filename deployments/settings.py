"""Every setting of the service, here and nowhere else. The environment variable LONGLIVE_<NAME> sets one."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from longlive.config import DecoderName
from longlive.precision import Precision
from prompt_agent.backends.dialect import Dialect

PREFIX = "LONGLIVE_"

Replicas = Annotated[int, Field(ge=1, le=64)]


class SettingsError(Exception):
    """A setting is unknown or has an impossible value; the text, one line for each, says which and what to do."""


class Settings(BaseSettings):
    """What an operator may choose. What is given by argument goes before the environment. Use `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices(f"{PREFIX}REDIS_URL", "REDIS_URL"),
        pattern=r"^(rediss?|unix)://",
        description="A Redis to keep sessions in (REDIS_URL works too). Not set: one of our own, in data_dir.",
    )
    data_dir: Path = Field(Path("var"), description="Directory of our own Redis and media, made if it is missing.")
    store: str | None = Field(
        None,
        min_length=1,
        description="Where recordings, thumbnails, exports and paused sessions are kept: a folder or an fsspec URL "
        "(s3://bucket/path) that every machine reaches. Not set: the folder media in data_dir.",
    )
    snapshots: str | None = Field(
        None,
        min_length=1,
        description="What live sessions go on from when their generator dies: a Redis without persistence, "
        "or an fsspec URL, that every machine reaches. Not set: a second Redis of our own, in memory alone.",
    )
    snapshot_mib: int = Field(
        64, ge=1, description="Memory for the past of each session, in MiB: how far back one can rewind and fork."
    )
    model: str = Field("tiny", min_length=1, description="A preset, or a folder with a model.")
    weights: Path | None = Field(
        None, description="Folder with the files of the presets (docs/models.md). Not set: ~/.cache/longlive."
    )
    decoder: DecoderName = Field("wan", description="What makes pictures: wan, or the faster light or tiny.")
    dtype: Precision | None = Field(
        None,
        description="float32, bfloat16, int8, int8-weight or fp8. Not set: the faster one of the first two here.",
    )
    generators: Replicas = Field(1, description="Generator replicas; each owns a device or a core.")
    min_generators: int | None = Field(
        None, ge=0, le=64, description="With no sessions as few generators as this; 0 is possible. Not set: generators."
    )
    max_generators: Replicas | None = Field(
        None, description="With many sessions as many generators as this. Not set: generators."
    )
    ingresses: Replicas = Field(1, description="Replicas that answer HTTP; with two, clients outlive the loss of one.")
    operator_token: SecretStr | None = Field(
        None, min_length=16, description="For `longlive drain`. Not set: made, and kept in data_dir/operator-token."
    )
    video_encoders: Replicas = Field(1, description="Video encoder replicas.")
    slots: int | None = Field(
        None,
        ge=1,
        description="Sessions of one generator. Not set: what the measured chunk time allows. Memory limits both.",
    )
    offline_slots: int = Field(2, ge=0, le=64, description="Offline renders of one generator at a time.")
    unwatched_seconds: float = Field(
        60.0,
        gt=0,
        description="A session that nobody watches for so long pauses; one nobody ever watched, after 30 s at most.",
    )
    llm: str | None = Field(
        None,
        min_length=1,
        description="A language model of our own that expands prompts: a name on the Hugging Face hub, or a folder; "
        "served by vLLM, on a GPU of its own where there are any. Not set: llm_url, or rules.",
    )
    llm_python: Path | None = Field(
        None, description="An interpreter that has vLLM (docs/prompts.md). Not set: the one that runs the service."
    )
    llm_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="A language model that expands prompts: the URL of an OpenAI-compatible API, with its /v1. "
        "Not set: rules do.",
    )
    llm_model: str | None = Field(None, min_length=1, description="The name that the server at llm_url has for it.")
    llm_key: SecretStr | None = Field(None, min_length=1, description="The API key for llm_url, if it wants one.")
    llm_dialect: Dialect = Field(
        Dialect.vllm, description="How answers are held to their form: vllm, or none for another server."
    )
    llm_seconds: float = Field(2.5, gt=0, le=60, description="So long an expansion waits for it; then rules answer.")
    prompt_profile: str | None = Field(
        None, min_length=1, description="How prompts are written: full, tiny or a .toml file. Not set: by the model."
    )
    safety_words: Path | None = Field(
        None, description="A .toml file of words to refuse or to replace in prompts. Not set: a short list of our own."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")

    @model_validator(mode="after")
    def _one_redis(self) -> Self:
        if self.redis_url and self.store and self.snapshots and "data_dir" in self.model_fields_set:
            raise ValueError(
                "with REDIS_URL, a store and snapshots nothing is kept in the data directory: unset it, or one of them"
            )
        return self

    @model_validator(mode="after")
    def _a_whole_language_model(self) -> Self:
        if (self.llm_url is None) != (self.llm_model is None):
            given, missing = ("url", "model") if self.llm_model is None else ("model", "url")
            raise ValueError(f"{PREFIX}LLM_{given.upper()} wants {PREFIX}LLM_{missing.upper()}: set both, or neither")
        if self.llm is not None and self.llm_url is not None:
            raise ValueError(f"{PREFIX}LLM and {PREFIX}LLM_URL are two language models: unset one")
        return self

    @model_validator(mode="after")
    def _a_range_of_generators(self) -> Self:
        least, most = self.generator_range
        if not least <= self.generators <= most:
            raise ValueError(f"generators must be from min_generators to max_generators, not {self.generators}")
        return self

    @property
    def generator_range(self) -> tuple[int, int]:
        """How few and how many generators there may be."""
        least = self.generators if self.min_generators is None else self.min_generators
        return least, self.generators if self.max_generators is None else self.max_generators

    @property
    def store_url(self) -> str:
        """The store, with its default."""
        return self.store or str((self.data_dir / "media").absolute())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, StrictEnvironment(settings_cls)


class StrictEnvironment(EnvSettingsSource):
    """The environment, with every LONGLIVE_ variable that is no setting an error: pydantic-settings would ignore it."""

    def __call__(self) -> dict[str, Any]:
        known = {f"{PREFIX}{name.upper()}" for name in self.settings_cls.model_fields}
        given = {name.upper() for name in self.env_vars}
        if unknown := sorted(name for name in given - known if name.startswith(PREFIX)):
            raise SettingsError("\n".join(_unknown(name, known) for name in unknown))
        urls = [value for name, value in self.env_vars.items() if name.upper() in (f"{PREFIX}REDIS_URL", "REDIS_URL")]
        if len({url for url in urls if url}) > 1:
            raise SettingsError(f"{PREFIX}REDIS_URL and REDIS_URL name different servers. Unset one.")
        return super().__call__()


def load_settings(**given: Any) -> Settings:
    """What is `given` and not None goes before the environment, that before the defaults. Raises SettingsError."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        known = {name.upper() for name in Settings.model_fields}
        lines = []
        for fault in error.errors():
            name = str(fault["loc"][0]).upper().removeprefix(PREFIX) if fault["loc"] else ""
            if not name:
                lines.append(f"{fault['msg'].removeprefix('Value error, ')}.")
            elif fault["type"] == "extra_forbidden":
                lines.append(_unknown(name, known))
            else:
                lines.append(f"{PREFIX}{name}={fault['input']!r}: {fault['msg']}.")
        raise SettingsError("\n".join(lines)) from error


def _unknown(name: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
    return f"There is no setting {name}. Did you mean {nearest}? Unset it or correct the name."
