from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import load_file, save_file

from deployments import cli

GOLDENS = Path(__file__).parent / "goldens" / "longlive"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `longlive ARGUMENTS`."""
    argv, sys.argv = sys.argv, ["longlive", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    finally:
        sys.argv = argv
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out, captured.err


def test_help_names_the_commands_without_loading_torch_or_ray() -> None:
    code = (
        "import sys; sys.argv = ['longlive', '--help']\n"
        "from deployments import cli\n"
        "try: cli.main()\n"
        "finally: print(sorted({'torch', 'ray', 'transformers', 'fastapi'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert all(command in done.stdout for command in ("generate", "verify", "serve", "train", "eval"))


def test_generate_writes_a_clip_and_says_which_words_it_did_not_know_or_read(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "clip.mp4"
    code, said, progress = run(
        capsys, "generate", "--prompt", f"a red ball juggles{15 * ' by day'} at night",
        "--switch", "1.0:it rains: hard", "--seconds", 1.5,
        "--seed", 7, "--out", out, "--model", untrained_folder, "--mode", "keep",
    )  # fmt: skip
    assert code == 0
    assert "24 frames of 64x64" in said
    assert "juggles" in progress
    assert "ignores its end: by, day, at, night" in progress
    assert "hard" in progress
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--help"),
        (["generat"], "No such command"),
        (["generate", "--seconds", "1", "--out", "c.mp4"], "--prompt"),
        (["generate", "--prompt", "x", "--seconds", "0", "--out", "c.mp4"], "--seconds"),
        (["generate", "--prompt", "x", "--seconds", "inf", "--out", "c.mp4"], "give a number"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.mp4", "--seed", "-1"], "--seed"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.mp4", "--mode", "dissolve"], "recache"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.mp4", "--switch", "soon"], "SECONDS:PROMPT"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.mp4", "--switch", "0.5"], "a prompt is empty"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.mp4", "--switch", "2:y"], "outside of the clip"),
        (["generate", "--prompt", " ", "--seconds", "1", "--out", "c.mp4"], "say what the video shows"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.nothing"], "try .mp4"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "c.gif"], "try .mp4"),
        (["generate", "--prompt", "x", "--seconds", "1e308", "--out", "c.mp4"], "give a number"),
        (["generate", "--prompt", "x", "--seconds", "3", "--out", "c.mp4", "--switch", "2.9:y"], "up to 2.8125"),
        (["generate", "--prompt", "x", "--seconds", "1", "--out", "no/c.mp4"], "--out no/c.mp4: give"),
        (["generate", "--prompt", "x", "--latents", "9" * 400, "--out", "c.mp4"], "give a number"),
        (["verify", "no-such-folder"], "not a folder"),
        (["verify", str(GOLDENS), "--dtype", "float8"], "float32"),
        (["verify", str(GOLDENS), "--device", "abacus"], "give cpu"),
        (["verify", str(GOLDENS), "--device", "meta"], "give cpu"),
        (["verify", str(GOLDENS), "--cases", ","], "name cases"),
        (["serve", "--port", "99999"], "LONGLIVE_PORT"),
        (["serve", "--host", "203.0.113.1", "--port", "8000"], "choose another"),
        (["serve", "--dtype", "int4"], "int8-weight"),
        (["train", "large"], "No such command"),
        (["train", "tiny", "--resume"], "no stopped run"),
        (["eval", "tiny", "--seeds", "3:3"], "A:B"),
        (["eval", "tiny", "--seeds", "-1:3"], "A:B"),
        (["eval", "tiny", "--seeds", "0:2", "--switch", "dissolve"], "recache"),
    ],
)
def test_wrong_input_gets_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    untrained_folder: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(untrained_folder)] if arguments[:1] == ["generate"] else []
    code, out, err = run(capsys, *arguments, *model)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]  # before it, a word about words that the model does not know
    assert last.startswith("longlive: ")
    assert said in last
    assert "Traceback" not in err


def test_a_model_that_is_not_there_is_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "generate", "--prompt", "x", "--seconds", 1, "--out", "c.mp4", "--model", "enormous")
    assert (code, err.count("\n")) == (2, 1)
    assert "a preset: tiny" in err


def test_verify_gives_a_line_for_each_case_and_succeeds_when_all_pass(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", GOLDENS, "--cases", "t5,empty.t0")
    *lines, total = out.splitlines()
    assert code == 0
    assert len(lines) == 3
    assert all(line.startswith("pass ") and "max" in line and "tolerance" in line for line in lines)
    assert total == f"{len(lines)} of {len(lines)} cases passed"


def test_verify_prints_one_json_document_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", GOLDENS, "--cases", "t5.output_raw", "--json", "--dtype", "bfloat16")
    document = json.loads(out)
    assert (code, document["passed"], document["dtype"]) == (0, True, "bfloat16")
    assert [case["case"] for case in document["cases"]] == ["t5.output_raw"]
    assert document["cases"][0]["max_error"] >= document["cases"][0]["mean_error"] > 0


def test_verify_fails_when_a_case_is_not_there_or_an_expected_number_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "verify", GOLDENS, "--cases", "t5,telepathy")
    assert code == 1
    assert "not supported" in out
    for name in ("vae_t5_config.json", "t5_weights.safetensors"):
        (tmp_path / name).write_bytes((GOLDENS / name).read_bytes())
    golden = load_file(GOLDENS / "t5_io.safetensors")
    nothing = torch.full_like(golden["prompt_embeds"], float("nan"))
    save_file(golden | {"prompt_embeds": nothing}, tmp_path / "t5_io.safetensors")
    code, out, _ = run(capsys, "verify", tmp_path, "--cases", "t5.prompt_embeds", "--json")
    assert code == 1
    assert json.loads(out, parse_constant=pytest.fail)["cases"][0]["error"] is None  # JSON has no NaN
    save_file(golden | {"output_raw": golden["output_raw"] + 0.001}, tmp_path / "t5_io.safetensors")
    code, out, _ = run(capsys, "verify", tmp_path, "--cases", "t5")
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()[:2]] == [
        ["FAIL", "t5.output_raw"],
        ["pass", "t5.prompt_embeds"],
    ]


def test_a_port_that_is_taken_is_wrong_input_for_serve(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = run(capsys, "serve", "--port", port, "--data-dir", tmp_path)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in err


def test_a_model_that_is_not_there_is_wrong_input_for_serve(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    code, _, err = run(capsys, "serve", "--port", port, "--data-dir", tmp_path / "data", "--model", "nonsense")
    assert code == 2
    assert "there is no model 'nonsense'" in err
    assert not (tmp_path / "data").exists()


def test_a_stopped_training_is_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "vae.pt").touch()
    code, _, err = run(capsys, "train", "tiny", "--work", tmp_path, "--out", tmp_path / "model")
    assert code == 2
    assert "--resume" in err


def test_eval_reports_shares_of_matching_readouts(capsys: pytest.CaptureFixture[str], untrained_folder: Path) -> None:
    code, out, _ = run(capsys, "eval", "tiny", "--seeds", "5:7", "--json", "--model", untrained_folder)
    document = json.loads(out)
    assert code == 0
    assert document["n"] == 2
    assert set(document["attributes"]) == {"kind", "colour", "motion", "place", "time", "weather"}
    assert document["overall"] == pytest.approx(sum(document["attributes"].values()) / 6)
    assert 0 <= document["control"] <= 1
    assert (document["model"], document["seeds"]) == ("untrained", "5:7")
    assert document["dtype"] in ("float32", "bfloat16")
    assert document["commit"]
    assert {"python", "torch", "longlive"} <= set(document["versions"])


def test_eval_refuses_a_model_of_another_picture(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(untrained_folder, tmp_path / "wide")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"width": 128}))
    code, out, err = run(capsys, "eval", "tiny", "--seeds", "5:7", "--model", folder)
    assert (code, out) == (2, "")
    assert "128x64" in err.strip().splitlines()[-1]


def test_eval_reports_the_new_prompt_two_and_four_seconds_after_a_switch(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path
) -> None:
    arguments = ("--seeds", "5:6", "--switch", "keep", "--model", untrained_folder)
    code, out, _ = run(capsys, "eval", "tiny", *arguments, "--json")
    document = json.loads(out)
    assert (code, document["mode"]) == (0, "keep")
    assert [part["seconds"] for part in document["after_switch"]] == [2.0, 4.0]
    assert all(0 <= part["changed"] <= 1 for part in document["after_switch"])
    _, out, _ = run(capsys, "eval", "tiny", *arguments)
    changed = [line.split() for line in out.splitlines() if line.strip().startswith("changed ")]
    assert changed == [["changed", f"{part['changed']:.3f}"] for part in document["after_switch"]]
