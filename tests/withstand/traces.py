"""The secrets of a test, and the search for their traces."""

import base64
import hashlib
import urllib.parse
from pathlib import Path

# Shorter ends of a token occur by chance.
END = 20


def spellings(secret):
    """The forms in which a secret could appear, each with its name."""
    data = secret.encode()
    digest = hashlib.sha256(data)
    forms = {"plain": secret, "SHA-256": digest.hexdigest(),
             "SHA-256 in base64": base64.b64encode(digest.digest()).decode().rstrip("=")}
    if len(secret) < END:
        # Other forms of a short secret occur by chance.
        return forms
    # Base64 of a text around the secret has one of three forms, which its position decides.
    shifted = (base64.b64encode(b"x" * shift + data).decode()[4 if shift else 0:] for shift in range(3))
    return {
        **forms,
        "end": secret[-END:],
        "percent-encoded": urllib.parse.quote(secret),
        "hexadecimal": data[-END:].hex(),
        "bytes": ", ".join(str(byte) for byte in data[-END:]),
        **{f"base64 {shift}": text.rstrip("=")[:-2] for shift, text in enumerate(shifted)},
    }


class Secrets:
    def __init__(self):
        self.known = {}

    def add(self, name, secret):
        self.known[name] = spellings(secret)
        return secret

    def traces(self, place, text):
        """Which secrets `text` contains, as `place: name (form)`."""
        text = text if isinstance(text, str) else text.decode(errors="replace")
        lower = text.lower()
        return [f"{place}: {name} ({form}): …{text[max(0, at - 80):at + len(spelling) + 20]!r}"
                for name, forms in self.known.items() for form, spelling in forms.items()
                if (at := lower.find(spelling.lower())) >= 0]

    def traces_in_files(self, folder, without=()):
        return [trace for path in sorted(Path(folder).rglob("*"))
                if path.is_file() and path.name not in without
                for trace in self.traces(path, path.read_bytes())]
