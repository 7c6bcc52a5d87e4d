# syntax=docker/dockerfile:1
# A small image that serves a model: docs/deploy.md.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# The index with torch's build for CPUs: the other one brings CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/xingping
ENV PATH=/opt/xingping/bin:$PATH
WORKDIR /build

# Dependencies change seldom: they are installed before the source is there. A version with +cpu goes before one without.
COPY constraints.txt ./
RUN pip install --extra-index-url "$TORCH_INDEX" --constraint constraints.txt torch
COPY pyproject.toml ./
RUN python -c "import pathlib, tomllib; p = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
print('\n'.join(p['dependencies'] + p['optional-dependencies']['serve']))" > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE ./
COPY src src
RUN pip install --no-deps .

# The bundled encoder is made here, so that no start waits for it.
ENV XINGPING_CACHE=/var/cache/xingping
RUN python -c "from xingping.encoders.bundled import bundled_folder; print(bundled_folder())"

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="xingping" \
      org.opencontainers.image.description="Star ratings from Chinese reviews, over HTTP" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin xingping
COPY --from=build /opt/xingping /opt/xingping
COPY --from=build --chown=xingping:xingping /var/cache/xingping /var/cache/xingping
ENV PATH=/opt/xingping/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XINGPING_CACHE=/var/cache/xingping \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HUB_OFFLINE=1
USER xingping
WORKDIR /home/xingping
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["xingping"]
CMD ["serve", "/model", "--host", "0.0.0.0", "--port", "8000"]
