"""What is remembered of downloads, and how sizes and times are written."""

from __future__ import annotations

import pytest

from kubespawner.diagnosis.amounts import readable_bytes, readable_memory, readable_seconds
from kubespawner.pulls import Pull, PullBook

from ._pods import event

IMAGE = "quay.io/jupyter/datascience-notebook:2026-10"


def pulled(text: str, image: str = IMAGE):
    return event("Pulled", f'Successfully pulled image "{image}" in {text}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.2s", Pull(3.2)),
        ("1m3.5s (1m3.5s including waiting)", Pull(63.5)),
        ("1h2m3s (1h5m0s including waiting). Image size: 1234 bytes.", Pull(3723, 1234)),
        (
            "843.512ms (844ms including waiting). Image size: 2159953 bytes.",
            Pull(0.843512, 2159953),
        ),
    ],
)
def test_kubelets_of_all_ages_are_understood(text, expected):
    book = PullBook()
    book.note(pulled(text))
    found = book.of(IMAGE)
    assert found.seconds == pytest.approx(expected.seconds) and found.bytes == expected.bytes


def test_other_events_tell_nothing_of_downloads():
    book = PullBook()
    book.note(event("Pulled", f'Container image "{IMAGE}" already present on machine'))
    book.note(event("Pulling", f'Successfully pulled image "{IMAGE}" in 3s'))
    book.note({"reason": "Pulled", "message": None})
    assert book.of(IMAGE) is None


def test_the_longest_download_and_the_last_known_size_count():
    book = PullBook()
    book.note(pulled("90s. Image size: 5 bytes."))
    # The machine had most of it.
    book.note(pulled("2s"))
    assert book.of(IMAGE) == Pull(90, 5)


def test_the_book_is_bounded():
    book = PullBook()
    for number in range(600):
        book.note(pulled("1s", f"image-{number}"))
        book.note(pulled("1s"))
    assert book.of("image-0") is None
    assert book.of("image-599") and book.of(IMAGE)


def test_sizes_and_times_in_words():
    sizes = [0, 999, 1200, 1_234_567_890, 45e9, 2e12]
    assert [readable_bytes(n) for n in sizes] == [
        "0 bytes",
        "999 bytes",
        "1.2 kB",
        "1.2 GB",
        "45 GB",
        "2 TB",
    ]
    assert readable_bytes(2 * 1024**3, binary=True) == "2 GiB"
    assert [readable_memory(q) for q in ("2147483648", 67108864, "2Gi", "500M")] == [
        "2 GiB",
        "64 MiB",
        "2Gi",
        "500M",
    ]
    times = [readable_seconds(s) for s in (0.2, 1, 40, 89, 90, 130)]
    assert times == ["1 second", "1 second", "40 seconds", "89 seconds", "2 minutes", "2 minutes"]
