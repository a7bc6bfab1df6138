"""The tables by name, and what a row of each is; `migrations/` alone defines their columns.

A test compares the names with what the migrations make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TABLES: Final[Mapping[str, str]] = {
    "project": (
        "A customer's installation; learning_... are set while the master learns after a restore. One that was "
        "deleted keeps its row for its audit and its agreement ledger, with deleted_at; all else of it is gone."
    ),
    "site": "A site of a project.",
    "device": (
        "A box or virtual machine; its key once it has shown one, the hash of its one-time token while one waits for "
        "it."
    ),
    "pbx": "A PBX, its device, its site, and whose standby it is.",
    "license": (
        "Purchased items; free in the project balance while device_id is null; declared in the project file while "
        "file is. `file_agreement_ends_at` is what the vendor's file said, kept as it was; `agreement_ends_at` what "
        "the ledger makes of it. The last four are set where the agreement ledger brought the license: its subject, "
        "the policy whose end stops the use, and when; null and empty for never."
    ),
    "license_release": (
        "Releases under way: complete when the license is not in use and its device has certified, or been given up."
    ),
    "license_file": "Vendors' files as they were imported, with the signature.",
    "vendor_key": "The keys whose license files a project takes.",
    "allocation": "How an operator divides the project's pools between its sites, as JSON.",
    "pool": (
        "What the licenses on one device add up to, per type, how much is debited, and the most that ever was at a "
        "commit. `peak_at` is null while nothing was ever debited, and where the peak is older than its keeping. "
        "`overdrawn` are the seats that were let be debited above the capacity, `overdraft_spent` the seat seconds of "
        "the budget spent by `overdraft_at`."
    ),
    "revocation": "Seats taken away by an operator, until their PBX has given them back or its lease has ended.",
    "pool_usage": (
        "Seats debited from a pool by a PBX, and what is counted for it: the higher of its seats and its claims on "
        "the pool. Written at every commit, so no index covers them."
    ),
    "claim": (
        "Seats that may be in use in a PBX's name beside its lease: by a standby, or by the PBX that it took the "
        "lease from. A row counts until it is deleted, whatever its end says. No foreign keys, as in pool_usage."
    ),
    "standby_lease": "What is known of the signed standby leases of each pair; what they cover is in claim.",
    "learning_seat": (
        "Seats by PBX while the master learns: known from the backup, proven, and proven without a license to debit."
    ),
    "seat": (
        "Seats held; pool_id is null where another seat includes this one, parent says which. No foreign keys here "
        "and in pool_usage: every writer has locked the PBX and the pool, and PostgreSQL would look both up again for "
        "each of a hundred thousand seats."
    ),
    "waiter": (
        "Seats that are waited for, with the place that their PBX was told; 0 where they were handed on, until their "
        "PBX has taken them up. No index has the place: it changes often."
    ),
    "seat_queue": "How many seats of a type are waited for, so that nobody has to count who waits.",
    "lease": (
        "Each PBX's current lease; carrier_id is the standby that has it, claimed says whether to look into claim."
    ),
    "lease_stream": (
        "The newest stream of each PBX that has a standby, at any master; lost_at is when it broke, null while it is "
        "open; asked_at is when the standby last asked for it. Written when a stream opens or breaks, beside the hot "
        "path, and when the standby asks."
    ),
    "event": (
        "What happened, one hash chain per project: written in the transaction that made it happen. Every column is "
        "hashed."
    ),
    "audit_head": "Where each project's chain ends; locked and moved on last in a transaction.",
    "request_answer": (
        "What requests with an id were answered with, written in the transaction that carried them out: a retry gets "
        "the same. The fingerprint tells a retry from another request under the same id. Kept for a time; the audit "
        "names the id for good."
    ),
    "site_day": (
        "What a site came to on a day (days since 1970, UTC): the most seats seen, seats refused, holders denied."
    ),
    "pool_day": (
        "What a pool came to on a day: the most seats debited, the fewest licenses unused. The balance has no device."
    ),
    "rule_day": (
        "What an allocation rule came to on a day: the most seats of its reserve that its owners had, and the fewest "
        "that they had not (null where it reserves none); seats refused because of it."
    ),
    "denial": (
        "Holders that were refused on a day, once each; those that got their seat soon after are gone when judged."
    ),
    "agreement_entry": (
        "The agreement ledger: numbered from 1 without gaps in each project, only ever appended to. Details are JSON. "
        "`order_number` is the number of the first entry that the same order wrote."
    ),
    "webhook": "Receivers that operators have added; kinds of alarm by name, apart by spaces, all where empty.",
    "alarm": "What stands now; gone_at is since when it does not, until that has lasted.",
    "webhook_delivery": "Messages still to be sent; dead where due_at is null. Gone once it has been taken.",
    "signing_key": "The key that leases are signed with; shared by all masters of a database.",
    "database_identity": (
        "One row: which database this is, wherever it is copied to, and which version brought it to its schema."
    ),
}
"""What a row is, for each table of this version, without Alembic's."""
