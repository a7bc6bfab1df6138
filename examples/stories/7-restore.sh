#!/usr/bin/env bash
# The disk of the license master is lost, and the backup is older than half of what is out.
#
# The sites have it signed what they use. They prove it and go on; nothing else is granted until every lease that was
# signed before has ended. At no moment are more seats out than there are licenses (A1).
source "$(dirname "$0")/stage.sh"
start_master

say "100 ports, three sites. A site may carry on for ten minutes without the license master."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hanover" }, { name = "berlin" }, { name = "bonn" }, { name = "ulm" }]
devices = [
    { name = "hq-box", platform = "gateway" }, { name = "berlin-box", platform = "gateway" },
    { name = "bonn-box", platform = "gateway" }, { name = "ulm-box", platform = "gateway" },
]
pbxs = [
    { name = "hq", site = "hanover", device = "hq-box", role = "master", software_version = "12" },
    { name = "berlin", site = "berlin", device = "berlin-box", role = "slave", software_version = "12" },
    { name = "bonn", site = "bonn", device = "bonn-box", role = "slave", software_version = "12" },
    { name = "ulm", site = "ulm", device = "ulm-box", role = "slave", software_version = "12" },
]

[lease]
ttl_seconds = 5
grace_seconds = 595
renew_every_seconds = 1

[[licenses]]
id = "ports"
type = "PBX-Port12"
quantity = 100
device = "hq-box"
TOML
run license-master project apply acme.toml
for pbx in berlin bonn ulm; do pbx_certificate projects/acme/pbxs/$pbx; done
run phones projects/acme/pbxs/berlin 60
run phones projects/acme/pbxs/bonn 40

say "The nightly backup, while the master serves."
run license-master db backup nightly.db
expect "checked"

say "The day after: berlin gives 30 up, ulm takes 20 of them, bonn 10. All 100 are out again."
run license-master audit export --out before.jsonl
run phones projects/acme/pbxs/berlin 30 12 --signed
run phones projects/acme/pbxs/ulm 20 12 --signed
run phones projects/acme/pbxs/bonn 50 12 --signed
run license-master audit export --out last.jsonl

say "The disk is lost. Of the backup the master says what it will do."
kill_master
rm license-master.db*
run license-master db restore nightly.db
expect "grants nothing until then beyond what PBXs prove"
restart_master
run license-master status
expect "learning until"

say "berlin comes first and would like the 60 ports of the backup. It proves 30."
run phones projects/acme/pbxs/berlin 60
expect "30 of 60" "30 refused: LEARNING"

say "ulm and bonn have what they had, although the backup has never heard of it."
run phones projects/acme/pbxs/ulm 20
expect "20 of 20"
run phones projects/acme/pbxs/bonn 50
expect "50 of 50"
run license-master events --kind lease.proven
run license-master status
expect "100 proven"
run license-master db check

say "The audit shows what the restore cost: up to the backup the chain goes on, the last export is not in it."
run license-master audit verify
run license-master audit verify --against before.jsonl
refused license-master audit verify --against last.jsonl

say "Nobody is silent, so an operator may end the learning before its time. From now on everything is as usual."
run license-master project end-learning --reason "all three sites are back"
expect "0 PBXs have not opened their lease anew, and may use 0 seats"
run phones projects/acme/pbxs/bonn 10
for _ in $(seq 100); do
    license-master pools --json | grep -q '"free": 40' && break
    sleep 0.2
done
run phones projects/acme/pbxs/berlin 60
expect "60 of 60"
run license-master events --kind learning.ended
end_of_story "An older backup was restored under 100 ports in use: each site kept its own, and none was lent twice."
