"""The deployment that reads prompts: words in, embeddings out, and the words that it does not know."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from deployments import logs
from deployments.model_view import ModelView, UnreadWords
from deployments.settings import Settings
from longlive.model_folder import find_model
from longlive.pipeline import load_prompt_encoder


class TextEncoder:
    """Stateless: any replica reads any prompt, and gives the same embeddings."""

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings.log_level)
        torch.set_num_threads(1)
        self._encoder = load_prompt_encoder(settings.model, settings.dtype, weights=settings.weights)
        self._config = find_model(settings.model, settings.weights).config
        self._thread = ThreadPoolExecutor(1, "text-encoder")

    async def encode(self, text: str) -> Tensor:
        """Embeddings [1, L, text_dim] of one prompt."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._encode, text)

    async def unread_words(self, text: str) -> UnreadWords:
        """Words of the prompt that change nothing."""
        return UnreadWords(tuple(self._encoder.unknown_words(text)), tuple(self._encoder.cut_words(text)))

    async def model(self) -> ModelView:
        """What the service generates with."""
        config = self._config
        return ModelView(
            name=config.name,
            width=config.width,
            height=config.height,
            fps=config.fps,
            sizes=((config.width, config.height),),
            examples=config.examples,
            follow_ups=config.follow_ups,
        )

    def _encode(self, text: str) -> Tensor:
        return self._encoder([text]).cpu()
