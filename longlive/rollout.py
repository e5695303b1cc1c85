"""The generation of one session: makes the next chunk, takes a new prompt between chunks, can be moved elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig, SinkPolicy
from longlive.errors import InputError
from longlive.kv_cache import KVCache
from longlive.noise import NoiseSource, chunk_noise
from longlive.policy import ChunkPolicy, ForwardPass, RolloutPolicy
from longlive.rollout_state import CleanPass, Coming, PassLog, RolloutState, Sink, latents_of
from longlive.sampler import FewStepSampler, renoise, to_x0
from longlive.switch import SwitchMode, SwitchName, SwitchStep, blend, switch_mode
from longlive.transformer import CausalWanTransformer, TextContext, TimeContext
from longlive.upload import upload

Forward = Callable[[ForwardPass, Tensor, TimeContext, TextContext, KVCache], Tensor]
"""The flow of a pass over noisy latents, whose cache is prepared for it: `CausalWanTransformer`, or who watches it."""


class Rollout:
    """One endless video. Several rollouts may share a transformer; none changes what another gives.

    `prompt` are text embeddings [B, L, text_dim]; `latent_shape` is channels, height, width of a latent frame. Latents
    are float32 on the transformer's device. With an unlimited window (-1) `max_frames` must bound the video.
    """

    def __init__(
        self,
        transformer: CausalWanTransformer,
        config: RolloutConfig,
        sampler: SamplerConfig,
        latent_shape: tuple[int, int, int],
        prompt: Tensor,
        seed: int,
        *,
        noise: NoiseSource = chunk_noise,
        policy: RolloutPolicy | None = None,
        forward: Forward | None = None,
        max_frames: int | None = None,
    ) -> None:
        window = max_frames if config.window_frames < 0 else config.window_frames
        if window is None:
            raise ValueError("an unlimited window needs max_frames, the length of the video in latent frames")
        self.transformer = transformer
        self.config = config
        self.seed = seed
        self.window = window
        self.chunk = 0
        self._sampler = FewStepSampler(sampler, config.context_noise)
        self._policy = policy or ChunkPolicy(config.chunk_frames, self._sampler.steps)
        self._forward = forward or _plain(transformer)
        self._noise = noise
        self._noise_ahead: dict[tuple[int, int], Tensor] = {}
        self._chunk_shape = (prompt.shape[0], config.chunk_frames, *latent_shape)
        self._unfinished: dict[int, Tensor] = {}  # latents of the chunks under way
        self._finished = torch.empty((prompt.shape[0], 0, *latent_shape), device=transformer.device)  # the last window
        # Whole chunks, so that the latents of each are the same bytes for as long as they are held.
        self._held_frames = -(-window // config.chunk_frames) * config.chunk_frames
        self._log = PassLog(config.sink_frames)
        self.torn = False  # failed in the middle of a change: only `restore` helps
        self._coming: list[Coming] = []
        self._levels: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[TimeContext, Tensor, Tensor]] = {}
        self.cache = KVCache(
            layers=transformer.config.num_layers,
            batch=prompt.shape[0],
            frames=window,
            sink=config.sink_frames,
            heads=transformer.config.num_heads,
            rotary=transformer.rotary(*latent_shape[1:]),
            positions=config.positions,
            dtype=transformer.dtype,
        )
        self._read(prompt)

    @property
    def frames(self) -> int:
        """Latent frames made so far."""
        return self.chunk * self.config.chunk_frames

    @torch.inference_mode()
    def next_chunk(self) -> Tensor:
        """Clean latents [B, chunk_frames, C, H, W] of the next chunk.

        Raises InputError where an unlimited window ends at `max_frames`, and where absolute positions end unless the
        roll-out is to count anew; nothing has changed then. After any other error only `restore` helps.
        """
        self._require_whole()
        self._require_room()
        with self._changing():
            self._take_steps()
            for step in self._policy.passes(self.chunk):
                self._run(step)
            latents = self._unfinished.pop(self.chunk)
            self._keep(latents)
        # Drawn while the device is still busy with the passes just queued.
        for step in self._policy.passes(self.chunk):
            self._draw_ahead(step)
        return latents

    @torch.inference_mode()
    def switch(self, prompt: Tensor, mode: SwitchMode | SwitchName = "recache") -> None:
        """Go on under another prompt, from the next chunk, in the way of a mode or of the one with that name.

        A switch that is still under way (`Blend`) ends where it is. Before the first chunk there is nothing to switch
        from: in every mode the video begins with the new prompt. InputError for a prompt or a mode that cannot be.
        """
        self._require_whole()
        self._require_prompt(prompt)
        steps = switch_mode(mode).steps() if self.chunk else (SwitchStep(1.0, "leave"),)
        self._coming = [
            Coming(self.chunk + later, self._prompt, prompt, step.share, step.memory, step.sink)
            for later, step in enumerate(steps)
        ]
        with self._changing():
            self._take_steps()

    def state(self) -> RolloutState:
        """What `restore` goes on from. ValueError for a policy that has begun more than the chunks it has finished."""
        self._require_whole()
        if self._unfinished:
            raise ValueError("a roll-out with chunks under way cannot be taken down")
        return RolloutState(
            policy=type(self._policy).__name__,
            seed=self.seed,
            chunk=self.chunk,
            prompt=self._prompt,
            latents=self._finished,
            sink=self._log.sink,
            passes=tuple(self._log.passes),
            coming=tuple(self._coming),
            origin=self.cache.origin,
            offset=self.cache.offset,
        )

    @torch.inference_mode()
    def restore(self, state: RolloutState) -> None:
        """Become the roll-out that `state` was taken of, with another seed if this one has one.

        Keys and values are computed anew, by the passes that made them, as far as their frames are still known. So the
        video goes on without a cut, but not bit by bit as it would have: what has left the window is missing from the
        past of the oldest frames. ValueError for the state of another policy.
        """
        if state.policy != type(self._policy).__name__:
            raise ValueError(f"a roll-out of {state.policy} cannot go on with {type(self._policy).__name__}")
        newest = state.latents.to(self.transformer.device, torch.float32)
        sink = replace(state.sink, latents=state.sink.latents.to(newest)) if state.sink else None
        with self._changing():
            end = state.chunk * self.config.chunk_frames
            texts = self._rebuild(state.passes, sink, newest, end, state.origin, state.offset)
            self._read(state.prompt, texts.get(id(state.prompt)))
            self._log.resume(state.passes, sink)
            self.chunk, self._finished, self._coming = state.chunk, newest, list(state.coming)
            self._unfinished, self._noise_ahead = {}, {}

    def reread(self) -> None:
        """The transformer has other weights: what it has made of the prompt and of timesteps is made anew."""
        self._read(self._prompt)
        self._levels.clear()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around what changes keys and values: if it fails, these are between two states."""
        self.torn = True
        yield
        self.torn = False

    def _require_whole(self) -> None:
        if self.torn:
            raise RuntimeError("this roll-out failed in the middle of a pass; restore it from an earlier state")

    def _require_prompt(self, prompt: Tensor) -> None:
        batch, (rows, dim) = self._chunk_shape[0], (self.transformer.config.text_len, self.transformer.config.text_dim)
        if prompt.ndim != 3 or prompt.shape[::2] != (batch, dim) or prompt.shape[1] > rows:
            raise InputError(
                f"embeddings {list(prompt.shape)} are no prompt of this model; give [{batch}, up to {rows}, {dim}]"
            )

    def _require_room(self) -> None:
        stop = self.frames + self.config.chunk_frames
        if self.config.window_frames < 0 and stop > self.window:
            raise InputError(f"a chunk after frame {self.frames} is past max_frames, {self.window}")
        if self.config.positions == "absolute" and stop - self.cache.offset > self.config.max_positions:
            if self.config.at_limit == "refuse":
                raise InputError(
                    f"latent frame {self.frames} would be past the {self.config.max_positions} positions of the model; "
                    "use relative positions, or at_limit 'rebase' to count anew there"
                )
            with self._changing():
                self._rebase()

    def _take_steps(self) -> None:
        while self._coming and self._coming[0].chunk <= self.chunk:
            step = self._coming.pop(0)
            self._read(blend(step.old, step.new, step.share))
            if step.memory == "forget":
                self.cache.clear()
                self._log.clear()
            elif step.memory == "rebuild":
                self._recache(step.sink or self.config.sink_policy)

    def _read(self, prompt: Tensor, text: TextContext | None = None) -> None:
        self._prompt, self._read_text = prompt, text

    @property
    def _text(self) -> TextContext:
        """What the prompt says to the transformer; read when it is first needed, for some prompts never are."""
        if self._read_text is None:
            self._read_text = self._encoded(self._prompt)
        return self._read_text

    @torch.inference_mode()
    def _encoded(self, prompt: Tensor) -> TextContext:
        return self.transformer.encode_text(prompt.to(self.transformer.device))

    def _recache(self, sink: SinkPolicy) -> None:
        """One forward over the clean latents of the window, in which all frames see each other."""
        keep = sink == "keep"
        frames = self.cache.rewritable(keep_sink=keep)
        if not frames:
            return
        rewrites_sink = frames.start == self.cache.end - self.cache.fill
        self.cache.begin(frames, keep_sink=keep)
        latents = self._finished[:, -len(frames) :]
        self._forward_clean(frames, latents, self._text)
        if rewrites_sink:
            self._log.replace_sink(latents, frames.start, frames.start - self.cache.offset)
        self._log.add(CleanPass(frames, self._prompt), self._held())

    def _rebase(self) -> None:
        """Count positions anew, from the sink on and as if the window had always followed it."""
        passes, sink = self._log.passes, self._log.sink
        sunk = sink.frames if sink else range(0)
        after = (max(made.frames.start, sunk.stop) for made in passes if made.frames.stop > sunk.stop)
        offset = min(after, default=self.frames) - len(sunk)
        sink = replace(sink, position=0) if sink else None
        self._rebuild(passes, sink, self._finished, self.frames, self.cache.origin, offset)
        self._log.resume(passes, sink)

    def _rebuild(
        self, passes: Sequence[CleanPass], sink: Sink | None, newest: Tensor, end: int, origin: int, offset: int
    ) -> dict[int, TextContext]:
        """Make the keys and values of a log's passes anew; positions behind the sink count from `offset` on.

        `newest` are the latents up to frame `end` - 1. Gives the prompts as read, by the ids of their tensors.
        """
        self.cache.restart(origin)
        texts: dict[int, TextContext] = {}
        for made in passes:
            sunk = sink is not None and made.frames.start in sink.frames
            self.cache.skip_to(made.frames.start, sink.first - sink.position if sink and sunk else offset)
            if id(made.prompt) not in texts:  # passes of one prompt have one tensor
                texts[id(made.prompt)] = self._encoded(made.prompt)
            self.cache.begin(made.frames)
            latents = latents_of(made.frames, sink, newest, end)
            self._forward_clean(made.frames, latents, texts[id(made.prompt)])
        self.cache.skip_to(end, offset)
        return texts

    def _forward_clean(self, frames: range, latents: Tensor, text: TextContext) -> None:
        finished = (self._sampler.steps,) * len(frames)
        time, _, _ = self._level(finished, finished)
        self.transformer(latents, time, text, self.cache)

    def _held(self) -> range:
        return range(self.frames - self._finished.shape[1], self.frames)

    def _keep(self, latents: Tensor) -> None:
        """A chunk is finished: its latents are the newest of the window."""
        frames = range(self.frames, self.frames + self.config.chunk_frames)
        self._finished = torch.cat((self._finished, latents), dim=1)[:, -self._held_frames :]
        self.chunk += 1
        self._log.fill_sink(latents, frames.start, frames.start - self.cache.offset)
        self._log.add(CleanPass(frames, self._prompt), self._held())

    def _run(self, step: ForwardPass) -> None:
        chunks = self._chunks(step)
        for chunk, index, _ in chunks:
            if index == 0:
                self._unfinished[chunk] = self._drawn(chunk, 0)
        latents = torch.cat([self._unfinished[chunk] for chunk, _, _ in chunks], dim=1)
        time, sigma, next_sigma = self._level(step.steps, self._after(step))
        self.cache.begin(step.frames, store=step.store, past=step.past, sink=step.sink)
        flow = self._forward(step, latents, time, self._text, self.cache)
        finished = self._sampler.steps
        if all(index == finished for _, index, _ in chunks):
            return
        clean = to_x0(flow, latents, sigma)
        if any(after < finished for _, _, after in chunks):
            clean = renoise(clean, self._next_noise(chunks, clean, flow), next_sigma)
        parts = clean.split(self.config.chunk_frames, dim=1)
        self._unfinished.update((chunk, part) for (chunk, _, _), part in zip(chunks, parts, strict=True))

    def _next_noise(self, chunks: Sequence[tuple[int, int, int]], clean: Tensor, flow: Tensor) -> Tensor:
        if self._sampler.draws == 1:
            return clean + flow
        return torch.cat(
            [
                self._drawn(chunk, after) if after < self._sampler.steps else torch.zeros_like(self._unfinished[chunk])
                for chunk, _, after in chunks
            ],
            dim=1,
        )

    def _chunks(self, step: ForwardPass) -> Sequence[tuple[int, int, int]]:
        """The chunks of a pass, the step each is at, and the one after it."""
        size, first, after = self.config.chunk_frames, step.frames.start, self._after(step)
        return [(frame // size, step.steps[frame - first], after[frame - first]) for frame in step.frames[::size]]

    def _after(self, step: ForwardPass) -> tuple[int, ...]:
        return step.after or tuple(min(index + 1, self._sampler.steps) for index in step.steps)

    def _level(self, steps: tuple[int, ...], after: tuple[int, ...]) -> tuple[TimeContext, Tensor, Tensor]:
        """Time context, noise level and next noise level of a pass. A rollout meets few patterns, again and again."""
        if (steps, after) not in self._levels:
            sampler, device = self._sampler, self.transformer.device
            times = torch.tensor([[sampler.timesteps[step] for step in steps]], dtype=torch.float64, device=device)
            sigmas, next_sigmas = (
                torch.tensor(levels, dtype=torch.float64, device=device).view(1, -1, 1, 1, 1)
                for levels in (
                    [sampler.sigmas[step] for step in steps],
                    [sampler.sigmas[step] for step in after],
                )
            )
            self._levels[steps, after] = self.transformer.encode_time(times), sigmas, next_sigmas
        return self._levels[steps, after]

    def _draw_ahead(self, step: ForwardPass) -> None:
        for chunk, index, after in self._chunks(step):
            for draw in {0, after} if index == 0 else {after}:
                if draw < self._sampler.draws:
                    self._noise_ahead[chunk, draw] = self._draw(chunk, draw)

    def _drawn(self, chunk: int, step: int) -> Tensor:
        ahead = self._noise_ahead.pop((chunk, step), None)
        return self._draw(chunk, step) if ahead is None else ahead

    def _draw(self, chunk: int, step: int) -> Tensor:
        noise = self._noise(self.seed, chunk, step, self._chunk_shape)
        return upload(noise, self.transformer.device)


def _plain(transformer: CausalWanTransformer) -> Forward:
    def forward(step: ForwardPass, latents: Tensor, time: TimeContext, text: TextContext, cache: KVCache) -> Tensor:
        return transformer(latents, time, text, cache)

    return forward
