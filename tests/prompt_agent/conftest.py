"""The shipped profiles and their forms, which every test may share: none of them holds anything."""

from __future__ import annotations

import pytest

from prompt_agent.captions.form import CaptionForm
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.paragraphs.form import ParagraphForm
from prompt_agent.profile import CaptionProfile, ParagraphProfile, load_profile


@pytest.fixture(scope="session")
def caption_profile() -> CaptionProfile:
    loaded = load_profile("tiny")
    assert isinstance(loaded, CaptionProfile)
    return loaded


@pytest.fixture(scope="session")
def caption_lexicon(caption_profile: CaptionProfile) -> Lexicon:
    return Lexicon(caption_profile)


@pytest.fixture(scope="session")
def caption_form(caption_profile: CaptionProfile) -> CaptionForm:
    return CaptionForm(caption_profile)


@pytest.fixture(scope="session")
def paragraph_profile() -> ParagraphProfile:
    loaded = load_profile("full")
    assert isinstance(loaded, ParagraphProfile)
    return loaded


@pytest.fixture(scope="session")
def paragraph_form(paragraph_profile: ParagraphProfile) -> ParagraphForm:
    return ParagraphForm(paragraph_profile)
