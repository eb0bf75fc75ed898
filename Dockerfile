# The same image twice: one to build in, one to run. Pin it by digest for a build that can be repeated:
# --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
# Dependencies before the code: a layer that only a new lock file makes stale. The environment that ships has no pip of its own.
COPY requirements.lock ./
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/collector \
    && /opt/pip/bin/pip --python /opt/collector/bin/python3 install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE config.example.toml ./
COPY collector collector
COPY migrations migrations
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
    && /opt/pip/bin/pip --python /opt/collector/bin/python3 install --no-cache-dir --no-deps dist/*.whl
# --build-arg EXTRAS=plot,parquet adds what pictures and Parquet need, which the lock file does not list.
ARG EXTRAS=""
RUN set -- dist/*.whl \
    && if [ -n "${EXTRAS}" ]; then \
      /opt/pip/bin/pip --python /opt/collector/bin/python3 install --no-cache-dir "$1[${EXTRAS}]"; fi

FROM ${BASE}
LABEL org.opencontainers.image.title="radar-collector" \
      org.opencontainers.image.description="Keeps Cloudflare Radar's certificate-transparency time series as history in a database of your own." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/collector /opt/collector
# A number, so that a cluster can see that it is not root. The store is a directory: SQLite keeps three files and a lock in it.
RUN install -d -m 0755 /etc/collector && install -d -o 10001 -g 10001 -m 0700 /data
ENV PATH="/opt/collector/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["collector", "healthcheck"]
ENTRYPOINT ["collector"]
CMD ["run"]
