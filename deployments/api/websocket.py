"""One connection for everything: commands, events and fragments of a session.

What is sent to a client that does not read is kept by Serve's proxy, without a bound (`deployments/live.py`). So video
goes by credit: two fragments ahead of what the client says has arrived; then the newest one. A client that is gone
without a word is noticed by the proxy, which pings it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from deployments.api import errors, steer
from deployments.api.credit import Credit
from deployments.api.errors import NoSuchFragment
from deployments.api.messages import (
    Answer,
    Cancel,
    Command,
    End,
    EntryMessage,
    FragmentFollows,
    GoAway,
    Got,
    Hello,
    Init,
    Over,
    Pause,
    Position,
    ProblemMessage,
    Prompt,
    Resume,
    Rewind,
    Stats,
    Welcome,
)
from deployments.api.models import SessionView
from deployments.api.problems import documented
from deployments.api.refusals import WebSocketOnly
from deployments.api.services import Services
from deployments.api.wire import OVER, RESTART, Closed, Wire, explained, ref_of
from deployments.fragments import Fragment, FragmentRing
from deployments.logs import about
from deployments.session import Session
from deployments.steering import TokenMissing
from deployments.stopping import stop
from deployments.video_config import VideoConfig

AHEAD = 2
HELLO_SECONDS = 10.0
SILENT_SECONDS = 60.0
STATS_SECONDS = 1.0
LAST_WORDS_SECONDS = 10.0
RETRY_SECONDS = 1.0
MAX_COMMANDS = 32
log = logging.getLogger(__name__)


def routes(services: Services) -> APIRouter:
    """The WebSocket of a session, and what describes it."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["websocket"])

    @api.websocket("/ws")
    async def socket(sid: str, websocket: WebSocket) -> None:
        with about(sid):
            await Connection(services, sid, websocket).run()

    @api.get(
        "/ws",
        response_class=JSONResponse,
        status_code=HTTPStatus.SWITCHING_PROTOCOLS,
        responses={101: {"description": "The WebSocket is open."}, **documented(WebSocketOnly())},
    )
    async def upgrade(sid: str) -> JSONResponse:
        """A WebSocket that carries commands, events and fragments. Each text is JSON: a `ClientMessage` one way, a
        `ServerMessage` the other, both among the schemas; the binary message after `init` and after each `fragment`
        holds what that text tells of.

        Say `hello` first, within ten seconds; the answer is `welcome`. With the `control_token` in it the connection
        steers. Answer each fragment with `got`: at most two are sent ahead of that, and who is slow gets the newest
        one next. Who leaves a fragment without `got` for a minute is closed. A message that cannot be carried out is
        answered with `problem`, and the connection stays.

        Closed with 1000 after `over`; 1012 some seconds after `goAway`, which says where to go on; 4400 for a bad
        cursor, 4403 for a wrong token, 4404 for an unknown session, 4408 for a client that says nothing, 4410 for a
        cursor that is no longer kept, 4503 when a part of the service does not answer, 1009 for a text of more than 64
        KiB.
        """
        return errors.answer(WebSocketOnly())

    return api


