# The runtime on JetPack 6: Python 3.10, CUDA 12.6 and TensorRT 10.3 with its Python module come with the base.
#
#   docker build -f docker/jetpack6.Dockerfile -t shls:jetpack6 .
#   docker run --rm --runtime nvidia -v shls-cache:/var/cache/shls -v "$PWD:/data" shls:jetpack6 doctor
#
# Engines of both networks are built where they run, once: `shls run VIDEO --build ...`; the volume keeps them.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv python3-opencv libgomp1 \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/shls
# The environment sees the system's TensorRT and OpenCV. The system's OpenCV reads csi:// cameras through GStreamer, so
# pip's OpenCV stays out; it was compiled for numpy 1, which the last line of the constraints keeps. Everything else is a
# wheel. onnxruntime runs the shipped models on the CPU until an engine is built.
RUN sed '/^numpy==/d' /opt/shls/constraints.txt > /tmp/constraints.txt \
    && echo 'numpy<2' >> /tmp/constraints.txt \
    && python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary=:all: \
        --constraint /tmp/constraints.txt /opt/shls onnxruntime \
    && /opt/venv/bin/python -c 'import cv2; assert "GStreamer:                   YES" in cv2.getBuildInformation()'

# Kernels are compiled for the processor that builds the image; another processor compiles its own at the first start.
ENV NUMBA_CACHE_DIR=/var/cache/shls XDG_CACHE_HOME=/var/cache
RUN /opt/venv/bin/shls warm --device cpu
WORKDIR /data
ENTRYPOINT ["/opt/venv/bin/shls"]
