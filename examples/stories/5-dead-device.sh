#!/usr/bin/env bash
# Kiel's box burns. A device that is dead cannot certify: two people have to agree, and the licenses wait.
#
# Until its signed lease ends a site may use what it holds, so its seats count (rule L5) unless an operator forces it and
# is told what that risks. Without a certificate a second operator has to approve, and a cooling-off follows (L2).
source "$(dirname "$0")/stage.sh"
start_master LICENSE_MASTER_COOLING_OFF_SECONDS=12        # a week, unless set

say "Kiel is licensed locally. It counts as connected for 5 seconds and may carry on by itself for an hour."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
lease = { ttl_seconds = 5, grace_seconds = 3600 }
sites = [{ name = "hanover" }, { name = "kiel" }]
devices = [
    { name = "hanover-box", platform = "gateway" },
    { name = "kiel-box", platform = "gateway" },
    { name = "kiel-new-box", platform = "gateway" },
]
pbxs = [
    { name = "hanover", site = "hanover", device = "hanover-box", role = "master", software_version = "12" },
    { name = "kiel", site = "kiel", device = "kiel-box", role = "slave", software_version = "12" },
    { name = "kiel-new", site = "kiel", device = "kiel-new-box", role = "slave", software_version = "12" },
]
TOML
run license-master project apply acme.toml
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --out bought.json --license ports=PBX-Port12:12
run license-master vendor trust vendor.key.pub
run license-master license import bought.json
run license-master device create --folder kiel-box --name projects/acme/devices/kiel-box
LICENSE_MASTER_DEVICE_TOKEN=$(license-master device token kiel-box 2>/dev/null) run license-master device enroll --folder kiel-box
run license-master license bind ports --to kiel-box
run phones projects/acme/pbxs/kiel 12

say "The box burns, and its key with it. The master notices that it has gone silent."
rm -r kiel-box
until license-master leases --state overdue 2>/dev/null | grep -q kiel; do sleep 1; done
run license-master leases

say "The seats count until Kiel's signed lease ends; who cannot wait is told the risk and has to confirm it."
refused license-master license release ports --dead
expect "in use"
refused license-master license release ports --dead --force
expect "12 more seats may be in use" "A second operator has to approve" "has to be confirmed"
run as alice license-master license release ports --dead --force --yes --reason "fire in Kiel"
expect "waits for a second operator's approval"

say "Whoever asked cannot approve."
refused as alice license-master license approve ports
expect "same operator"
run as bob license-master license approve ports --reason "saw the ashes"
expect "cooling off"

say "Now it waits: a box that was not dead after all would have turned up by then."
refused license-master license bind ports --to kiel-new-box
expect "cooling off" "cannot be bound before"
until license-master license bind ports --to kiel-new-box >output 2>&1; do sleep 1; done
run license-master license list
expect "bound" "kiel-new-box"
run phones projects/acme/pbxs/kiel-new 12
expect "12 of 12"

say "Who did what stands in the audit."
run license-master events --kind licenses.release_approved
expect "bob"
end_of_story "Kiel works on a new box; two people answer for it."
