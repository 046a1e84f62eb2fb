"""The Grafana dashboard, against the types of Grafana's own SDK."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import pytest
import typeguard


def enums(origin: Any, _args: Any, _extras: Any) -> Any:
    """The SDK reads an enum's value as it is; it must be one of them."""
    if not (isinstance(origin, type) and issubclass(origin, enum.Enum)):
        return None

    def check(value: Any, of: Any, _args: Any, _memo: Any) -> None:
        try:
            of(value)
        except ValueError as error:
            raise typeguard.TypeCheckError(str(error)) from error

    return check


typeguard.checker_lookup_functions.insert(0, enums)
typeguard.install_import_hook(["grafana_foundation_sdk.models"])

from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402
from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: E402
from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: E402

FILE = Path(__file__).resolve().parents[2] / "host" / "packaging" / "monitoring" / "dashboard.json"


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """What the types have no place for, or another value."""
    if isinstance(given, dict):
        found = []
        for key, value in given.items():
            if value is not None and (not isinstance(kept, dict) or key not in kept):
                found.append(f"{path}.{key}")
            elif value is not None:
                found += lost(value, kept[key], f"{path}.{key}")
        return found
    if isinstance(given, list):
        if not isinstance(kept, list) or len(given) != len(kept):
            return [path]
        return [word for at, pair in enumerate(zip(given, kept)) for word in lost(*pair, f"{path}[{at}]")]
    return [] if given == kept else [f"{path}: {given} is {kept}"]


def read(given: Any) -> list[str]:
    """What of a dashboard its types do not have."""
    register_default_plugins()
    return lost(given, json.loads(JSONEncoder().encode(Dashboard.from_json(given))))


def test_it_is_a_dashboard() -> None:
    dashboard = json.loads(FILE.read_text())
    assert read(dashboard) == []
    assert len(dashboard["panels"]) > 10
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    # No panel lies on another.
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not own & cells, panel["title"]
        cells |= own
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]


def test_a_misspelt_field_and_a_wrong_type_are_found() -> None:
    dashboard = json.loads(FILE.read_text())
    misspelt = json.loads(json.dumps(dashboard).replace('"gridPos"', '"gridPosition"'))
    assert ".panels[0].gridPosition" in read(misspelt)
    dashboard["panels"][0]["title"] = 7
    with pytest.raises(typeguard.TypeCheckError):
        read(dashboard)
