# The runtime on JetPack 6: Python 3.10, CUDA 12.6 and TensorRT 10.3 with its Python module come with the base.
#
#   docker build -f docker/jetpack6.Dockerfile -t shls:jetpack6 .
#   docker run --rm --runtime nvidia -v "$PWD:/data" shls:jetpack6 doctor
#
# Engines are built where they run, inside: `shls export MODEL.onnx --format engine --out MODEL.engine`.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv libgl1 libglib2.0-0 libgomp1 \
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
