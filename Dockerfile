# The operator and its command line. Nothing in the image is run by a shell, nothing is written to
# its file system, and nobody is root in it.
#
#   docker build --tag bayplan/bayplan .
#
# Without a shell or a package manager at all:
#
#   docker build --tag bayplan/bayplan \
#     --build-arg BUILDER=debian:12 --build-arg BASE=gcr.io/distroless/python3-debian12:nonroot .
#
# BASE is any image with Python 3.11 or newer. BUILDER has the same `python3` at the same path.
ARG BASE=python:3.13-slim
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# Debian's own Python comes without an installer, or not at all.
RUN python3 -m pip --version || { apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates python3-pip; }
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# Wheels of the locks and nothing else: no hash, no install; nothing of a package runs meanwhile.
RUN for name in bayplan build; do python3 -m venv --without-pip /opt/$name || exit 1; done && \
    install() { python3 -m pip --python "$1" install --no-cache-dir --no-deps \
      --only-binary=:all: --require-hashes --requirement "$2"; } && \
    install /opt/bayplan/bin/python requirements.lock && \
    install /opt/build/bin/python requirements-build.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY operator operator
RUN /opt/build/bin/python -m hatchling build --target wheel && \
    python3 -m pip --python /opt/bayplan/bin/python install --no-cache-dir --no-deps --no-index \
      dist/*.whl && \
    /opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
      --output-file /opt/bayplan/sbom.cdx.json /opt/bayplan/bin/python

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bayplan" \
      org.opencontainers.image.description="Batch jobs and services, bin-packed onto the fewest nodes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/bayplan /opt/bayplan
# The user has no entry in /etc/passwd; libraries that ask for a home find the one writable folder,
# and those that ask for a name (kopf run does) find one.
ENV PATH=/opt/bayplan/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp USER=bayplan \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 9090
CMD ["python", "-m", "bayplan"]
