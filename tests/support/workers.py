"""How a full run is dealt out to its workers."""

from xdist.scheduler import LoadScopeScheduling


class OneServerEach(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """A file at a time, but one worker has the one Kafka, and one the embedded installation."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        if path.startswith("tests/chaos/"):
            return nodeid
        if "[full" in test or "kafka" in path:
            return "kafka"
        return "embedded" if "[embedded" in test else path
