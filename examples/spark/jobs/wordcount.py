"""Counts words with a shuffle; prints how often each of them occurs, as one line of JSON.

    wordcount.py [LINES [PARTITIONS [SECONDS]]]

Each line has three words, which follow from its number, so that the right result is known. Each
partition takes at least so many seconds.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator

from pyspark.sql import SparkSession

WORDS = ("extract", "load", "index", "report", "learn", "mine", "crawl")


def words(number: int) -> list[str]:
    return [WORDS[number % len(WORDS)], WORDS[number * number % len(WORDS)], f"line{number % 100}"]


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    lines, partitions, seconds = (*given, *(10_000, 8, 0)[len(given) :])
    spark = SparkSession.builder.appName("wordcount").getOrCreate()

    def pairs(numbers: Iterable[int]) -> Iterator[tuple[str, int]]:
        began = time.monotonic()
        for number in numbers:
            for word in words(number):
                yield word, 1
        time.sleep(max(0, began + seconds - time.monotonic()))

    counted = (
        spark.sparkContext.range(lines, numSlices=partitions)
        .mapPartitions(pairs)
        .reduceByKey(lambda one, other: one + other)
        .collect()
    )
    print("WORDS " + json.dumps(dict(sorted(counted))))
    spark.stop()


if __name__ == "__main__":
    main()
