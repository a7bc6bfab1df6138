"""Values as people, files, environments and PBXs hand them in: one normal form and one validator for each kind.

What cannot be meant is taken away, what is legitimate in a language's names is kept, and what is left and cannot be
used is refused with a `BadValueError` that says what was seen, in the words of that value. Master, client and commands
read with this same code, so that two spellings of one thing are one thing to all of them. Pure: standard library only.

Decides: how a value is spelt. Leaves to others: what it means, and which field it stood in.
"""

from licensemaster.values.addresses import Address, address, listening_address, target, url
from licensemaster.values.keys import PUBLIC_KEY_BYTES, public_key
from licensemaster.values.kinds import (
    are_holders,
    bare,
    holder,
    key_text,
    license_name,
    mac,
    resource,
    serial,
    setting,
    token,
    token_hash,
    whole_number,
)
from licensemaster.values.text import BadValueError, clean, free_text, is_shown, plain, short_text

__all__ = [
    "PUBLIC_KEY_BYTES",
    "Address",
    "BadValueError",
    "address",
    "are_holders",
    "bare",
    "clean",
    "free_text",
    "holder",
    "is_shown",
    "key_text",
    "license_name",
    "listening_address",
    "mac",
    "plain",
    "public_key",
    "resource",
    "serial",
    "setting",
    "short_text",
    "target",
    "token",
    "token_hash",
    "url",
    "whole_number",
]
