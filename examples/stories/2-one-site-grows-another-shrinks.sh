#!/usr/bin/env bash
# Hamburg moves half its people to Kiel: licenses go straight from one box to the other.
#
# Both sites are licensed locally (rule A2). What is in use is not taken away by mistake (L5), the box that gives the
# licenses away certifies that it does not use them any more (L2), and the service agreement goes on (L6).
source "$(dirname "$0")/stage.sh"
start_master

say "Three sites; Hamburg and Kiel will have licenses on their own boxes."
cat >acme.toml <<'TOML'
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hanover" }, { name = "hamburg" }, { name = "kiel" }]
devices = [
    { name = "hanover-box", platform = "gateway" },
    { name = "hamburg-box", platform = "gateway" },
    { name = "kiel-box", platform = "gateway" },
]
pbxs = [
    { name = "hanover", site = "hanover", device = "hanover-box", role = "master", software_version = "12" },
    { name = "hamburg", site = "hamburg", device = "hamburg-box", role = "slave", software_version = "12" },
    { name = "kiel", site = "kiel", device = "kiel-box", role = "slave", software_version = "12" },
]
TOML
run license-master project apply acme.toml

say "What was bought, with its service agreement."
cat >bought.toml <<'TOML'
[[licenses]]
id = "ports-a"
type = "PBX-Port12"
quantity = 30
agreement_end = 2037-06-30

[[licenses]]
id = "ports-b"
type = "PBX-Port12"
quantity = 30
agreement_end = 2037-06-30

[[licenses]]
id = "ports-kiel"
type = "PBX-Port12"
quantity = 10
agreement_end = 2037-06-30
TOML
run license-master vendor keygen --out vendor.key
run license-master vendor issue --key vendor.key --project acme --from bought.toml --out bought.json
run license-master vendor trust vendor.key.pub
run license-master license import bought.json
for site in hamburg kiel; do
    run license-master device create --folder $site-box --name projects/acme/devices/$site-box
    LICENSE_MASTER_DEVICE_TOKEN=$(license-master device token $site-box 2>/dev/null) run license-master device enroll --folder $site-box
done
run license-master license bind ports-a ports-b --to hamburg-box
run license-master license bind ports-kiel --to kiel-box

say "40 phones in Hamburg; Kiel wants 35 and has 10."
run phones projects/acme/pbxs/hamburg 40
expect "40 of 40"
run phones projects/acme/pbxs/kiel 35
expect "10 of 35" "LOCAL_LICENSES_ONLY"

say "Moving 30 licenses now would leave 30 for 40 phones: refused, with who holds them."
refused license-master license rebind ports-b --to kiel-box
expect "in use" "hamburg" "10 PBX-Port seats returned first"

say "So drain: no new seats in Hamburg; the move waits until ten people have left."
run license-master license rebind ports-b --to kiel-box --drain --no-wait --reason "sales moves to Kiel"
expect "10 seats to go" "the certificate of hamburg-box"
run phones projects/acme/pbxs/hamburg 41
expect "40 of 41"

say "The box certifies at once; the move still waits for the people."
run license-master device certify --folder hamburg-box
run license-master license list --state releasing
expect "certified; waits for 10 seats to go"

say "Ten people leave. The master sees that by itself, within seconds."
run phones projects/acme/pbxs/hamburg 30
for _ in $(seq 100); do
    license-master license list --device kiel-box | grep -q ports-b && break
    sleep 0.3
done
run license-master license list
expect "agreement until"

say "Kiel's box takes note of what it has; Kiel's phones register."
run license-master device accept --folder kiel-box
expect "ports-b: 30 PBX-Port12, binding 2"
run phones projects/acme/pbxs/kiel 35
expect "35 of 35"
run license-master pools --type PBX-Port
end_of_story "30 licenses moved from Hamburg to Kiel, with their agreement, and no phone was cut off."
