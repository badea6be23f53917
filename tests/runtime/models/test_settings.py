"""Settings: ranges, reading, and the contract versions that carry them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import READ, Contract, any_contract
from shls.runtime.models.settings import MemorySettings, Settings, SuperpixelSettings

CONTRACT = Contract("shls-edge", 64, 96, 8, "c" * 64, tools={"shls": "9.9"})


def changed(**values: Any) -> str:
    return json.dumps(json.loads(CONTRACT.to_json()) | values)


@pytest.mark.parametrize("stage", fields(Settings), ids=lambda stage: stage.name)
def test_every_number_has_a_meaning_and_a_range(stage: Any) -> None:
    for one in fields(stage.default):
        assert len(one.metadata["meaning"]) > 10
        if isinstance(one.default, int | float):
            low, high = one.metadata["low"], one.metadata["high"]
            assert low <= one.default <= high
            for outside in [value for value in (low - 1, high + 1) if abs(value) != float("inf")]:
                with pytest.raises(BadInput, match=rf"\.{one.name}: out of range \(got .*, expected"):
                    replace(stage.default, **{one.name: outside})


@pytest.mark.parametrize("value", ["7", None, True, float("nan")])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match=r"MemorySettings.recent: out of range"):
        MemorySettings(recent=value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown stage \(got 'memori'"):
        Settings.from_dict({"memori": {}})
    with pytest.raises(BadInput, match=r"settings.memory: unknown field \(got 'recents'"):
        Settings.from_dict({"memory": {"recents": 3}})
    with pytest.raises(BadInput, match="algorithm: unknown"):
        SuperpixelSettings(algorithm="seeds")


def test_a_contract_keeps_its_settings() -> None:
    contract = replace(CONTRACT, settings=Settings(memory=MemorySettings(recent=3, refiner_weight=0.5)))
    assert Contract.from_json(contract.to_json()) == contract


def test_version_1_takes_defaults_for_what_it_does_not_carry() -> None:
    old = json.loads(CONTRACT.to_json())
    del old["settings"]
    old |= {"version": 1, "superpixels": {"count": 700, "compactness": 10.0, "iterations": 4}}
    old |= {"memory": {"recent": 9, "clusters": 2, "neighbours": 2, "radius": 10.0, "temperature": 0.06}}
    read = Contract.from_json(json.dumps(old))
    assert read.settings == Settings(
        superpixels=SuperpixelSettings(count=700),
        memory=MemorySettings(recent=9, clusters=2, neighbours=2, radius=10.0, temperature=0.06),
    )


@pytest.mark.parametrize("version", [0, 3, None, "2"])
def test_other_versions_are_refused_with_the_software_that_writes_them(version: Any) -> None:
    assert version not in READ
    with pytest.raises(ContractMismatch, match=r"unknown version \(got .* of shls 9.9, expected 1 or 2\)"):
        any_contract(changed(version=version))


def test_settings_out_of_range_name_field_and_range() -> None:
    settings = Settings().to_dict()
    settings["memory"]["radius"] = -1
    with pytest.raises(ContractMismatch, match=r"MemorySettings.radius: out of range \(got -1, expected 0 to inf\)"):
        Contract.from_json(changed(settings=settings))


def test_every_setting_is_described() -> None:
    described = list(Settings(memory=MemorySettings(recent=3)).describe())
    assert len(described) == sum(len(fields(stage.default)) for stage in fields(Settings))  # type: ignore[arg-type]
    (recent,) = [one for one in described if one.name == "memory.recent"]
    assert (recent.value, recent.default) == (3, 7)
