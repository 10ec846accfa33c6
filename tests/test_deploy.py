"""What deploy/ holds fits together, and fits the program that it deploys."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from multirouter.cli import make_parser
from multirouter.config.keyfile import write_keys
from multirouter.config.keys import KeyBook
from multirouter.config.settings import load

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = (DEPLOY / "gateway.yaml").read_text(encoding="utf-8")
NAMED = set(re.findall(r"\$\{(\w+)\}", SETTINGS))
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = DEPLOY / "multirouter.service"


def unit() -> RawConfigParser:
    """The systemd unit."""
    read = RawConfigParser()
    read.optionxform = str  # type: ignore[assignment,method-assign] # as its documentation says
    read.read(UNIT, encoding="utf-8")
    return read


def instruction(name: str) -> str:
    """What follows the Dockerfile's last instruction of that name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1]


def mounts() -> dict[str, dict[str, str]]:
    """By service, what is mounted: places in the container, each with what stands there."""
    found: dict[str, dict[str, str]] = {}
    for name, service in SERVICES.items():
        pairs = [mount.split(":") for mount in service.get("volumes", ())]
        found[name] = {inside: outside for outside, inside, *_ in pairs}
    return found


def keys_file() -> PurePosixPath:
    """Where the gateway's settings say that the keys are."""
    return PurePosixPath(yaml.safe_load(SETTINGS)["keys"]["file"])


def drain(tmp_path: Path) -> float:
    """Seconds that streams have after SIGTERM, by the settings deployed."""
    return settings(tmp_path).document.server.drain


def settings(tmp_path: Path) -> Any:
    """The settings deployed, with keys and variables as the first lines of the files tell."""
    write_keys(tmp_path / "keys.json", KeyBook().new("alice")[0])
    file = tmp_path / "gateway.yaml"
    file.write_text(SETTINGS.replace(str(keys_file()), "keys.json"), encoding="utf-8")
    return load(file, dict.fromkeys(NAMED, "sk-test"))


def test_the_settings_are_right(tmp_path: Path) -> None:
    """With the variables that they name, both providers are there and keys are asked for."""
    found = settings(tmp_path)
    assert set(found.document.providers) == {"openai", "anthropic"}
    assert len(NAMED) == 2


def test_compose_hands_over_what_the_settings_name() -> None:
    """Each variable of the settings reaches the container, and one that is missing stops it."""
    given = SERVICES["gateway"]["environment"]
    assert set(given) == NAMED
    for name, value in given.items():
        assert value.startswith(f"${{{name}:?"), "an empty key would be refused later, less clearly"


def test_compose_mounts_what_there_is() -> None:
    """Every file or folder mounted is here, and every volume is declared."""
    for places in mounts().values():
        for outside in places.values():
            if outside.startswith("."):
                assert (DEPLOY / outside).exists(), outside
            else:
                assert outside in COMPOSE["volumes"], outside


def test_keys_live_where_the_gateway_may_read_them() -> None:
    """In a folder of its own user's: the image's volume, and the state folder of the unit.

    A single file that is mounted would stay the old one when `keys new` replaces it.
    """
    folder = str(keys_file().parent)
    assert mounts()["gateway"][folder] == "keys"
    assert instruction("VOLUME") == folder
    assert f"install -d -o {instruction('USER')} {folder}" in DOCKERFILE
    assert f"/var/lib/{unit()['Service']['StateDirectory']}" == folder
    assert unit()["Service"]["User"]


def test_the_image_serves_the_settings_mounted() -> None:
    """Its command is one that the program knows, for a port it exposes, from a file mounted."""
    assert json.loads(instruction("ENTRYPOINT")) == ["multirouter"]
    asked = make_parser().parse_args(json.loads(instruction("CMD")))
    assert asked.command == "serve"
    assert asked.host == "0.0.0.0"
    assert asked.config in mounts()["gateway"]
    (port,) = SERVICES["gateway"]["ports"]
    assert port.rpartition(":")[2] == instruction("EXPOSE")


def test_the_image_is_built_from_what_there_is() -> None:
    """Each file copied from the project is in it."""
    build = SERVICES["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert len(copied) == 2
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source


def test_commands_in_comments_are_known() -> None:
    """The lines that make a key name a command, and the file that the settings name."""
    told = [
        line.partition(start)[2]
        for text, start in ((UNIT.read_text(), "bin/multirouter "), (COMPOSE_TEXT, "--rm gateway "))
        for line in text.splitlines()
        if line.startswith("#") and start in line
    ]
    assert len(told) == 2
    for line in told:
        asked = make_parser().parse_args(shlex.split(line))
        assert (asked.command, asked.file) == ("keys", str(keys_file()))


def test_whoever_stops_it_lets_streams_finish(tmp_path: Path) -> None:
    """Containers and services are killed only after the drain, and the second before it."""
    grace = SERVICES["gateway"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > drain(tmp_path) + 1
    assert float(unit()["Service"]["TimeoutStopSec"]) > drain(tmp_path) + 1


def test_the_unit_starts_what_there_is() -> None:
    """Its command is one that the program knows."""
    program, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert PurePosixPath(program).name == "multirouter"
    assert make_parser().parse_args(arguments).command == "serve"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="comes with systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Nothing in it is unknown to systemd; the program is replaced by one that is here."""
    file = tmp_path / UNIT.name
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    file.write_text(UNIT.read_text(encoding="utf-8").replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_prometheus_takes_its_settings() -> None:
    """And those of the alerts that they name."""
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_the_gateway() -> None:
    """By the name and port of its service; the settings and alerts stand side by side."""
    places = mounts()["prometheus"]
    (read,) = (DEPLOY / at for at in places.values() if at.endswith("prometheus.yml"))
    told = yaml.safe_load(read.read_text(encoding="utf-8"))
    (job,) = told["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"gateway:{instruction('EXPOSE')}"]}]
    for rules in told["rule_files"]:
        assert f"/etc/prometheus/{rules}" in places


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Under the address of its service, and in the folder that the dashboard is mounted in."""
    folder = DEPLOY / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert [source["url"] for source in sources] == ["http://prometheus:9090"]
    (found,) = yaml.safe_load((folder / "dashboards/multirouter.yaml").read_text())["providers"]
    shown = {str(PurePosixPath(at).parent) for at in mounts()["grafana"] if at.endswith(".json")}
    assert shown == {found["options"]["path"]}
