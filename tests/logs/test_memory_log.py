import pytest
from log_contract import Clock, EventLogContract

from millstream.logs.memory import MemoryLog


class TestMemoryLog(EventLogContract):
    @pytest.fixture
    def log(self, clock: Clock) -> MemoryLog:
        return MemoryLog(clock)
