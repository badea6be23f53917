# The runtime on JetPack 7: Python 3.12, CUDA 13 and TensorRT 10.13 with its Python module come with the base.
#
#   docker build -f docker/jetpack7.Dockerfile -t shls:jetpack7 .
#   docker run --rm --runtime nvidia -v "$PWD:/data" shls:jetpack7 doctor
#
# Engines are built where they run, inside: `shls export MODEL.onnx --format engine --out MODEL.engine`.
# From JetPack 7 on, boards run NVIDIA's images for Arm servers; choose the one with the TensorRT that is wanted.
ARG BASE=nvcr.io/nvidia/tensorrt:25.08-py3
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv libgl1 libglib2.0-0t64 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/shls
# TensorRT's module is the system's, so the environment sees the system's packages; everything else is a wheel.
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary=:all: \
        --constraint /opt/shls/constraints.txt '/opt/shls[cpu]'

# Compiled kernels; mount a volume here to keep them between runs.
ENV NUMBA_CACHE_DIR=/var/cache/shls
WORKDIR /data
ENTRYPOINT ["/opt/venv/bin/shls"]
