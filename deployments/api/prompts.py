"""Prompts of a session: add, list, read, cancel."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from deployments.api import steer
from deployments.api.models import AddPrompt, PromptAccepted, PromptList
from deployments.api.problems import problems
from deployments.api.refusals import AfterTheEnd, InThePast, NoSuchPrompt, PromptDone, TooManyPrompts
from deployments.api.security import Token
from deployments.api.services import Services
from deployments.receipts import PromptStatus, Receipt
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import NoSuchSession, SessionOver

_STEERING = (NoSuchSession, TokenMissing, TokenWrong, SessionOver)


def routes(services: Services) -> APIRouter:
    """The routes of a session's prompts."""
    api = APIRouter(prefix="/v1/sessions/{sid}/prompts", tags=["prompts"])

    @api.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            202: {"headers": {"Location": {"description": "Path of the prompt.", "schema": {"type": "string"}}}},
            **problems(*_STEERING, InThePast, AfterTheEnd, TooManyPrompts),
        },
    )
    async def add(sid: str, ask: AddPrompt, token: Token, response: Response) -> PromptAccepted:
        """Change what the video shows, now or at a time that is still to come. Events, timeline and the prompt itself
        tell what becomes of it: scheduled for a chunk, then applied at a frame, or refused with a reason.

        At most 100 prompts of a session wait at a time."""
        accepted = await steer.add_prompt(services, await steer.authorized(services, sid, token), ask)
        response.headers["Location"] = f"/v1/sessions/{sid}/prompts/{accepted.prompt_id}"
        return accepted

    @api.get("", responses=problems(NoSuchSession))
    async def list_all(sid: str) -> PromptList:
        """Every follow-up prompt, in the order in which they were accepted, and what became of each."""
        return PromptList(data=await steer.find_prompts(services, sid))

    @api.get("/{prompt_id}", responses=problems(NoSuchSession, NoSuchPrompt))
    async def read(sid: str, prompt_id: str) -> Receipt:
        """A prompt and what became of it."""
        return await steer.find_prompt(services, sid, prompt_id)

    @api.delete(
        "/{prompt_id}",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            200: {"model": Receipt, "description": "It is cancelled already."},
            **problems(*_STEERING, NoSuchPrompt, PromptDone, TooManyPrompts),
        },
    )
    async def cancel(sid: str, prompt_id: str, token: Token, response: Response) -> Receipt:
        """Ask for a prompt that still waits not to be applied. Repeatable. It is `cancelled` once its status says so:
        one whose chunk is being made is applied all the same."""
        receipt = await steer.cancel_prompt(services, await steer.authorized(services, sid, token), prompt_id)
        if receipt.status is PromptStatus.cancelled:
            response.status_code = HTTPStatus.OK
        return receipt

    return api
