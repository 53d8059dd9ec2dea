# Detection on a CPU without PyTorch, which is the light installation; README.md beside this file shows how to build and run it.
# OpenCV without windows and ONNX Runtime need no packages of the system.
FROM python:3.12-slim-bookworm

COPY LICENSE README.md pyproject.toml /source/
COPY requirements/light.txt /source/requirements/
COPY classifier /source/classifier
COPY configs /source/configs
COPY detection /source/detection
COPY proposals /source/proposals
COPY tools /source/tools
RUN pip install --no-cache-dir --requirement /source/requirements/light.txt \
    && pip install --no-cache-dir --no-deps /source \
    && rm -rf /source

# The folder of the machine code that Numba compiles. Any user may write to it, since --user names another one.
ENV NUMBA_CACHE_DIR=/var/cache/detect
RUN useradd --create-home detect && mkdir --mode 777 /var/cache/detect /photos
USER detect
WORKDIR /photos
# Compiles the loops, so that a container need not.
RUN detect --sample --no-image

ENTRYPOINT ["detect"]
CMD ["--help"]
