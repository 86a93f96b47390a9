# The image of the worker: `docker build --tag customer-worker:local .`
# A private package index comes from your pip configuration: `--secret id=pip,src=$HOME/.config/pip/pip.conf`.

# The tag is for readers, the digest decides. `docker buildx imagetools inspect python:3.12-slim-trixie` prints today's.
ARG BASE=docker.io/library/python:3.12.15-slim-trixie@sha256:a6e34c598f2467ed0e9a8d349809fcd8b5c603269512df273a0bb1784edc11b1

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN command -v strip || { apt-get update && apt-get install --yes --no-install-recommends binutils; }
RUN python -m venv --without-pip /opt/venv && python -m venv --without-pip /opt/build
WORKDIR /src
COPY requirements.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements.txt
COPY deploy/image deploy/image
RUN sh deploy/image/trim.sh /opt/venv/lib/python3.*/site-packages \
 && echo /opt/worker > "$(echo /opt/venv/lib/python3.*/site-packages)/worker.pth"
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip --python /opt/build/bin/python install --require-hashes --only-binary :all: \
      -r deploy/image/build-requirements.txt
COPY pyproject.toml README.md ./
COPY domain domain
COPY worker worker
RUN python -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/venv/bin/python install --no-index --no-deps --target /opt/worker dist/*.whl

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="customer-worker" \
      org.opencontainers.image.description="Applies customer signups and cancellations from Kafka and publishes customer.churned exactly once." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12.15-slim-trixie"
# Nothing installs packages in this image. The user's name is for tools that look one up; the number is what counts.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && rm -rf /usr/local/lib/python3.*/ensurepip \
 && echo 'worker:x:10001:10001::/data:/usr/sbin/nologin' >> /etc/passwd \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data
# Dependencies change rarely: a new version of the worker is a small layer.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /src/deploy/image/healthcheck.py /opt/healthcheck.py
COPY --from=build /opt/worker /opt/worker
ENV PATH=/opt/worker/bin:/opt/venv/bin:$PATH HOME=/data PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 10001:10001
EXPOSE 8080
# A large store opens slowly: up to five minutes are allowed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=6 \
  CMD ["/opt/venv/bin/python", "-I", "-S", "/opt/healthcheck.py"]
# Process 1 does not receive a signal that it neither handles nor blocks. The signals are blocked before Python starts,
# and delivered once the worker handles them.
ENTRYPOINT ["env", "--block-signal=TERM,INT", "customer-worker"]
CMD ["run"]
