#!/usr/bin/env bash
# Everything that needs a GPU, in at most ten minutes: tests, a training step, engines, profiles. Not yet run on a GPU.
#
#   OUT=gpu-results benchmarks/gpu.sh
#
# PYTHON is an environment with shls and, for each part, its packages: pytest, torch with CUDA, onnxruntime-gpu, TensorRT
# or TensorRT for RTX. Nothing is downloaded. A part that lacks something says so, and the other parts go on.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-.venv-test/bin/python}
out=$(mkdir -p "${OUT:-gpu-results}" && cd "${OUT:-gpu-results}" && pwd)
clip=runtime/assets/bunny.mp4 mask=runtime/assets/bunny_mask.png
command -v nvidia-smi >/dev/null && nvidia-smi -L || { echo "no NVIDIA GPU: nothing was run"; exit 2; }
nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv | tee "$out/card.csv"
failed=0

part() { # seconds, name, command...
    local seconds=$1 name=$2 begun=$SECONDS
    shift 2
    printf '\n== %s (at most %s s) ==\n' "$name" "$seconds"
    timeout --kill-after 5 "$seconds" "$@" 2>&1 | tee "$out/$name.txt"
    local code=${PIPESTATUS[0]}
    echo "$name: exit code $code after $((SECONDS - begun)) s" | tee -a "$out/summary.txt"
    [ "$code" = 0 ] || failed=1
}
shls() { "$python" -c 'from shls.runtime.cli.entry import run; run()' "$@"; }
export -f shls
export python out clip mask
export XDG_CACHE_HOME=$out/cache  # engines and kernels of this run alone

part 40 warm bash -c 'shls warm --device cpu'
part 30 doctor bash -c 'shls doctor; test $? -le 1'
part 130 tests "$python" -m pytest -q -m gpu -rs -p no:cacheprovider tests
part 90 training bash -c '
    "$python" -c "import torch; assert torch.cuda.is_available(), \"torch has no CUDA\"; print(torch.__version__)" &&
    "$python" - "$out/stills" <<"END" && shls train "$out/stills" --steps 20 --out "$out/run"
import sys
from pathlib import Path
import cv2
import numpy as np
folder, rng = Path(sys.argv[1]), np.random.default_rng(0)
folder.mkdir(exist_ok=True)
for index in range(64):
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC))
END'
part 60 profile-cpu bash -c 'shls profile "$clip" --device cpu --frames 100 --json "$out/profile-cpu.json"'
part 60 profile-cuda bash -c 'shls profile "$clip" --device cuda --frames 100 --json "$out/profile-cuda.json"'
part 110 build bash -c 'shls run "$clip" --build --mask "$mask" --masks "$out/masks"'
part 60 profile-engines bash -c 'shls profile "$clip" --frames 100 --json "$out/profile-engines.json"'
printf '\n'
cat "$out/summary.txt"
exit "$failed"
