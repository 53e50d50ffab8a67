# A machine in a container: `docker build -f deploy/machine.Dockerfile .` at the root of the checkout.
# `steadflow` runs in it as on any machine, with Kafka, so it joins by the line that an invite prints.

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 steadflow \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin steadflow \
 # A volume takes its owner from the folder it is mounted on first.
 && install -d -o steadflow -g steadflow -m 0700 /data /cache /cache/steadflow \
 && python -m venv /opt/steadflow
# Where packages come from is the builder's affair: the hashes decide what may be installed.
COPY requirements/*.txt /requirements/
RUN cd /requirements \
 && /opt/steadflow/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
      -r central.txt -r cli.txt -r ingest.txt -r registry.txt -r standby.txt
# The wheel of this release, installed as on a machine that has it from /download.
COPY pyproject.toml README.md LICENSE /src/
COPY requirements /src/requirements
COPY cli /src/cli
COPY services /src/services
COPY shared /src/shared
RUN cd /src && /opt/steadflow/bin/python -m services.central.download.own_files /release \
 && /opt/steadflow/bin/pip install --no-cache-dir --no-deps /release/*.whl \
 && cd / && rm -r /src /release
ENV PATH=/opt/steadflow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    XDG_CACHE_HOME=/cache \
    NICEGUI_STORAGE_PATH=/tmp/nicegui
USER 10001:10001
WORKDIR /data
CMD ["steadflow", "up", "--no-traffic", "--no-browser", "--udp-host", "0.0.0.0"]
