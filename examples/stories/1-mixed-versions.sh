#!/usr/bin/env bash
# 100 port licenses of V10 and 100 of V12, and the upgrade to V12.
#
# Quantities of different versions add up (rule B4), the lowest version rules the whole installation (B3). Releasing the
# old licenses lifts the limit, and what is left is what counts (B6): 100 ports on V12.
source "$(dirname "$0")/stage.sh"
start_master

say "An estate on V10: a license master and a branch. Licenses come from a vendor, so the file names none."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "headquarters" }, { name = "branch" }]
devices = [{ name = "hq-box", platform = "gateway" }, { name = "branch-box", platform = "gateway" }]
pbxs = [
    { name = "hq", site = "headquarters", device = "hq-box", role = "master", software_version = "10" },
    { name = "branch", site = "branch", device = "branch-box", role = "slave", software_version = "10" },
]
TOML
run license-master project apply acme.toml

say "The vendor makes a key once, and issues what was bought as a signed file."
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --out bought.json \
    --license ports-v10=PBX-Port10:100 --license ports-v12=PBX-Port12:100

say "The operator trusts the vendor's key and imports the file: the licenses are free, in the project balance."
run license-master vendor trust vendor.key.pub --name innovaphone
run license-master license import bought.json

say "The device shows its key once, so that it can certify later what it no longer uses."
run license-master device create --folder hq-box --name projects/acme/devices/hq-box
LICENSE_MASTER_DEVICE_TOKEN=$(license-master device token hq-box 2>/dev/null) run license-master device enroll --folder hq-box

say "Bound to the license master's device they make a pool of 200 ports, at V10."
run license-master license bind ports-v10 ports-v12 --to hq-box
run license-master status
expect "Runs up to" "V10" "200"
run phones projects/acme/pbxs/branch 150 10
expect "150 of 150 phones"

say "V12 software gets no new seat while the V10 licenses are there; what is held stays (B10)."
refused license-master explain branch port one-more --software 12
expect "version limit" "ports-v10"
run phones projects/acme/pbxs/branch 160 12
expect "150 of 160 phones" "10 refused: VERSION_LIMIT"

say "What would it take? A plan answers, and changes nothing (B7)."
refused license-master plan upgrade --to 12 --release ports-v10
expect "have 50 PBX-Port seats on hq-box returned"

say "Releasing them is refused as long as more than 100 ports are in use: nobody is cut off by mistake (L5)."
refused license-master license release ports-v10
expect "in use" "50 PBX-Port seats" "--drain" "--revoke"

say "In the evening 90 phones are left. The device certifies that it does not use the old licenses any more (L2)."
run phones projects/acme/pbxs/branch 90 12
run license-master license release ports-v10 --reason "upgrade to V12"
expect "waits for the certificate of hq-box"
run license-master device certify --folder hq-box
run license-master license list
expect "free"

say "The limit is lifted: V12 may run, with 100 ports."
run license-master status
expect "V12" "100"
run phones projects/acme/pbxs/branch 110 12
expect "100 of 110 phones" "10 refused: POOL_EXHAUSTED"

end_of_story "200 ports at V10 became 100 ports at V12, and nobody who was talking noticed."
