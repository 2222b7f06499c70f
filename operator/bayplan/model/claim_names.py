"""Names of NodeClaims, chosen before the claims are sent.

The names of a Pool follow from its uid and a number, and always the lowest free numbers are used.
So an operator that was started again while a CREATE was on its way chooses the same name, and the
API server answers AlreadyExists: nothing is bought twice.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Collection

_LONGEST_POOL = 40
_LETTERS = 10
_OURS = re.compile(rf".+-[a-z2-7]{{{_LETTERS}}}")


@functools.lru_cache(maxsize=65536)  # the numbers of living claims are tried again and again
def claim_name(pool: str, pool_uid: str, serial: int) -> str:
    """The name of a Pool's claim with this number."""
    digest = hashlib.sha256(f"{pool_uid}/{serial}".encode()).digest()
    letters = base64.b32encode(digest).decode().lower()[:_LETTERS]
    return f"{pool[:_LONGEST_POOL].rstrip('-.')}-{letters}"


def fresh(pool: str, pool_uid: str, taken: Collection[str], count: int) -> list[str]:
    """The first `count` names of the Pool that are not `taken`. O(taken + count)."""
    found: list[str] = []
    serial = 0
    while len(found) < count:
        name = claim_name(pool, pool_uid, serial)
        if name not in taken:
            found.append(name)
        serial += 1
    return found


def made_by_us(name: str, pool: str) -> bool:
    """Whether a claim of this Pool has a name of ours; Karpenter's names end in five letters."""
    return _OURS.fullmatch(name) is not None and name.startswith(pool[:_LONGEST_POOL].rstrip("-."))
