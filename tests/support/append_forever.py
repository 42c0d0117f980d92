"""A process to be killed: appends numbered messages and prints how many are acknowledged."""

import sys
from concurrent.futures import Future

from services.runtime.stream import Message, open_stream

CALLS_UNDER_WAY = 20
MESSAGES_PER_CALL = 25
KEYS = 10


def main(url: str, topic: str, partitions: int) -> None:
    stream = open_stream(url, partitions=partitions)
    stream.ensure_topics()
    producer = stream.producer()
    next_number = acknowledged = 0
    under_way: list[Future[None]] = []
    while True:
        while len(under_way) < CALLS_UNDER_WAY:
            numbers = range(next_number, next_number := next_number + MESSAGES_PER_CALL)
            messages = [Message(f"m-{n % KEYS}", str(n).encode()) for n in numbers]
            under_way.append(producer.submit(topic, messages))
        under_way.pop(0).result()
        acknowledged += MESSAGES_PER_CALL
        print(acknowledged, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
