#!/usr/bin/env bash
# A call centre and an office share a pool that is short of 30: who comes second waits, and gets its part.
#
# The operator lets PBXs wait, and gives the call centre twice the weight: as people leave the office, their seats are
# handed on until each has its share (docs/fairness.md).
source "$(dirname "$0")/stage.sh"
start_master

say "90 ports; the office and the call centre want 60 each."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hq" }, { name = "office" }, { name = "callcentre" }]
devices = [
    { name = "hq-box", platform = "gateway" },
    { name = "office-box", platform = "gateway" },
    { name = "callcentre-box", platform = "gateway" },
]
pbxs = [
    { name = "hq", site = "hq", device = "hq-box", role = "master", software_version = "12" },
    { name = "office", site = "office", device = "office-box", role = "slave", software_version = "12" },
    { name = "callcentre", site = "callcentre", device = "callcentre-box", role = "slave", software_version = "12" },
]
licenses = [{ id = "ports", type = "PBX-Port12", quantity = 90, device = "hq-box" }]
TOML
run license-master project apply acme.toml
run phones projects/acme/pbxs/office 60
expect "60 of 60"

say "Without rules the call centre has what is left, and nobody waits, even who would."
run phones projects/acme/pbxs/callcentre 60 --wait
expect "30 of 60" "30 refused: POOL_EXHAUSTED"

say "The operator lets PBXs wait for ports, 100 at once, and gives the call centre twice the weight."
cat >shares.toml <<'TOML'
rules = [{ name = "callcentre", site = "callcentre", weight = { port = 2 } }]
types = [{ license_type = "port", queue = { length_max = 100 } }]
TOML
run license-master allocation apply shares.toml --yes
run phones projects/acme/pbxs/callcentre 60 --wait
expect "30 of 60" "30 refused: WAITING"
run license-master pool show port
expect "callcentre" "office"

say "Somebody in the office wants a phone more: it does not overtake those who wait."
run phones projects/acme/pbxs/office 61
expect "60 of 61" "1 refused"

say "Twenty people leave the office. Their seats are handed on, without anybody asking again."
run phones projects/acme/pbxs/office 40
for _ in $(seq 100); do
    license-master pool show port >output 2>&1
    if grep -qE "callcentre +50" output; then break; fi
    sleep 0.3
done
run license-master pool show port
expect "50"
run phones projects/acme/pbxs/callcentre 60 --wait
expect "50 of 60" "10 refused: WAITING"

say "Ten more, and the call centre has its two of three. Nobody waits any more."
run phones projects/acme/pbxs/office 30
for _ in $(seq 100); do
    phones projects/acme/pbxs/callcentre 60 --wait >output 2>&1
    if grep -q "60 of 60" output; then break; fi
    sleep 0.3
done
cat output
expect "60 of 60"
end_of_story "30 for the office, 60 for the call centre: whoever waited was told so, kept its place, and got its seat."
