"""A record of a benchmark for each test, which may change it."""

import benchmark_records
import pytest


@pytest.fixture
def record():
    """As `benchmark_records.record`."""
    return benchmark_records.record()
