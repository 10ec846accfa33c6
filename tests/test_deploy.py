"""The files in deploy/ are consistent with each other and with the program."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from configparser import RawConfigParser
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from multirouter.cli import make_parser
from multirouter.config.client_keys.hashed_keys import KeyBook
from multirouter.config.client_keys.key_file import save_keys
from multirouter.config.settings import load
from multirouter.gateway.app import ServerLimits

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = (DEPLOY / "gateway.yaml").read_text(encoding="utf-8")
VARIABLES = set(re.findall(r"\$\{(\w+)\}", SETTINGS))
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = DEPLOY / "multirouter.service"
MANIFEST_TEXT = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = {one["kind"]: one for one in yaml.safe_load_all(MANIFEST_TEXT)}
POD: dict[str, Any] = MANIFEST["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def unit() -> RawConfigParser:
    """The systemd unit; of a setting that is given twice, the last value."""
    read = RawConfigParser(strict=False)
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
    user, group = instruction("USER").split(":")
    assert f"install -d -o {user} -g {group} -m 750 {folder}" in DOCKERFILE
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
    assert len(copied) == 3
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source


def requirements(name: str) -> dict[str, list[str]]:
    """The hashes of each package in a file of deploy/, by its name."""
    text = re.sub(
        r"^#.*$|\\\n", "", (DEPLOY / name).read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    pinned = [line.split() for line in text.splitlines() if line.strip()]
    return {package.partition("==")[0]: hashes for package, *hashes in pinned}


def names(specifiers: list[str]) -> set[str]:
    """The packages of dependency specifiers."""
    return {re.split(r"[^\w-]", one)[0].lower() for one in specifiers}


def test_the_image_installs_hashed_packages_only() -> None:
    """All that the project and its builder require is pinned with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    needed = names([*project["project"]["dependencies"], *extras["gateway"], *extras["uvloop"]])
    for name, packages in (
        ("requirements.txt", needed),
        ("build-requirements.txt", names(project["build-system"]["requires"])),
    ):
        pinned = requirements(name)
        assert packages <= pinned.keys()
        for hashes in pinned.values():
            assert hashes
            assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", one) for one in hashes)
    for command in re.findall(r"pip install (.*?)(?: \\$|$)", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in command or "--no-index" in command


def test_images_are_pinned_by_digest() -> None:
    """A tag may be moved to another image; a digest is one image."""
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images += [service["image"] for service in SERVICES.values() if "image" in service]
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_few_rights(name: str) -> None:
    """No root, no capability, a read-only root file system, and bounds on memory and processes."""
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


def test_users_agree() -> None:
    """Image, compose file and manifest name one numeric user, which is not root."""
    user = instruction("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert SERVICES["gateway"]["user"] == user
    context = POD["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["fsGroup"] == context["runAsGroup"]  # it reads the keys


def test_the_descriptors_suffice_for_all_connections() -> None:
    """A request that is passed on takes two descriptors, one at the client, one at the provider."""
    limit = int(unit()["Service"]["LimitNOFILE"])
    assert limit > 2 * ServerLimits().max_connections
    assert SERVICES["gateway"]["ulimits"]["nofile"] == limit


@pytest.mark.parametrize("version", ["1.31.0", ""])
def test_the_manifest_meets_the_schema_of_kubernetes(version: str) -> None:
    """Each object is valid by the published schema, which knows all fields; "" is the newest."""
    validate = pytest.importorskip("kubernetes_validate")
    newest = validate.latest_version()
    assert len(MANIFEST) == 4
    for one in MANIFEST.values():
        validate.validate(one, version or newest, strict=True)


def test_the_manifest_has_the_deployed_configuration() -> None:
    """The configuration is deploy/gateway.yaml, at the path that the command names."""
    assert MANIFEST["ConfigMap"]["data"]["gateway.yaml"] == SETTINGS
    paths = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    arguments = make_parser().parse_args(CONTAINER["args"])
    assert arguments.command == "serve"
    assert arguments.reload
    assert arguments.config == f"{paths['configuration']}/gateway.yaml"
    assert paths["keys"] == str(keys_file().parent)
    assert {"configuration", "keys", "tmp"} == {volume["name"] for volume in POD["volumes"]}
    assert all(f"--from-literal={name}=" in MANIFEST_TEXT for name in VARIABLES)
    assert f"--from-file={keys_file().name}" in MANIFEST_TEXT


def test_the_manifest_meets_the_restricted_pod_security_standard() -> None:
    """See https://kubernetes.io/docs/concepts/security/pod-security-standards/, and more."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["resources"]["limits"]["memory"]


def test_the_manifest_selects_its_pods(tmp_path: Path) -> None:
    """Service, disruption budget and deployment select the labels of the pods, by port name."""
    labels = MANIFEST["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFEST["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert MANIFEST[kind]["spec"]["selector"]["matchLabels"] == labels
    (port,) = CONTAINER["ports"]
    assert str(port["containerPort"]) == instruction("EXPOSE")
    (served,) = MANIFEST["Service"]["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    probes = {CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert probes == {"/healthz", "/readyz"}
    before = float(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > before + 1 + drain(tmp_path)


def test_commands_in_comments_are_valid() -> None:
    """The comments that create a key use a valid command and the configured keys file."""
    commands = [
        line.partition(start)[2]
        for text, start in (
            (UNIT.read_text(), "bin/multirouter "),
            (COMPOSE_TEXT, "--rm gateway "),
            (MANIFEST_TEXT, "#   multirouter "),
        )
        for line in text.splitlines()
        if line.startswith("#") and start in line
    ]
    assert len(commands) == 3
    for command in commands:
        arguments = make_parser().parse_args(shlex.split(command))
        assert arguments.command == "keys"
        assert arguments.file in {str(keys_file()), keys_file().name}


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


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="comes with systemd")
def test_systemd_rates_the_unit_as_confined() -> None:
    """`systemd-analyze security` finds little that the service could do beyond its task."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_the_unit_has_bounds() -> None:
    """Memory, processes and descriptors are bounded, and start and stop are known to systemd."""
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert {"MemoryMax", "TasksMax", "LimitNOFILE"} <= set(service)


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
