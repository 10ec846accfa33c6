"""The files in deploy/ are consistent with each other and with the program."""

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
from multirouter.config.client_keys.key_book import KeyBook
from multirouter.config.client_keys.key_file import save_keys
from multirouter.config.settings import load

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = (DEPLOY / "gateway.yaml").read_text(encoding="utf-8")
VARIABLES = set(re.findall(r"\$\{(\w+)\}", SETTINGS))
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = DEPLOY / "multirouter.service"


def unit() -> RawConfigParser:
    """The systemd unit."""
    read = RawConfigParser()
    read.optionxform = str  # type: ignore[assignment,method-assign] # as documented for configparser
    read.read(UNIT, encoding="utf-8")
    return read


def instruction(name: str) -> str:
    """The argument of the last Dockerfile instruction with this name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1]


def mounts() -> dict[str, dict[str, str]]:
    """Mounts by service: path in the container to its source."""
    found: dict[str, dict[str, str]] = {}
    for name, service in SERVICES.items():
        pairs = [mount.split(":") for mount in service.get("volumes", ())]
        found[name] = {target: source for source, target, *_ in pairs}
    return found


def keys_file() -> PurePosixPath:
    """Path of the keys file in the gateway's configuration."""
    return PurePosixPath(yaml.safe_load(SETTINGS)["keys"]["file"])


def drain(tmp_path: Path) -> float:
    """Seconds that streams have to finish after SIGTERM, by the deployed configuration."""
    return settings(tmp_path).document.server.drain_timeout


def settings(tmp_path: Path) -> Any:
    """The deployed configuration with a keys file and all variables set."""
    save_keys(tmp_path / "keys.json", KeyBook().new("alice")[0])
    file = tmp_path / "gateway.yaml"
    file.write_text(SETTINGS.replace(str(keys_file()), "keys.json"), encoding="utf-8")
    return load(file, dict.fromkeys(VARIABLES, "sk-test"))


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """With its variables set, the configuration has both providers."""
    found = settings(tmp_path)
    assert set(found.document.providers) == {"openai", "anthropic"}
    assert len(VARIABLES) == 2


def test_compose_passes_all_variables() -> None:
    """Each variable of the configuration is passed, and a missing one is an error."""
    environment = SERVICES["gateway"]["environment"]
    assert set(environment) == VARIABLES
    for name, value in environment.items():
        assert value.startswith(f"${{{name}:?"), "an empty key would cause a less clear error later"


def test_compose_mounts_exist() -> None:
    """Every mounted file or directory exists, and every volume is declared."""
    for targets in mounts().values():
        for source in targets.values():
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source


def test_the_keys_file_is_in_a_directory_of_the_gateways_user() -> None:
    """The directory is the image's volume and the unit's state directory.

    A mounted single file would keep the old content when `keys new` replaces it.
    """
    folder = str(keys_file().parent)
    assert mounts()["gateway"][folder] == "keys"
    assert instruction("VOLUME") == folder
    assert f"install -d -o {instruction('USER')} {folder}" in DOCKERFILE
    assert f"/var/lib/{unit()['Service']['StateDirectory']}" == folder
    assert unit()["Service"]["User"]


def test_the_image_serves_the_mounted_configuration() -> None:
    """The command is valid, and uses the exposed port and the mounted file."""
    assert json.loads(instruction("ENTRYPOINT")) == ["multirouter"]
    arguments = make_parser().parse_args(json.loads(instruction("CMD")))
    assert arguments.command == "serve"
    assert arguments.host == "0.0.0.0"
    assert arguments.config in mounts()["gateway"]
    (port,) = SERVICES["gateway"]["ports"]
    assert port.rpartition(":")[2] == instruction("EXPOSE")


def test_the_files_copied_into_the_image_exist() -> None:
    """Every file that the Dockerfile copies is in the project."""
    build = SERVICES["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert len(copied) == 2
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source


def test_commands_in_comments_are_valid() -> None:
    """The comments that create a key use a valid command and the configured keys file."""
    commands = [
        line.partition(start)[2]
        for text, start in ((UNIT.read_text(), "bin/multirouter "), (COMPOSE_TEXT, "--rm gateway "))
        for line in text.splitlines()
        if line.startswith("#") and start in line
    ]
    assert len(commands) == 2
    for command in commands:
        arguments = make_parser().parse_args(shlex.split(command))
        assert (arguments.command, arguments.file) == ("keys", str(keys_file()))


def test_stop_timeouts_are_longer_than_the_drain(tmp_path: Path) -> None:
    """Containers and services are killed only after the drain and the second before it."""
    grace = SERVICES["gateway"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > drain(tmp_path) + 1
    assert float(unit()["Service"]["TimeoutStopSec"]) > drain(tmp_path) + 1


def test_the_unit_starts_a_valid_command() -> None:
    """ExecStart is a valid command of the program."""
    program, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert PurePosixPath(program).name == "multirouter"
    assert make_parser().parse_args(arguments).command == "serve"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="comes with systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` reports nothing; the program is replaced by an existing one."""
    file = tmp_path / UNIT.name
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    file.write_text(UNIT.read_text(encoding="utf-8").replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_prometheus_accepts_its_configuration() -> None:
    """`promtool check config` accepts the configuration and its alert rules."""
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_the_gateway() -> None:
    """The target is the gateway's service and port, and the alert rules are mounted."""
    targets = mounts()["prometheus"]
    (read,) = (DEPLOY / at for at in targets.values() if at.endswith("prometheus.yml"))
    configuration = yaml.safe_load(read.read_text(encoding="utf-8"))
    (job,) = configuration["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"gateway:{instruction('EXPOSE')}"]}]
    for rules in configuration["rule_files"]:
        assert f"/etc/prometheus/{rules}" in targets


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """The data source is the Prometheus service, and the dashboard is mounted where it is read."""
    folder = DEPLOY / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert [source["url"] for source in sources] == ["http://prometheus:9090"]
    (found,) = yaml.safe_load((folder / "dashboards/multirouter.yaml").read_text())["providers"]
    shown = {str(PurePosixPath(at).parent) for at in mounts()["grafana"] if at.endswith(".json")}
    assert shown == {found["options"]["path"]}
