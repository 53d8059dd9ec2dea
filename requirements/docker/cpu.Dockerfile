# Detection and the service on a CPU; README.md beside this file shows how to build and run it.
FROM python:3.12-slim-bookworm

# What OpenCV's windows are linked with; detection opens none, but cannot be imported without.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libsm6 libxext6 \
    && rm -rf /var/lib/apt/lists/*

# The address of a package index that has PyTorch without CUDA, which saves 5 GB; pip reads the variable.
ARG PIP_EXTRA_INDEX_URL=""

COPY LICENSE README.md pyproject.toml /source/
COPY classifier /source/classifier
COPY configs /source/configs
COPY detection /source/detection
COPY proposals /source/proposals
COPY tools /source/tools
RUN pip install --no-cache-dir "/source[serve]" && rm -rf /source

# The folder of the machine code that Numba compiles. Any user may write to it, since --user names another one.
ENV NUMBA_CACHE_DIR=/var/cache/detect
RUN useradd --create-home detect && mkdir --mode 777 /var/cache/detect /photos
USER detect
WORKDIR /photos
# Compiles the loops, so that a container need not.
RUN detect --sample --no-image

EXPOSE 8000
ENTRYPOINT ["detect"]
CMD ["--help"]
