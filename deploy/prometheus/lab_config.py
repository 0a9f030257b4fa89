"""The cluster's `prometheus.yml` made fit for a lab (pure): the same jobs, targets from files.

Debian's Prometheus is built without Kubernetes discovery; `discovery.py` does that part.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from control_plane.resources.manifest import Manifest


def lab_config(text: str, directory: Path, rules: Path, interval: str) -> str:
    """`text` with `<role>.json` of `directory` for each `kubernetes_sd_configs`; scraped every `interval`."""
    config = yaml.safe_load(text)
    config["global"] = {
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "evaluation_interval": interval,
    }
    config["rule_files"] = [str(rules)]
    config["scrape_configs"] = [_from_files(job, directory) for job in config["scrape_configs"]]
    return yaml.safe_dump(config, sort_keys=False)


def _from_files(job: Manifest, directory: Path) -> Manifest:
    found = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    given = job.get("kubernetes_sd_configs")
    assert isinstance(given, list)
    return {**found, "file_sd_configs": [_files_of(entry, directory) for entry in given]}


def _files_of(entry: Mapping[str, object], directory: Path) -> Manifest:
    return {"files": [str(directory / target_file(str(entry["role"])))], "refresh_interval": "5s"}


def target_file(role: str) -> str:
    """Where the targets of a role are."""
    return f"{role}.json"
