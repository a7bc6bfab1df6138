#!/usr/bin/env bash
# Kiel goes from local to central licensing (rule A5).
#
# A PBX with licenses of its own gets nothing from the pool (A3). Once they are released and bound to the license master's
# device, the PBX draws on the pool like the others. That needs PBX software of at least V8.
source "$(dirname "$0")/stage.sh"
start_master

say "Hanover is the license master; Kiel and Emden have licenses of their own, Emden on software V7."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hanover" }, { name = "kiel" }, { name = "emden" }]
devices = [
    { name = "hanover-box", platform = "gateway" },
    { name = "kiel-box", platform = "gateway" },
    { name = "emden-box", platform = "gateway" },
]
pbxs = [
    { name = "hanover", site = "hanover", device = "hanover-box", role = "master", software_version = "12" },
    { name = "kiel", site = "kiel", device = "kiel-box", role = "slave", software_version = "12" },
    { name = "emden", site = "emden", device = "emden-box", role = "slave", software_version = "7" },
]
TOML
run license-master project apply acme.toml
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --out bought.json \
    --license pool=PBX-Port12:50 --license ports-kiel=PBX-Port12:12 --license ports-emden=PBX-Port7:5
run license-master vendor trust vendor.key.pub
run license-master license import bought.json
for site in hanover kiel emden; do
    run license-master device create --folder $site-box --name projects/acme/devices/$site-box
    LICENSE_MASTER_DEVICE_TOKEN=$(license-master device token $site-box 2>/dev/null) run license-master device enroll --folder $site-box
done
run license-master license bind pool --to hanover-box
run license-master license bind ports-kiel --to kiel-box
run license-master license bind ports-emden --to emden-box

say "The pool has 50 ports, but not for Kiel: its own 12 are all that it gets (A3)."
run phones projects/acme/pbxs/kiel 20
expect "12 of 20" "LOCAL_LICENSES_ONLY"

say "Emden's software is too old to release anything (L4), or to draw on a pool (A5)."
refused license-master license rebind ports-emden --to hanover-box
expect "firmware too old" "upgrade emden"

say "Kiel's licenses go to the license master as soon as its phones are off for the night."
run license-master license rebind ports-kiel --to hanover-box --drain --no-wait
expect "12 seats to go"
run phones projects/acme/pbxs/kiel 0
run license-master device certify --folder kiel-box
run license-master license list --device hanover-box
expect "ports-kiel" "pool"

say "In the morning Kiel draws on the pool: 62 ports for everybody."
run phones projects/acme/pbxs/kiel 20
expect "20 of 20"
run license-master status
expect "62"
end_of_story "Kiel is central; its 12 licenses serve everybody."
