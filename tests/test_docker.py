"""The image: always linted, and built if buildah and a base image are available."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "promise",
    [
        'ENTRYPOINT ["collector"]',
        'CMD ["run"]',
        'VOLUME ["/data"]',
        "STOPSIGNAL SIGTERM",
        "USER 10001:10001",
        "--require-hashes -r requirements.lock",
        'ARG EXTRAS=""',
    ],
)
def test_the_dockerfile_promises(promise):
    assert promise in DOCKERFILE


def test_only_what_the_image_is_made_of_reaches_the_build():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "LICENSE",
        "README.md",
        "collector",
        "config.example.toml",
        "migrations",
        "pyproject.toml",
        "requirements.lock",
    }


@pytest.mark.campaign
def test_the_image_builds_and_its_command_answers():
    base = os.environ.get("COLLECTOR_TEST_BASE_IMAGE")
    if not (base and shutil.which("buildah")):
        pytest.skip("needs buildah, and a base image with python3-venv named by COLLECTOR_TEST_BASE_IMAGE")
    tag = "localhost/radar-collector-test"
    _buildah("bud", "--format", "docker", "--build-arg", f"BASE={base}", "-t", tag, str(ROOT))
    image = json.loads(_buildah("inspect", "--type", "image", tag))["Docker"]["config"]
    assert image["Healthcheck"]["Test"] == ["CMD", "collector", "healthcheck"]
    container = _buildah("from", tag).strip()
    try:
        assert "Usage: collector" in _buildah("run", container, "--", "collector", "--help")
        assert _buildah("run", container, "--", "id", "-u").strip() == "10001"
        assert "fresh" in _buildah("run", container, "--", "collector", "demo", "--once", "--data", "/data/demo")
    finally:
        _buildah("rm", container)


def _buildah(*argv):
    environ = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs", **os.environ}
    done = subprocess.run(["buildah", *argv], capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout
