# An image that analyses, summarizes and serves without a network.
#   docker build -t mien .
#   docker run --rm --network none --user "$(id -u)" -v "$PWD:/data" mien analyze clips --out out/clips
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
RUN python -m venv /opt/mien \
 && /opt/mien/bin/pip install --no-cache-dir --no-compile -c constraints.txt '.[video,parquet,study,serve]' \
 && /opt/mien/bin/mien models verify

FROM python:3.13-slim
COPY --from=build /opt/mien /opt/mien
ENV PATH=/opt/mien/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 10001 mien
USER mien
WORKDIR /data
EXPOSE 8000
# A server is asked whether it is well; any other run is well while its weights are whole.
HEALTHCHECK --interval=60s --timeout=10s --start-period=20s CMD \
    python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=5)" || mien models verify
ENTRYPOINT ["mien"]
CMD ["--help"]
