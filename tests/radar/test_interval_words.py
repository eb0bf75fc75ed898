"""Words for the width of a bucket."""

import pytest

from collector.radar.response_meta import seconds_of


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        *((900, word) for word in ("FIFTEEN_MINUTES", "15m", "15M", "fifteen minutes", "15min", "PT15M", 900, "900")),
        *(
            (3_600, word)
            for word in ("ONE_HOUR", "1h", "1 H", "OneHour", "hourly", "hour", "60m", "PT60M", "PT1H", 3600)
        ),
        *((86_400, word) for word in ("ONE_DAY", "1d", "24h", "daily", "P1D", "PT24H", "day", 86_400)),
        *((604_800, word) for word in ("ONE_WEEK", "1w", "7 days", "weekly", "P1W", "P7D", "7d")),
        *((300, word) for word in ("5m", "FIVE_MINUTES", "PT5M")),
        (2_592_000, "ONE_MONTH"),
        *((None, word) for word in ("", "NATIVE", "1M", "P1M", "P1Y", 60, 15, True, None, 3600.0, "m", "1h30", [], {})),
        *((None, word) for word in ("½ hour", "one", "9" * 5000, "PT")),
    ],
)
def test_a_word_names_the_width_of_a_bucket_or_none(seconds, word):
    assert seconds_of(word) == (seconds or None)
