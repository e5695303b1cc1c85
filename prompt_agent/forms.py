"""Which form a profile's prompts have, and which profile a model's."""

from __future__ import annotations

from prompt_agent.captions.form import CaptionForm
from prompt_agent.form import Form
from prompt_agent.paragraphs.form import ParagraphForm
from prompt_agent.profile import CaptionProfile, Profile, load_profile, profile_names

DEFAULT = "full"


def open_form(profile: Profile) -> Form:
    """The form of a profile."""
    return CaptionForm(profile) if isinstance(profile, CaptionProfile) else ParagraphForm(profile)


def profile_for(model: str) -> Profile:
    """The shipped profile that names the model; the full one where none does."""
    profiles = [load_profile(name) for name in profile_names()]
    return next((profile for profile in profiles if model in profile.models), load_profile(DEFAULT))
