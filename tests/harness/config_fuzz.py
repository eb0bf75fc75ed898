"""A sound configuration, and the mistakes that editors, disks and people make in it."""

PASSWORD = "xK3-hunter22-pass"
TOKEN = "v1-0123456789abcdefghijklmnopqrstuvwxyzAB"

SOUND = f"""
[radar]
base_url = "https://api.cloudflare.com/client/v4"
timeout = "30s"
concurrency = 8
api_token_file = "token"
[database]
url = "postgresql://collector:{PASSWORD}@db.example/radar"
upgrade = true
[collection]
publication_delay = "2m"
lookback = "1d"
settle = "14d"
[server]
host = "::1"
port = 8080
[log]
level = "info"
[[profiles]]
name = "all"
agg_interval = "15m"
since = 2026-01-01
[[profiles]]
name = "by-owner"
agg_interval = "1h"
filters = {{ validation_level = ["DOMAIN"], has_ips = true }}
[profiles.each]
ca_owner = [
  "Internet Security Research Group", # the largest
  'DigiCert, Inc.',
]
"""
VALUES = [
    "[]",
    "{}",
    "true",
    "-1",
    "1e400",
    "2026-01-01",
    '""',
    '"' + "x" * 99 + '"',
    '"\\u0000"',
    "[[1]]",
    "0x" + "f" * 5000,
]


def mutated(rng):
    """A configuration with one to three mistakes, of the sort that editors, disks and people make."""
    content = SOUND.encode()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):  # with more, too few would be valid
        content = rng.choice([flipped, without_a_line, swapped, cut, replaced, doubled])(rng, content)
    return content


def flipped(rng, content):
    at = rng.randrange(len(content) or 1)
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def without_a_line(rng, content):
    lines = content.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def swapped(rng, content):
    lines = content.split(b"\n")
    pairs = [index for index, line in enumerate(lines) if b" = " in line]
    if len(pairs) > 1:
        a, b = rng.sample(pairs, 2)
        (key_a, value_a), (key_b, value_b) = (lines[index].split(b" = ", 1) for index in (a, b))
        lines[a], lines[b] = key_a + b" = " + value_b, key_b + b" = " + value_a
    return b"\n".join(lines)


def cut(rng, content):
    return content[: rng.randrange(len(content) + 1)]


def replaced(rng, content):
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at].split(b" = ")[0] + b" = " + rng.choice(VALUES).encode()
    return b"\n".join(lines)


def doubled(rng, content):
    lines = content.split(b"\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)
