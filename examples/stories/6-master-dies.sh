#!/usr/bin/env bash
# The license master dies with 1,000 ports out, and its PBX with it: the standby carries them.
#
# Readiness is checked and drilled beforehand (rules F2, F4). The standby has a signed standby lease on its disk, so it
# needs nobody's leave (F5): the same 1,000 ports, none counted twice, none lost, and handed back when hq returns.
source "$(dirname "$0")/stage.sh"
start_master

say "hq has a standby, with as many Standby licenses as Ports (F2)."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hanover" }]
devices = [{ name = "hq-box", platform = "gateway" }, { name = "spare-box", platform = "gateway" }]
pbxs = [
    { name = "hq", site = "hanover", device = "hq-box", role = "master", software_version = "12" },
    { name = "spare", site = "hanover", device = "spare-box", role = "standby", standby_for = "hq", software_version = "12" },
]

[lease]
ttl_seconds = 5
grace_seconds = 600
renew_every_seconds = 1

[[licenses]]
id = "ports"
type = "PBX-Port12"
quantity = 1000
device = "hq-box"

[[licenses]]
id = "standby"
type = "PBX-Standby12"
quantity = 999
device = "hq-box"
TOML
run license-master project apply acme.toml
expect "999"

say "One Standby license is missing: told at once, and by the check, with the exact shortfall."
refused license-master standby check
expect "bind 1 more"
sed -i 's/quantity = 999/quantity = 1000/' acme.toml
run license-master project apply acme.toml

say "1,000 phones at hq. The standby PBX runs, and keeps a signed standby lease for them."
run phones projects/acme/pbxs/hq 1000
expect "1000 of 1000"
start_standby projects/acme/pbxs/spare
for _ in $(seq 100); do
    license-master standby check --json | grep -q '"covered": "\?1000' && break
    sleep 0.3
done
run license-master standby check

say "A drill goes through the real takeover and the return, and leaves nothing changed."
run license-master standby drill spare
expect "could take over; nothing was changed"

say "Now hq and the license master die. Nobody can be asked."
kill_master
refused license-master status
run standby "take over projects/acme/pbxs/hq"
expect "carrying hq: offline, until"

say "The standby goes by its signed lease: every phone has its port, and not one more than there were."
run standby "phones 1001"
expect "1000 of 1001"

say "The license master is back. The standby takes the lease over; the same 1,000 ports are counted once."
restart_master
run standby "wait connected"
run license-master leases
expect "carried by spare"
run license-master pools --type PBX-Port
expect "1,000"
run license-master db check
expect_not "differ"

say "hq returns: it has its seats again, and the standby is told."
run phones projects/acme/pbxs/hq 1000
expect "1000 of 1000"
run standby "wait fenced"
expect "0 seats in use"
run license-master events --kind lease.taken_over
run license-master audit verify
end_of_story "1,000 ports went over to the standby and back, with the license master dead in between; none was lost or doubled."
