"""What goes over a session's WebSocket, each way: JSON texts with a `type`. Video goes as binary messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from deployments.api.models import (
    MAX_FRAME,
    AddPrompt,
    AnswerModel,
    Problem,
    PromptAccepted,
    RequestModel,
    RewindSession,
    SessionView,
)
from deployments.entries import Entry
from deployments.receipts import Receipt

Ref = Annotated[
    str | None, Field(max_length=64, description="Yours: the answer or the problem that this leads to has it too.")
]


class Hello(RequestModel):
    """The first message: what to send, and who asks."""

    type: Literal["hello"]
    token: str | None = Field(
        None, max_length=256, description="The session's `control_token`; who only watches has none."
    )
    after_event: str = Field("", max_length=64, description="The last entry that you have; empty: from the first on.")
    after_fragment: int = Field(-1, ge=-1, le=MAX_FRAME, description="The last fragment that you have.")
    fragments: bool = Field(True, description="Whether to send the video.")


class Prompt(AddPrompt):
    """As POST prompts; answered with its receipt."""

    type: Literal["prompt"]
    ref: Ref = None


class Cancel(RequestModel):
    """As DELETE of a prompt; answered with its receipt."""

    type: Literal["cancel"]
    prompt_id: str = Field(max_length=64)
    ref: Ref = None


class Pause(RequestModel):
    """As POST pause; answered with the session."""

    type: Literal["pause"]
    ref: Ref = None


class Resume(RequestModel):
    """As POST resume; answered with the session."""

    type: Literal["resume"]
    ref: Ref = None


class Rewind(RewindSession):
    """As POST rewind; answered with the session."""

    type: Literal["rewind"]
    ref: Ref = None


class End(RequestModel):
    """As DELETE of the session; answered with the session."""

    type: Literal["end"]
    ref: Ref = None


class Got(RequestModel):
    """This fragment and all before it have arrived: more may come."""

    type: Literal["got"]
    chunk: int = Field(ge=0, le=MAX_FRAME)


Command = Prompt | Cancel | Pause | Resume | Rewind | End
AnyClientMessage = Hello | Command | Got
ClientMessage = Annotated[AnyClientMessage, Field(discriminator="type")]
CLIENT_MESSAGE: TypeAdapter[AnyClientMessage] = TypeAdapter(ClientMessage)


class Welcome(AnswerModel):
    """The answer to `hello`."""

    type: Literal["welcome"] = "welcome"
    session: SessionView
    steers: bool = Field(description="Whether commands of this connection are carried out.")


class Init(AnswerModel):
    """The next binary message is what a player needs before the first fragment."""

    type: Literal["init"] = "init"
    media_type: str = Field(description="For MSE.", examples=['video/mp4; codecs="avc1.f4000a"'])


class FragmentFollows(AnswerModel):
    """The next binary message is this fragment (moof + mdat). Answer `got`: at most two are sent ahead of that."""

    type: Literal["fragment"] = "fragment"
    chunk: int
    first_frame: int = Field(description="Number of its first frame in the video.")
    frames: int


class EntryMessage(AnswerModel):
    """What was asked of the session, or became of it: an entry of its timeline."""

    type: Literal["entry"] = "entry"
    entry: Entry


class Stats(AnswerModel):
    """The session as it is now, when it has changed; once a second at most."""

    type: Literal["stats"] = "stats"
    session: SessionView


class Answer(AnswerModel):
    """A command was taken."""

    type: Literal["answer"] = "answer"
    ref: str | None = Field(None, description="That of the message which led to this.")
    prompt: PromptAccepted | Receipt | None = None
    session: SessionView | None = None


class ProblemMessage(AnswerModel):
    """A message was not taken; the connection stays. What comes before a close says why it is closed."""

    type: Literal["problem"] = "problem"
    ref: str | None = Field(None, description="That of the message which led to this.")
    problem: Problem


class Position(AnswerModel):
    """How far a connection has come."""

    after: int = Field(description="The last fragment that was sent; -1: none.")
    event: str = Field(description="Id of the last entry that was sent; empty: none.")


class GoAway(AnswerModel):
    """The process at the other end stops: connect again, to another one, and go on behind `resume`. This connection
    still carries everything, and is closed with 1012 in `seconds`."""

    type: Literal["goAway"] = "goAway"
    seconds: float
    resume: Position


class Over(AnswerModel):
    """The session is over and everything of it was sent; the connection closes with 1000."""

    type: Literal["over"] = "over"
    session: SessionView


AnyServerMessage = Welcome | Init | FragmentFollows | EntryMessage | Stats | Answer | ProblemMessage | GoAway | Over
ServerMessage = Annotated[AnyServerMessage, Field(discriminator="type")]
SERVER_MESSAGE: TypeAdapter[AnyServerMessage] = TypeAdapter(ServerMessage)
