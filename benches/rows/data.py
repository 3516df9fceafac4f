"""Large token files, filled with SQL, and kept in target/bench until the schema changes.

bearerd creates the file with its first user. The rows are those that bearerd would write for the tokens
that are generated here. The indexes and triggers are dropped before and created afterwards, which takes a
tenth of the time.
"""

import binascii
import dataclasses
import hashlib
import os
import random
import shutil
import sqlite3
import time

from .servers import create_user

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Maps each byte to a character. The first eight are likelier than the rest, which does not matter here.
CHARACTERS = bytes(ALPHABET[byte % 62] for byte in range(256))
BLOCK = 100_000
YEAR = 365 * 24 * 60 * 60
INSERT = ("INSERT INTO tokens (user_id, name, digest, abilities, created_at, expires_at)"
          " VALUES (?, 'bench', ?, '*', ?, ?)")


@dataclasses.dataclass
class Tokens:
    database: str  # the file
    strings: str   # its known live tokens, shuffled, one per line

    def some(self, count):
        with open(self.strings) as lines:
            return [next(lines).strip() for _ in range(count)]

    def copy(self, folder, name="copy"):
        """Copies the file, so that a row can change it. Returns the path of the copy."""
        return shutil.copy(self.database, os.path.join(folder, f"{name}.sqlite"))


def token_file(bench, live, dead=0, keep=None):
    """A file with `live` live tokens and, spread among them, `dead` tokens that expired at least a year
    ago. The strings of `keep` live tokens are stored beside it."""
    keep = keep or live
    fresh = os.path.join(bench.folder, "fresh.sqlite")
    create_user(bench, fresh)
    name = f"tokens-{live}-{dead}-{keep}-{_schema(fresh)}"
    kept = Tokens(*(os.path.join(bench.kept, name + end) for end in (".sqlite", ".txt")))
    if not os.path.exists(kept.strings):
        # The strings are written last, so that an incomplete file is created again.
        strings = _fill(fresh, live, dead, keep)
        shutil.move(fresh, kept.database)
        with open(f"{kept.strings}.part", "w") as lines:
            lines.writelines(f"{token}\n" for token in strings)
        os.rename(f"{kept.strings}.part", kept.strings)
    else:
        os.remove(fresh)
    return kept


def _schema(path):
    """A hash of the schema: a file with another schema is created again."""
    with sqlite3.connect(path) as database:
        statements = database.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    database.close()
    return hashlib.sha256(repr(statements).encode()).hexdigest()[:8]


def _fill(path, live, dead, keep):
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    dropped = database.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger')"
        " AND tbl_name = 'tokens' AND sql IS NOT NULL").fetchall()
    for kind, name, _ in dropped:
        database.execute(f"DROP {kind} {name}")
    strings = []
    database.execute("BEGIN")
    database.executemany(INSERT, _rows(1, live, dead, keep, strings))
    database.execute("COMMIT")
    database.execute("INSERT INTO token_counts SELECT user_id, count(*) FROM tokens GROUP BY user_id")
    for _, _, sql in dropped:
        database.execute(sql)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    database.close()
    random.Random(1).shuffle(strings)
    return strings


def add_tokens(path, user_id, count):
    """Adds `count` live tokens for a user, row by row. Returns their strings."""
    strings = []
    with sqlite3.connect(path) as database:
        database.executemany(INSERT, _rows(user_id, count, 0, count, strings))
    database.close()
    return strings


def _rows(user_id, live, dead, keep, strings):
    """The rows of a user, with the dead ones spread evenly. Appends the strings to keep to `strings`."""
    now, total = int(time.time()), live + dead
    alive = 0
    for index, token in enumerate(_draw(user_id, total)):
        digest = hashlib.sha256(token).digest()
        if (index + 1) * dead // total > index * dead // total:
            died = now - YEAR - index
            yield user_id, digest, died - 3600, died
            continue
        if (alive + 1) * keep // live > alive * keep // live:
            strings.append(token.decode())
        alive += 1
        yield user_id, digest, now, None


def _draw(user_id, count):
    """Generates token strings: the same in each run, and different ones for each user."""
    source = random.Random(f"{user_id} {count}")
    for start in range(0, count, BLOCK):
        drawn = source.randbytes(40 * BLOCK).translate(CHARACTERS)
        for at in range(0, 40 * min(BLOCK, count - start), 40):
            secret = drawn[at:at + 40]
            yield b"bd_%s%08x" % (secret, binascii.crc32(secret))


def zipf(strings, draws):
    """Draws from a file's tokens by Zipf's law with exponent 1: the n-th is drawn in proportion to 1/n."""
    with open(strings) as lines:
        tokens = lines.readlines()
    total, sums = 0.0, []
    for rank in range(1, len(tokens) + 1):
        total += 1 / rank
        sums.append(total)
    return random.Random(2).choices(tokens, cum_weights=sums, k=draws)
