"""`longlive sessions` against the service, as somebody types it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from service_process import ServiceProcess

from deployments.cli_session_views import entry_line, readable, receipt_line
from deployments.client import Client
from deployments.control_tokens import KEEP_SECONDS, ControlTokens
from deployments.entries import PromptRequested
from deployments.receipts import PromptStatus, Receipt
from tests.test_cli import run

SECONDS = 120.0
PROMPT = "a red ball moves left in the desert"


class Shell:
    """Runs `longlive sessions ...` against the service; gives exit status, stdout and stderr, or the JSON document."""

    def __init__(self, capsys: pytest.CaptureFixture[str], url: str) -> None:
        self._capsys, self.url = capsys, url

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        return run(self._capsys, "sessions", *arguments, "--url", self.url)

    def json(self, *arguments: object) -> Any:
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def begun(self, *arguments: object, to: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """The same in a process of its own, which a Ctrl-C reaches also where the tests run in the background."""
        program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        program += "from deployments.cli import main; main()"
        command = [sys.executable, "-c", program, "sessions", *map(str, arguments), "--url", self.url]
        return subprocess.Popen(command, stdout=to, stderr=to, text=True)


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], service: ServiceProcess) -> Shell:
    return Shell(capsys, service.url)


@pytest.fixture
def sid(shell: Shell) -> Iterator[str]:
    """A session that was created here, and that somebody watches, so that it goes on; ended afterwards."""
    created = shell.json("create", PROMPT, "--label", "show=demo", "--seed", 7)
    with Client(shell.url) as client, shell.begun("watch", created["id"], to=subprocess.DEVNULL) as watching:
        yield created["id"]
        session = client.session(created["id"], created["control_token"])
        session.end()
        session.wait("ended", "failed")
        watching.wait(SECONDS)


def frames_in(path: Path) -> list[int]:
    with av.open(str(path), "r") as container:
        return [round(float(frame.time) * 16) for frame in container.decode(video=0) if frame.time is not None]


def test_a_session_is_created_found_shown_and_ended(shell: Shell) -> None:
    code, said, warned = shell("create", f"{PROMPT} juggles", "--label", "show=demo", "--label", "take=1", "--seed", 7)
    sid = said.split()[0]
    assert code == 0
    assert said == f"{sid} starting, 0.0 s: {PROMPT} juggles\n"
    assert "juggles" in warned
    listed = shell.json("list", "--label", "take=1", "--status", "starting", "--status", "live")
    assert [view["id"] for view in listed["data"]] == [sid]
    assert shell.json("list", "--label", "take=2")["data"] == []
    assert sid in shell("list")[1]
    assert "no such sessions" in shell("list", "--label", "take=2")[1]
    view = shell.json("show", sid)
    assert (view["id"], view["seed"], view["labels"], view["prompts"]) == (sid, 7, {"show": "demo", "take": "1"}, [])
    assert ControlTokens().find(sid) is not None
    for _ in range(2):
        code, said, err = shell("end", sid)
        assert (code, said[: len(sid) + 18], err) == (0, f"{sid} ended (requested)", "")
        assert ControlTokens().find(sid) is None
    assert shell("pause", sid) == (2, "", f"longlive: session {sid} is ended: nothing of it can be changed\n")
    code, said, _ = shell("show", sid)
    assert all(part in said for part in (sid, "ended", "requested", "64x64, 16 fps", "seed 7", "take=1"))


def test_who_created_a_session_steers_it_and_nobody_else(
    shell: Shell, sid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = shell.json("prompt", sid, "it rains", "--at", 60, "--mode", "blend", "--blend-seconds", 2)
    assert (asked["text"], asked["mode"], asked["blend_seconds"]) == ("it rains", "blend", 2.0)
    assert asked["at_frame"] == 960
    code, said, _ = shell("cancel", sid, asked["prompt_id"])
    assert (code, asked["prompt_id"] in said) == (0, True)
    token = ControlTokens().find(sid)
    assert token is not None
    monkeypatch.setenv("XDG_STATE_HOME", "/nonexistent")
    code, out, err = shell("prompt", sid, "it snows")
    assert (code, out) == (2, "")
    assert err == f"longlive: only who created session {sid} steers it; give its control token with --token\n"
    code, _, err = shell("end", sid, "--token", "guessed")
    assert (code, "give its control token" in err) == (2, True)
    assert shell("prompt", sid, "it snows", "--token", token)[0] == 0


def test_a_watcher_sees_what_becomes_of_a_prompt_and_keeps_the_video(shell: Shell, sid: str, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    with shell.begun("watch", sid, "--out", out) as watching:
        code, said, _ = shell("prompt", sid, "a blue cube at night", "--wait")
        assert shell("end", sid)[0] == 0
        told, _ = watching.communicate(timeout=SECONDS)
    assert (code, watching.returncode) == (0, 0)
    prompt_id, applied, *_ = said.split()
    assert applied == "applied"
    assert f"prompt {prompt_id} accepted: a blue cube at night\n" in told
    assert f"prompt {prompt_id} applied at " in told
    assert told.splitlines()[0] == f"created: {PROMPT}"
    frames = frames_in(out)
    assert frames == list(range(len(frames)))
    saved, ended = sorted(told.splitlines()[-2:])
    assert (saved, ended) == (f"{out}: {len(frames)} frames", "ended: requested")


def test_a_paused_video_stands_still_and_goes_on(shell: Shell, sid: str) -> None:
    assert shell("watch", sid, "--seconds", 1)[0] == 0
    paused = shell.json("pause", sid)
    assert paused["status"] == "paused"
    assert paused["frames"] >= 16
    code, said, _ = shell("resume", sid)
    assert (code, said.startswith(f"{sid} live")) == (0, True)
    # What is still kept comes first, then two chunks: when the second is out, the first is counted.
    assert shell("watch", sid, "--seconds", paused["media_seconds"] + 1)[0] == 0
    assert shell.json("show", sid)["frames"] > paused["frames"]


def test_a_video_is_rewound_forked_and_made_once_more(shell: Shell, sid: str) -> None:
    assert shell("watch", sid, "--seconds", 1)[0] == 0
    assert shell.json("rewind", sid, "--to-frame", 0)["id"] == sid
    assert shell("rewind", sid)[0] == 2
    code, _, err = shell("fork", sid, "--at", 3600)
    assert (code, "send an earlier time" in err) == (2, True)
    fork = shell.json("fork", sid, "--at", 0.7, "--prompt", "it snows", "--mode", "cut", "--label", "take=2", "--queue")
    assert (fork["parent"], fork["labels"]) == ({"session": sid, "frame": 9, "relation": "fork"}, {"take": "2"})
    assert shell("end", fork["id"])[0] == 0, "who forks it here can steer the new one here"
    made = shell.json("render", sid, "--seconds", 0.5, "--queue")
    assert (made["pace"], made["max_seconds"], made["seed"]) == ("offline", 0.5, 7)


def test_a_watcher_prints_a_document_on_each_line(shell: Shell, sid: str, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    code, said, _ = shell("watch", sid, "--seconds", 1.5, "--out", out, "--json")
    lines = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert lines[0]["type"] == "session.created"
    fragments = [line for line in lines if line["type"] == "fragment"]
    first = fragments[0]["chunk"]
    assert [line["chunk"] for line in fragments] == list(range(first, first + len(fragments)))
    frames = sum(line["frames"] for line in fragments)
    assert lines[-1] == {"type": "saved", "path": str(out), "frames": frames, "skipped": 0}
    assert 24 <= frames < 24 + 12


def test_a_watcher_that_is_stopped_leaves_a_file_that_plays(shell: Shell, sid: str, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    with shell.begun("watch", sid, "--out", out, "--json") as watching:
        assert watching.stdout is not None
        while json.loads(watching.stdout.readline())["type"] != "fragment":
            pass
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=SECONDS)
    assert (watching.returncode, err) == (130, "")
    assert frames_in(out)[:9] == list(range(9))


def test_a_watcher_ends_with_the_video_and_says_why(shell: Shell) -> None:
    sid = shell.json("create", PROMPT, "--seconds", 2)["id"]
    code, said, _ = shell("watch", sid)
    assert code == 0
    assert said.splitlines()[-1] == "ended: finished"


def test_a_recorded_video_is_rendered_offline_and_exported(shell: Shell, tmp_path: Path) -> None:
    options = ("--offline", "--seconds", 3, "--switch", "1.5:it snows", "--metadata", '{"scene": 3}')
    created = shell.json("create", PROMPT, *options)
    sid = created["id"]
    assert (created["pace"], created["record"], created["metadata"]) == ("offline", True, {"scene": 3})
    with Client(shell.url) as client:
        client.session(sid).wait("ended", timeout=SECONDS)
    whole, clip = tmp_path / "whole.mp4", tmp_path / "clip.gif"
    made = shell.json("export", sid, "--out", whole)
    assert frames_in(whole) == list(range(made["frames"]))
    assert made["frames"] >= 48
    code, said, _ = shell("export", sid, "--out", clip, "--from", 1, "--to", 2)
    assert code == 0
    assert said.startswith(f"{clip}: ")
    assert clip.read_bytes().startswith(b"GIF8")
    (receipt,) = shell.json("show", sid)["prompts"]
    assert (receipt["status"], receipt["text"]) == ("applied", "it snows")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", " "], "prompt: String should have at least 1 character"),
        (["create", "x", "--offline"], "needs max_seconds"),
        (["create", "x", "--fps", "99"], "the model offers"),
        (["create", "x", "--size", "big"], "--size 'big' is not WIDTHxHEIGHT"),
        (["create", "x", "--size", "65x64"], "the model offers 64x64"),
        (["create", "x", "--switch", "soon"], "SECONDS:PROMPT"),
        (["create", "x", "--label", "demo"], "NAME=VALUE"),
        (["create", "x", "--metadata", "[]"], "no JSON object"),
        (["list", "--status", "asleep"], "'paused'"),
        (["show", "nonsense"], "There is no session 'nonsense'"),
        (["watch", "nonsense"], "There is no session 'nonsense'"),
        (["watch", "nonsense", "--out", "no/clip.mp4"], "in a folder that there is"),
        (["export", "nonsense", "--out", "clip.avi"], "a .webp or a .gif"),
        (["export", "nonsense", "--out", "no/clip.mp4"], "in a folder that there is"),
        (["export", "nonsense", "--out", "clip.mp4", "--from", "2", "--to", "1"], "must be greater"),
        (["prompt", "nonsense", "x", "--at", "1", "--at-frame", "9"], "give one of them"),
        (["prompt", "nonsense", "x", "--blend-seconds", "2"], "leave it out"),
        (["prompt", "nonsense", "x", "--preview"], "There is no session 'nonsense'"),
        (["prompt", "nonsense", "x", "--preview", "--at", "1"], "leave out --at, or --preview"),
        (["prompt", "nonsense", "x", "--preview", "--at-frame", "0"], "leave out --at-frame"),
        (["prompt", "nonsense", "x", "--preview", "--mode", "cut", "--wait"], "leave out --mode and --wait"),
        (["prompt", "nonsense", "x", "--preview", "--mode", "recache"], "leave out --mode"),
        (["prompt", "nonsense", "x", "--preview", "--blend-seconds", "2"], "leave out --blend-seconds"),
        (["prompt", "nonsense", "x", "--preview", "--as-is"], "leave out --as-is"),
        (["prompt", "nonsense", "x", "--mode", "cut", "--blend-seconds", "2"], "leave it out"),
        (["prompt", "../../etc/passwd", "x"], "'../../etc/passwd' is no id"),
        (["show", "../model"], "'../model' is no id"),
        (["show", "a?b"], "There is no session 'a?b'"),
        ([], "Missing command"),
    ],
)
def test_wrong_input_gets_one_line_that_says_what_to_do(shell: Shell, arguments: list[str], said: str) -> None:
    code, out, err = shell(*arguments) if arguments else run(shell._capsys, "sessions")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("longlive: ")
    assert said in err


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://[zz]"])
def test_what_is_no_address_is_wrong_input(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, _, err = run(capsys, "sessions", "list", "--url", url)
    assert (code, err.count("\n")) == (2, 1)
    assert "write it as http://HOST:PORT" in err


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["create", "x"], ["end", "x"], ["watch", "x"]])
def test_a_service_that_is_not_there_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("deployments.cli_session_calls.PATIENCE", 0.0)
    code, out, err = run(capsys, "sessions", *arguments, "--url", "http://127.0.0.1:9")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "No service answers at http://127.0.0.1:9" in err
    assert "longlive serve" in err


def test_control_tokens_are_for_the_user_alone_and_not_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    tokens = ControlTokens(folder)
    tokens.keep("old", "one")
    tokens.keep("new", "two")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "new")] == [0o700, 0o600]
    tokens.keep("used", "three")
    long_ago = time.time() - KEEP_SECONDS - 60
    for name in ("old", "used"):
        os.utime(folder / name, (long_ago, long_ago))
    assert tokens.find("used") == "three", "and from then on it is not old any more"
    tokens.keep("newer", "four")
    found = [tokens.find(name) for name in ("old", "new", "used", "newer", "none")]
    assert found == [None, "two", "three", "four", None]
    tokens.forget("new")
    tokens.forget("none")
    assert tokens.find("new") is None
    (tmp_path / "secret").write_text("of somebody else")
    assert tokens.find("../secret") is None
    with pytest.raises(OSError, match="no name for a file"):
        tokens.keep("../secret", "x")


def test_texts_of_others_cannot_steer_the_terminal() -> None:
    nasty = "rain\x1b[2J\x1b]0;owned\x07\r\nlonglive: done"
    entry = PromptRequested(prompt_id="p", text=nasty)
    receipt = Receipt(prompt_id="p", text=nasty, status=PromptStatus.accepted, requested_at=1)
    for line in (readable(nasty), entry_line(entry), receipt_line(receipt)):
        assert line is not None
        assert line.isprintable()
