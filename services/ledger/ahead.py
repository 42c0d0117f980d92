"""Taking the next page while the one before it is being written down."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Page = TypeVar("Page")


class Ahead(Generic[Page]):
    """One page at most is taken ahead, on a thread of its own; pages keep their order."""

    def __init__(self, take: Callable[[], Page]) -> None:
        self._take = take
        self._thread = ThreadPoolExecutor(1, "reads-ahead")
        self._coming: Future[Page] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()  # waits: nobody else may use what it reads from

    def begin(self) -> None:
        """There is time for the next page now."""
        if self._coming is None:
            self._coming = self._thread.submit(self._take)

    def next(self) -> Page:
        """The next page, and whatever taking it raises."""
        coming, self._coming = self._coming, None
        return self._take() if coming is None else coming.result()
