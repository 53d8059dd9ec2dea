# Detection, the service, training and the export on NVIDIA GPUs; README.md beside this file shows how to build and run it.
# PyTorch brings the libraries of CUDA along, so the base image needs none of them. The machine needs NVIDIA's driver.
FROM python:3.12-slim-bookworm

# What OpenCV's windows are linked with, and the compiler with which Triton builds the launchers of its kernels.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libsm6 libxext6 gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

COPY LICENSE README.md pyproject.toml /source/
COPY classifier /source/classifier
COPY configs /source/configs
COPY detection /source/detection
COPY proposals /source/proposals
COPY tools /source/tools
RUN pip install --no-cache-dir "/source[onnx,serve,train]" && rm -rf /source

# The folders of the machine code that Numba and Triton compile. Any user may write to them, since --user names another one.
ENV NUMBA_CACHE_DIR=/var/cache/detect/numba TRITON_CACHE_DIR=/var/cache/detect/triton
# What the container may use of the driver.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN useradd --create-home detect \
    && mkdir --mode 777 /var/cache/detect /var/cache/detect/numba /var/cache/detect/triton /photos
USER detect
WORKDIR /photos
# Compiles the loops, so that a container need not. There is no GPU during the build.
RUN detect --sample --no-image --device cpu

EXPOSE 8000
ENTRYPOINT ["detect"]
CMD ["--help"]
