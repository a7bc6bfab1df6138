#!/usr/bin/env bash
# A ship borrows 40 ports for a month, and returns 12 of them early.
#
# Borrowed seats count as used until their day, and the ship goes on with them, whether it reaches the master or not; what
# comes back early is free for others at once (docs/fairness.md, docs/operations.md).
source "$(dirname "$0")/stage.sh"
start_master LICENSE_MASTER_EXPIRY_INTERVAL_SECONDS=1 LICENSE_MASTER_CLOCK_ALLOWANCE_SECONDS=0

say "100 ports for a harbour office and a ship, whose lease is short."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hq" }, { name = "harbour" }, { name = "ship" }]
devices = [
    { name = "hq-box", platform = "gateway" },
    { name = "harbour-box", platform = "gateway" },
    { name = "ship-box", platform = "gateway" },
]
pbxs = [
    { name = "hq", site = "hq", device = "hq-box", role = "master", software_version = "12" },
    { name = "harbour", site = "harbour", device = "harbour-box", role = "slave", software_version = "12" },
    { name = "ship", site = "ship", device = "ship-box", role = "slave", software_version = "12", lease = { ttl_seconds = 60, grace_seconds = 0 } },
]
licenses = [{ id = "ports", type = "PBX-Port12", quantity = 100, device = "hq-box" }]
TOML
run license-master project apply acme.toml

say "Nobody borrows what the operator does not lend."
run phones projects/acme/pbxs/ship 30
refused license-master loan open ship port 40 --days 30 --reason "voyage 12"
echo 'types = [{ license_type = "port", loan_days_max = 31 }]' >shares.toml
run license-master allocation apply shares.toml --yes

say "For a month, 40 ports; too long or too many is refused."
refused license-master loan open ship port 40 --days 90 --reason "voyage 12"
refused license-master loan open ship port 400 --days 30 --reason "voyage 12"
run license-master loan open ship port 40 --days 30 --reason "voyage 12"
expect "40 port until"
run license-master loan list
expect "ship" "40" "30"
say "The ship renews its lease once more before it sails, and has the signed loan."
run phones projects/acme/pbxs/ship 30
expect "30 of 30"

say "The ship sails. Its lease ends a minute later, its loan does not: the harbour cannot have more than the other 60."
for _ in $(seq 120); do
    license-master pool show port >output 2>&1
    if grep -qE "Borrowed +40" output; then break; fi
    sleep 1
done
run phones projects/acme/pbxs/harbour 70
expect "60 of 70"
run license-master pool show port
expect "Borrowed" "40"

say "At sea, without a line to any master, 40 phones go on, and no more; a PBX that is started again knows it."
run phones projects/acme/pbxs/ship 45 --at-sea
expect "40 of 45" "5 refused: OFFLINE"
run phones projects/acme/pbxs/ship 40 --at-sea
expect "40 of 40"

say "Twelve passengers fewer: the operator takes back what the ship does not need, and knows what that risks."
run license-master loan return ship port --keep 28 --reason "12 phones fewer" --yes
expect "28 port" "12 seats may stay in use"
run phones projects/acme/pbxs/harbour 72
expect "72 of 72"

say "The ship is home: it has its 28, and gives the loan back."
run phones projects/acme/pbxs/ship 28
expect "28 of 28"
run license-master loan return ship port --reason "home" --yes
run license-master loan list
run license-master events --kind loan.returned
end_of_story "40 ports went to sea and came home, and at no moment were there more in use than licenses."
