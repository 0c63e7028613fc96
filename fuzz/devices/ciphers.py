"""What a cipher must answer: AES (FIPS 197) in CBC mode (SP 800-38A), in the plainest form.

Knows mathematics. Must not know devices. Slow: whoever asks often should ask for what many requests share.
"""

from __future__ import annotations

BLOCK = 16


def _double(value: int) -> int:
    """Multiplication by x in AES's field."""
    return value << 1 ^ (0x11B if value & 0x80 else 0)


def _substitution() -> bytes:
    """AES's S-box (5.1.1): the inverse in the field, then an affine map."""
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value ^= _double(value)  # times 3, which generates the field
    inverse = {powers[place]: powers[-place % 255] for place in range(255)}
    box = []
    for place in range(256):
        bits = inverse.get(place, 0)
        bits |= bits << 8
        box.append((bits ^ bits >> 4 ^ bits >> 5 ^ bits >> 6 ^ bits >> 7) & 0xFF ^ 0x63)
    return bytes(box)


_BOX = _substitution()
_TWICE = bytes(_double(value) & 0xFF for value in range(256))
_SHIFT = bytes(5 * place % 16 for place in range(16))  # where each byte comes from (5.1.2)


def round_keys(key: bytes) -> list[bytes]:
    """AES's key schedule (5.2): a key of 16 bytes for each round and one more."""
    words = [key[at : at + 4] for at in range(0, len(key), 4)]
    length, factor = len(words), 1
    for place in range(length, 4 * (length + 7)):
        word = words[-1]
        if place % length == 0:
            word = bytes(_BOX[value] for value in word[1:] + word[:1])
            word = bytes([word[0] ^ factor]) + word[1:]
            factor = _double(factor)
        elif length > 6 and place % length == 4:
            word = bytes(_BOX[value] for value in word)
        words.append(_mix(word, words[-length]))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def _mix(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def encrypt_block(keys: list[bytes], block: bytes) -> bytes:
    """One block of AES (5.1)."""
    state = _mix(block, keys[0])
    for key in keys[1:-1]:
        moved = [_BOX[state[place]] for place in _SHIFT]
        mixed = []
        for at in (0, 4, 8, 12):
            a, b, c, d = moved[at : at + 4]
            every = a ^ b ^ c ^ d
            mixed += [every ^ a ^ _TWICE[a ^ b], every ^ b ^ _TWICE[b ^ c], every ^ c ^ _TWICE[c ^ d]]
            mixed.append(every ^ d ^ _TWICE[d ^ a])
        state = _mix(bytes(mixed), key)
    return _mix(bytes(_BOX[state[place]] for place in _SHIFT), keys[-1])


def encrypt_chain(key: bytes, vector: bytes, data: bytes) -> bytes:
    """AES-CBC without padding (SP 800-38A, 6.2)."""
    keys = round_keys(key)
    found = [vector]
    for at in range(0, len(data), BLOCK):
        found.append(encrypt_block(keys, _mix(data[at : at + BLOCK], found[-1])))
    return b"".join(found[1:])