class Connection:
    """One client. `run` returns when the connection is closed."""

    def __init__(self, services: Services, sid: str, websocket: WebSocket) -> None:
        self._services = services
        self._sid = sid
        self._socket = websocket
        self._wire = Wire(websocket)
        self._commands: asyncio.Queue[Command] = asyncio.Queue(MAX_COMMANDS)
        self._credit = Credit(AHEAD)
        self._hello = Hello(type="hello")
        self._chunk, self._cursor = -1, ""

    async def run(self) -> None:
        await self._socket.accept()
        try:
            await self._serve()
        except WebSocketDisconnect:
            return
        except Closed as closed:
            await self._wire.close(closed.code, closed.reason)
        except Exception as error:
            said = explained(error)
            await self._wire.say(ProblemMessage(problem=said))
            await self._wire.close(4000 + said.status, said.detail)

    async def _serve(self) -> None:
        await self._services.timeline.session(self._sid)
        self._hello = await self._greeting()
        session = await self._check_hello()
        self._chunk, self._cursor = self._hello.after_fragment, self._hello.after_event
        await self._wire.say(Welcome(session=SessionView.of(session), steers=self._hello.token is not None))
        shows = {asyncio.create_task(self._show_entries())}
        if self._hello.fragments:
            shows.add(asyncio.create_task(self._show_fragments()))
        commanded = asyncio.create_task(self._carry_out_all())
        others = (self._read(), self._show_stats(session), self._notice_silence(), self._go_away())
        tasks = shows | {asyncio.create_task(other) for other in others}
        running = tasks
        try:
            while shows & running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await self._wire.say(Over(session=SessionView.of(await self._services.timeline.session(self._sid))))
            raise Closed(OVER, "The session is over.")
        finally:
            await stop(tasks)
            with suppress(TimeoutError):  # who says a last word and leaves is heard
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._commands.join()
            await stop({commanded})

    async def _greeting(self) -> Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                while True:
                    message = await self._wire.next()
                    if isinstance(message, Hello):
                        return message
                    if message is not None:
                        await self._wire.refuse("hello-first", "Say hello before anything else.", ref_of(message))
        except TimeoutError:
            raise Closed(4408, "No hello came: send one first.") from None

    async def _check_hello(self) -> Session:
        """The session as it is now. Raises what is wrong with what the client said of itself."""
        hello, services = self._hello, self._services
        if hello.token is not None:
            await services.steering.check(self._sid, hello.token)
        await services.timeline.read(self._sid, hello.after_event, 1)
        session = await services.timeline.session(self._sid)
        ring = services.hub.ring(self._sid)
        newest = ring.newest.chunk if ring and ring.newest else -1
        if hello.after_fragment > newest and hello.after_fragment >= session.chunks:
            raise NoSuchFragment(self._sid, hello.after_fragment)
        return session

    async def _read(self) -> None:
        while True:
            match await self._wire.next():
                case Hello():
                    await self._wire.refuse(
                        "hello-again", "This connection was greeted already: open another one.", None
                    )
                case Got(chunk=chunk):
                    self._credit.got(chunk)
                case Prompt() | Cancel() | Pause() | Resume() | Rewind() | End() as command:
                    try:
                        self._commands.put_nowait(command)
                    except asyncio.QueueFull:
                        said = f"{MAX_COMMANDS} commands wait already: send the next when some are answered."
                        await self._wire.refuse("busy", said, command.ref)

    async def _carry_out_all(self) -> None:
        """One command after the other, whether or not the client still hears the answers."""
        while True:
            command = await self._commands.get()
            answer: Answer | ProblemMessage
            try:
                answer = await self._carry_out(command)
            except Exception as error:
                answer = ProblemMessage(ref=command.ref, problem=explained(error))
            await self._wire.say(answer)
            self._commands.task_done()

    async def _carry_out(self, command: Command) -> Answer:
        services, ref = self._services, command.ref
        session = await services.timeline.session(self._sid)
        if self._hello.token is None:
            raise TokenMissing(self._sid)
        match command:
            case Prompt():
                return Answer(ref=ref, prompt=await steer.add_prompt(services, session, command))
            case Cancel(prompt_id=prompt_id):
                return Answer(ref=ref, prompt=await steer.cancel_prompt(services, session, prompt_id))
            case Pause():
                session = await steer.pause(services, session)
            case Resume():
                session = await steer.resume(services, session)
            case Rewind():
                session = await steer.rewind(services, session, command)
            case End():
                await steer.end(services, session)
                session = await services.timeline.session(self._sid)
        return Answer(ref=ref, session=SessionView.of(session))

    async def _show_entries(self) -> None:
        """All entries, until the session is over. While the store is away, the picture goes on."""
        while True:
            try:
                async for entry in self._services.timeline.tail(self._sid, self._cursor):
                    await self._wire.say(EntryMessage(entry=entry))
                    self._cursor = entry.id
                return
            except RedisError as error:
                log.warning("no entries: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _show_stats(self, said: Session) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            with suppress(RedisError):
                session = await self._services.timeline.session(self._sid)
                if session != said:
                    await self._wire.say(Stats(session=SessionView.of(session)))
                    said = session

    async def _show_fragments(self) -> None:
        """The video, until the session is over."""
        hub = self._services.hub
        session = await self._services.timeline.session(self._sid)
        if session.status.over and hub.ring(self._sid) is None:
            return
        config = VideoConfig(width=session.width, height=session.height, fps=session.fps)
        init = await self._services.init_segment(config)
        await self._wire.say(Init(media_type=init.media_type), init.data)
        while not session.status.over:
            async with hub.watch(session) as ring:
                while (fragment := await self._next_fragment(ring)) is not None:
                    self._credit.spend(fragment.chunk)
                    about_it = FragmentFollows(
                        chunk=fragment.chunk, first_frame=fragment.first_frame, frames=fragment.frames
                    )
                    await self._wire.say(about_it, fragment.data)
                    self._chunk = fragment.chunk
            session = hub.session(self._sid) or session
            with suppress(RedisError):
                session = await self._services.timeline.session(self._sid)
            if not session.status.over:
                await asyncio.sleep(RETRY_SECONDS)  # this process stops watching, or the store is away

    async def _next_fragment(self, ring: FragmentRing) -> Fragment | None:
        """What follows the last one, once one more may be sent; None: nothing will."""
        await self._credit.wait()
        return await ring.next_after(self._chunk, AHEAD)

    async def _notice_silence(self) -> None:
        """Raises Closed, for who leaves a fragment without `got` and is not heard by the proxy's pings to be gone."""
        await self._credit.overdue(SILENT_SECONDS)
        raise Closed(4408, f"No got came for {SILENT_SECONDS:g} seconds: connect again.")

    async def _go_away(self) -> None:
        """Raises Closed, when this process stops and the client had time to turn to another one."""
        seconds = await self._services.farewell.heard()
        await self._wire.say(GoAway(seconds=seconds, resume=Position(after=self._chunk, event=self._cursor)))
        await asyncio.sleep(seconds)
        raise Closed(RESTART, "This part of the service stops: connect again.")
