"""The sampler merges its readers and ends with its context."""

from __future__ import annotations

import time

from shls.runtime.hardware.sampler import Sampler
from shls.runtime.hardware.sensors import Sample


def test_sampler_merges_readers_and_ends() -> None:
    readers = [lambda: Sample(clocks={"cpu": 1.0}, power={"a": 1.0}), lambda: Sample(clocks={"cpu": 2.0})]
    with Sampler(readers, period=0.001) as sampler:
        for _ in range(1000):
            if len(sampler.samples) > 2:
                break
            time.sleep(0.001)
    count = len(sampler.samples)
    assert count > 2
    assert sampler.samples[0].clocks == {"cpu": 2.0}
    assert sampler.samples[0].power == {"a": 1.0}
    assert sampler.samples[1].time > sampler.samples[0].time
    assert len(sampler.samples) == count, "none comes after the end"
